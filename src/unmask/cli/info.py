"""`unmask info`: what is installed, which weights judge, and on what they run."""

from __future__ import annotations

import json as jsonlib
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from unmask.runtime.card import Card

_PACKAGES = ("numpy", "scipy", "opencv-python-headless", "av", "onnxruntime", "pydantic", "torch")


def command(
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with the whole cards.")] = False,
) -> None:
    """Show versions, weights with their cards and figures, devices and threads.

    Examples:
    - `unmask info`
    - `unmask info --json | jq '.weights[].name'`
    """
    from unmask.runtime.card import WeightError, embedded

    try:
        cards = embedded()
    except WeightError as error:
        typer.echo(f"unmask info: {error}", err=True)
        raise typer.Exit(1) from None
    facts = _facts()
    if json:
        weights = [
            card.model_dump(mode="json", exclude_none=True) | {"state": _state(card)} for card in cards
        ]
        typer.echo(jsonlib.dumps(facts | {"weights": weights}, indent=2))
        return
    _print(facts, cards)


def _facts() -> dict[str, Any]:
    from unmask.runtime.session import devices, get_threads

    return {
        "unmask": version("unmask"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
        "laboratory": _version("torch") is not None,
        "devices": devices(),
        "threads": get_threads(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _state(card: Card) -> str:
    """Say whether the weight file is the one that its card describes."""
    from unmask.runtime.card import WeightError, verify

    try:
        verify(card)
    except WeightError as error:
        return str(error)
    return "ok"


def _print(facts: dict[str, Any], cards: list[Card]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    grid = Table.grid(padding=(0, 2))
    grid.add_row(Text("unmask", style="bold"), facts["unmask"])
    grid.add_row("Python", f"{facts['python']}, {facts['system']}")
    grid.add_row("packages", ", ".join(f"{name} {number}" for name, number in facts["packages"].items()))
    laboratory = "installed" if facts["laboratory"] else "not installed: pip install 'unmask[train]'"
    grid.add_row("laboratory", Text(laboratory))
    grid.add_row("devices", ", ".join(facts["devices"]))
    grid.add_row("threads", str(facts["threads"]))
    console.print(grid)
    for card in cards:
        console.print(
            Text(f"\n{card.name}", style="bold"), Text(f"{card.file}, version {card.version}", style="dim")
        )
        console.print(_card(card))


def _card(card: Card) -> Any:
    from rich.table import Table
    from rich.text import Text

    rows = {
        "architecture": card.architecture,
        "licence": card.licence,
        "sha256": card.sha256,
        "file": _state(card),
    }
    if card.input_size:
        rows["input"] = f"{card.input_size} pixels"
    if card.training_data:
        rows["trained on"] = ", ".join(map(str, card.training_data))
    grid = Table.grid(padding=(0, 2))
    for name, value in rows.items():
        grid.add_row(f"  {name}", Text(value, overflow="fold"))
    for index, metric in enumerate(card.metrics):
        figure = f"{metric.metric} {metric.value:.3f}"
        if metric.interval:
            figure += f" ({metric.interval[0]:.3f} to {metric.interval[1]:.3f})"
        what = " ".join(part for part in (metric.data_set, metric.manipulation) if part)
        count = f", {metric.n} items" if metric.n else ""
        grid.add_row("  measured" if index == 0 else "", Text(f"{what}: {figure}{count}"))
    return grid
