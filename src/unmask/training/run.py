"""From data set zips and settings to a trained checkpoint: reads, splits, checks, finds faces, trains."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from unmask.data.index import FaceIndex
from unmask.data.manifest import Item, permute_labels
from unmask.data.pairs import OWN_KINDS
from unmask.faces.detect import Detector
from unmask.media.output import atomic_path
from unmask.training.archives import find_archives, training_items
from unmask.training.begin import begin, check_pictures, fill_in
from unmask.training.config import TrainingConfig, checked
from unmask.training.loop import train

PROGRESS_EVERY = 5000
UNREADABLE = "unreadable.txt"


def without_kinds(items: Sequence[Item], kinds: Collection[str]) -> list[Item]:
    """Leave out kinds of fakes, and the reals of the data sets that they are in.

    With the fakes alone gone, a detector could still learn the look of their source from its reals.

    Raises:
        ValueError: no item is of a kind named.
    """
    present = {item.manipulation for item in items if item.label == "fake"}
    unknown = sorted(set(kinds) - present)
    if unknown:
        raise ValueError(
            f"leave_out: no fake is of kind {', '.join(unknown)}; there are {', '.join(sorted(present))}"
        )
    sources = {item.data_set for item in items if item.manipulation in kinds}
    return [
        item
        for item in items
        if (item.manipulation not in kinds if item.label == "fake" else item.data_set not in sources)
    ]


def run(
    settings: dict[str, Any], paths: Sequence[Path], folder: Path, *, report: Callable[[str], None]
) -> Path:
    """Train with the given settings on the zips at `paths` and return the best checkpoint.

    Raises:
        CheckpointError: a checkpoint to start from or to go on from cannot be used.
        ValueError: wrong settings or data, or the folder holds another run; the message names the thing.
    """
    archives = find_archives(paths)
    config = checked(TrainingConfig, settings | {"archives": [path.name for path in archives]})
    config = fill_in(config, report=report)
    items = training_items(archives, tune_share=config.tune_share, seed=config.tune_seed)
    if config.leave_out:
        items = without_kinds(items, config.leave_out)
        kinds = {kind: share for kind, share in config.kinds.items() if kind not in config.leave_out}
        config = config.model_copy(update={"kinds": kinds})
    if config.permute_labels:
        items = permute_labels(items, seed=config.seed)
    present = {item.manipulation for item in items if item.label == "fake" and item.split == "train"}
    if not config.kinds:
        config = config.model_copy(update={"kinds": dict.fromkeys(sorted(present), 1.0)})
    made = [kind for kind in OWN_KINDS if kind in config.kinds]
    if made and not config.blend_sources:
        raise ValueError(f"kinds names {made[0]}, but blend_sources names no data set of reals")
    check_pictures(config, items)
    start = begin(config, items, folder)

    def progress(done: int, total: int) -> None:
        if done % PROGRESS_EVERY == 0:
            report(f"found the faces of {done} pictures (of at most {total})")

    detector = Detector(threads=config.threads)
    index = FaceIndex(folder.parent / "faces")
    faces = index.build(items, detector=detector, on_progress=progress)
    lost = sum(face is None for face in faces.values())
    report(f"{len(items)} pictures, {lost} without a found face")
    if index.unreadable:
        listed = _list_unreadable(index.unreadable, folder)
        report(f"{len(index.unreadable)} of these cannot be read: they are listed in {listed}")
    return train(config, items, faces, folder, start=start, report=report)


def _list_unreadable(reasons: Mapping[tuple[Path, str], str], folder: Path) -> Path:
    """Write down which pictures cannot be read, one a line, and return where."""
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / UNREADABLE) as part:
        part.write_text("".join(f"{path}: {member}: {why}\n" for (path, member), why in reasons.items()))
    return folder / UNREADABLE
