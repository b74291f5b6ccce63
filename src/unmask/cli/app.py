"""The entry of the command line: it imports nothing heavy, so that Ctrl-C is one line from the start."""

from __future__ import annotations

import sys
from typing import Any


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        from unmask.cli.commands import app

        app()
    except KeyboardInterrupt:
        sys.stderr.write("unmask: interrupted\n")
        sys.exit(130)


def __getattr__(name: str) -> Any:
    """Give `app`, the typer application, when it is asked for."""
    if name == "app":
        from unmask.cli.commands import app

        return app
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
