"""Makes the clips that the speed benchmark analyses: 1280 x 720, 30 frames a second, H.264, no sound.

python benchmarks/make_clip.py ten SOURCE CLIP          10 s, the source played to and fro
python benchmarks/make_clip.py repeat CLIP COUNT LONG   CLIP COUNT times in a row, without encoding again
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction

import av
import cv2
import numpy as np

SIZE = (1280, 720)
RATE = 30
SECONDS = 10


def ten_seconds(source: str, path: str) -> None:
    """Write 10 s of `source`, scaled to fill 1280 x 720; played to and fro, so that no cut arises."""
    with av.open(source) as container:
        timed = [(f.time or 0.0, f.to_ndarray(format="rgb24")) for f in container.decode(video=0)]
    times = np.array([time for time, _ in timed]) - timed[0][0]
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(RATE))
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "20", "preset": "medium"}
        for moment in _to_and_fro(times[-1]):
            nearest = int(np.abs(times - moment).argmin())
            picture = av.VideoFrame.from_ndarray(_fill(timed[nearest][1]), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def repeat(clip: str, count: int, path: str) -> None:
    """Write `clip` `count` times in a row, its packets copied."""
    offset = 0
    with av.open(path, "w") as out:
        stream = None
        for _ in range(count):
            with av.open(clip) as source:
                video = source.streams.video[0]
                stream = stream or out.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = (packet.pts or 0) + offset, packet.dts + offset
                    packet.stream = stream
                    out.mux(packet)
                offset += video.duration or 0


def _to_and_fro(last: float) -> Iterator[float]:
    for index in range(RATE * SECONDS):
        phase = (index / RATE) % (2 * last) if last else 0.0
        yield min(phase, 2 * last - phase)


def _fill(pixels: np.ndarray) -> np.ndarray:
    """Scale and cut (H, W, 3) pixels to 720 x 1280, keeping their proportions."""
    height, width = pixels.shape[:2]
    scale = max(SIZE[0] / width, SIZE[1] / height)
    if scale != 1:
        size = (max(SIZE[0], round(width * scale)), max(SIZE[1], round(height * scale)))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    top, left = (pixels.shape[0] - SIZE[1]) // 2, (pixels.shape[1] - SIZE[0]) // 2
    return np.ascontiguousarray(pixels[top : top + SIZE[1], left : left + SIZE[0]])


if __name__ == "__main__":
    if sys.argv[1] == "ten":
        ten_seconds(sys.argv[2], sys.argv[3])
    else:
        repeat(sys.argv[2], int(sys.argv[3]), sys.argv[4])
