"""Real tiny videos for the tests of data sets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
from skimage import data as pictures

FACE_SIZE = (240, 176)
"""Width and height of the videos that show a face."""


def write_video(path: Path, frames: Sequence[np.ndarray], *, rate: int = 10) -> Path:
    """Encode (H, W, 3) uint8 RGB frames as H.264 in MP4."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "12", "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def face_frames(count: int, *, shift: int = 0, face: bool = True) -> list[np.ndarray]:
    """Frames in which a public-domain face (scikit-image's astronaut) moves 2 pixels to the right each."""
    scene = cv2.resize(pictures.astronaut()[0:240, 100:420], FACE_SIZE, interpolation=cv2.INTER_AREA)
    if not face:
        scene = np.full_like(scene, 90)
    return [np.roll(scene, shift + 2 * number, axis=1) for number in range(count)]
