"""Open a file and read it as one ordered stream of events; write annotated video and other files whole.

`read` yields `Media`, then `Frame`, `Audio`, `Cut` and `Gap` by time, then `End` (see `events`).
`read` and `VideoWriter` are imported when first asked for, because PyAV and OpenCV take their time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unmask.media.events import Audio, Cut, End, Event, Frame, Gap, Media, MediaError
from unmask.media.output import OutputError, atomic_path

if TYPE_CHECKING:
    from unmask.media.reader import read
    from unmask.media.writer import VideoWriter

__all__ = [
    "Audio",
    "Cut",
    "End",
    "Event",
    "Frame",
    "Gap",
    "Media",
    "MediaError",
    "OutputError",
    "VideoWriter",
    "atomic_path",
    "read",
]


def __getattr__(name: str) -> Any:
    if name == "read":
        from unmask.media.reader import read

        return read
    if name == "VideoWriter":
        from unmask.media.writer import VideoWriter

        return VideoWriter
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
