"""The commands by name: one file a command, imported only when that command is called."""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

_LABORATORY = "Laboratory (pip install 'unmask\\[train]')"
_COMMANDS = {
    "detect": ("Judge videos, pictures and sound: fake, real or inconclusive, and why.", "Analysis"),
    "visualize": ("Write a video with faces, scores and heat maps drawn into it.", "Analysis"),
    "features": ("Write what the visual detector's network makes of each face, as numbers.", "Analysis"),
    "biosignals": ("Show pulse, blinks, breathing and head motion of a video, with plots.", "Analysis"),
    "frequency": ("Show spectrum, JPEG blocks and noise of a face, explained.", "Analysis"),
    "fingerprint": ("Compare pictures with the common noise of others.", "Analysis"),
    "info": ("Show versions, weights with their figures, devices and threads.", "Analysis"),
    "selfblend": ("Make fakes of real pictures as training does, on a contact sheet.", _LABORATORY),
    "prepare": ("Cut the faces of a data set into a store that training reads.", _LABORATORY),
    "train": ("Train a detector on data sets.", _LABORATORY),
    "evaluate": ("Measure a detector on labelled media.", _LABORATORY),
    "benchmark": ("Compare several detectors on several data sets.", _LABORATORY),
    "calibrate": ("Fit probabilities and thresholds of an exported network.", _LABORATORY),
    "export": ("Turn a checkpoint into an ONNX file with its card.", _LABORATORY),
}
_TRAIN_EXTRA = {
    "torch",
    "lightning",
    "tensorboard",
    "torchmetrics",
    "sklearn",
    "onnx",
    "onnxscript",
    "safetensors",
    "matplotlib",
}


class _LazyGroup(TyperGroup):
    """Knows the names of the commands, and imports one when it is called."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, stub, rest = super().resolve_command(ctx, args)
        return name, stub if name is None else _load(name), rest

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("unmask: interrupted", err=True)
            raise typer.Exit(130) from None
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in _TRAIN_EXTRA:
                raise
            typer.echo(
                f"unmask: this needs {error.name}; install it with: pip install 'unmask[train]'", err=True
            )
            raise typer.Exit(2) from None


def _load(name: str) -> Any:
    module = importlib.import_module(f"unmask.cli.{name}")
    alone = typer.Typer(rich_markup_mode="markdown", add_completion=False, context_settings=_HELP)
    alone.command(name)(module.command)
    return typer.main.get_command(alone)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"unmask {version('unmask')}")
        raise typer.Exit


_HELP = {"help_option_names": ["-h", "--help"]}
app = typer.Typer(
    cls=_LazyGroup,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings=_HELP,
)


@app.callback()
def _unmask(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Tell whether the face in a video or picture was synthesised or manipulated, how sure, and why. Offline.

    Try: unmask detect suspicious.mp4
    """


def _stub() -> None:
    """Stand for a command that is not imported yet."""


for _name, (_help, _panel) in _COMMANDS.items():
    app.command(_name, help=_help, rich_help_panel=_panel)(_stub)
