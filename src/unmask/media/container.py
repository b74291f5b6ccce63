"""Open a container with PyAV safely: known formats only, local files only, one clear line on failure."""

from __future__ import annotations

import errno
import stat
from fractions import Fraction
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from unmask.media.events import MediaError

# Demultiplexers that read one file and nothing else: no playlists, no image sequences, no text, no devices.
_FORMATS = (
    "mov,mp4,matroska,webm,avi,flv,asf,mpegts,mpeg,mpegvideo,ogg,mxf,rm,ivf,nut,dv,gxf,obu,"
    "h264,hevc,vvc,av1,m4v,mjpeg,vc1,h263,y4m,yuv4mpegpipe,gif,apng,"
    "wav,w64,aiff,flac,mp3,aac,ac3,eac3,amr,caf,au,ape,wv,tta,dts,voc"
)
_OPTIONS = {"format_whitelist": _FORMATS, "protocol_whitelist": "file"}
_STREAM_ERRORS = (av.error.FFmpegError, OSError, ValueError)


def check_file(path: Path) -> None:
    """Raise `MediaError` unless `path` is a readable file with something in it."""
    try:
        facts = path.stat()
        if stat.S_ISDIR(facts.st_mode):
            raise MediaError(f"{path}: is a folder; give a video, picture or sound file")
        if not stat.S_ISREG(facts.st_mode):
            raise MediaError(f"{path}: is not an ordinary file; copy its content into a file first")
        if facts.st_size == 0:
            raise MediaError(f"{path}: is empty (0 bytes); get the file again from its source")
        path.open("rb").close()
    except (OSError, ValueError) as error:
        raise MediaError(f"{path}: {_os_remedy(error)}") from error


def _os_remedy(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOENT, errno.ENOTDIR):
        return "no such file; check the name and the folder"
    if number in (errno.EACCES, errno.EPERM):
        return "may not be read (permission denied); change its permissions or copy it"
    return (
        f"cannot be read ({getattr(error, 'strerror', None) or error}); copy it to a local disk and try again"
    )


def open_container(path: Path) -> InputContainer:
    """Open `path` for demultiplexing.

    Raises:
        MediaError: FFmpeg does not know the content, or its index is missing.
    """
    try:
        return av.open(f"file:{path}", options=dict(_OPTIONS), metadata_errors="replace")
    except _STREAM_ERRORS as error:
        raise MediaError(f"{path}: {_unreadable(path)}") from error


def _unreadable(path: Path) -> str:
    with path.open("rb") as file:
        head = file.read(4096)
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return (
            "the video's index (moov) is missing or damaged, as when a recording or a download was cut off; "
            "get the whole file, or repair it with a reference recording of the same camera"
        )
    if not head.strip(b"\0"):
        return "holds only zero bytes; get the file again from its source"
    if _looks_like_text(head):
        return "is text, not a video, picture or sound recording; check which file was meant"
    return "is not a video, picture or sound recording that can be read; convert it to MP4, JPEG or WAV"


def _looks_like_text(head: bytes) -> bool:
    printable = sum(byte in b"\t\n\r\f" or 32 <= byte < 127 for byte in head)
    try:
        head[:-3].decode("utf-8")
    except UnicodeDecodeError:
        return False
    return printable >= 0.7 * len(head) and b"\0" not in head


def picture_stream(container: InputContainer) -> VideoStream | None:
    """Choose the moving pictures: the stream marked as default, else the largest; never a cover."""
    streams = [s for s in container.streams.video if _decodable(s) and not is_cover(s)]
    return max(streams, key=_rank, default=None)


def is_cover(stream: Stream) -> bool:
    """Whether the stream holds a cover picture or thumbnails rather than moving pictures."""
    return bool(stream.disposition & (Disposition.attached_pic | Disposition.timed_thumbnails))


def _rank(stream: VideoStream) -> tuple[bool, int]:
    return bool(stream.disposition & Disposition.default), stream.width * stream.height


def sound_stream(container: InputContainer) -> AudioStream | None:
    """Choose the sound: the stream marked as default, else the first."""
    streams = [s for s in container.streams.audio if _decodable(s)]
    return next((s for s in streams if s.disposition & Disposition.default), streams[0] if streams else None)


def _decodable(stream: VideoStream | AudioStream) -> bool:
    # PyAV gives a stream whose codec FFmpeg does not know no codec context
    return getattr(stream, "codec_context", None) is not None


def seconds(value: int | None, base: Fraction | None) -> float | None:
    """Convert a time stamp to seconds, None where it is unknown."""
    return None if value is None or base is None else float(value * base)
