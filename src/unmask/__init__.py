"""Tells whether the face in a video or picture was synthesised or manipulated, how sure it is, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unmask.pipeline import analyse
    from unmask.report.schema import Report

    __version__: str

__all__ = ["Report", "__version__", "analyse"]


def __getattr__(name: str) -> Any:
    """Import the public names when they are asked for, so that `import unmask` costs nothing."""
    if name == "analyse":
        from unmask.pipeline import analyse

        return analyse
    if name == "Report":
        from unmask.report.schema import Report

        return Report
    if name == "__version__":
        from importlib.metadata import version

        return version("unmask")
    raise AttributeError(f"module 'unmask' has no attribute {name!r}")


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
