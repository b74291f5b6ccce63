"""DeeperForensics-1.0 (Jiang et al. 2020, 2001.03024).

A fake `000_M101` shows FaceForensics++'s video 000 with the face of the paid actor M101. The real videos are
therefore **the c23 YouTube originals of FaceForensics++**; `source_videos/` shows the actors in a studio, and
who takes those for the real class trains a detector of studios. Link or copy FaceForensics++'s
`original_sequences/youtube/c23/videos` to the same place in this data set's folder.

Groups are the targets, as in the official lists. Each actor's face is in videos of all three lists, and the
lists differ from the splits of FaceForensics++: to test on this what was trained on that (or the reverse),
leave out the originals trained on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unmask.data.files import need_folder, videos_in
from unmask.data.manifest import DataError, Item, check_classes

NAME = "deeperforensics"
SPLITS = ("train", "val", "test")
REALS = "original_sequences/youtube/c23/videos"


def load(root: Path) -> list[Item]:
    """Read the manipulated videos of all variants (clean and distorted) and their real counterparts.

    Raises:
        DataError: a list, the originals or a class is missing, or a video is in no list.
    """
    splits = _read_lists(need_folder(root) / "lists" / "splits")
    originals = videos_in(root / REALS)
    if not originals:
        raise DataError(
            f"{root / REALS}: no real videos; link or copy the c23 originals of FaceForensics++ there "
            "(source_videos/ holds the actors, not the real counterparts)"
        )
    by_target = {name.partition("_")[0]: split for name, split in splits.items()}
    items = [
        Item(
            data_set=NAME,
            name=f"youtube/{path.stem}",
            label="real",
            group=path.stem,
            path=path,
            source="FaceForensics++ YouTube",
            split=by_target[path.stem],
            compression="c23",
        )
        for path in originals
        if path.stem in by_target
    ]
    known = {item.name for item in items}
    items += _manipulated(root / "manipulated_videos", splits, known)
    check_classes(
        items, root, real=f"{REALS}/000.mp4 and so on", fake="manipulated_videos/end_to_end/000_M101.mp4"
    )
    return items


def _read_lists(folder: Path) -> dict[str, str]:
    """Return the split of each manipulated video by its name without extension."""
    result: dict[str, str] = {}
    targets: dict[str, str] = {}
    for split in SPLITS:
        path = folder / f"{split}.txt"
        try:
            lines = path.read_text("utf-8").split()
        except OSError:
            raise DataError(
                f"{path}: is missing; it comes with the data set and gives the {split} split"
            ) from None
        for line in lines:
            name = Path(line).stem
            target = name.partition("_")[0]
            if targets.setdefault(target, split) != split:
                raise DataError(f"{path}: {line}: target {target} is also in {targets[target]}.txt")
            result[name] = split
    return result


def _manipulated(folder: Path, splits: dict[str, str], known: set[str]) -> Iterator[Item]:
    for variant in sorted(folder.iterdir()) if folder.is_dir() else ():
        for path in videos_in(variant):
            if path.stem not in splits:
                raise DataError(f"{path}: is in none of lists/splits/train.txt, val.txt and test.txt")
            target = path.stem.partition("_")[0]
            origin = f"youtube/{target}"
            yield Item(
                data_set=NAME,
                name=f"{variant.name}/{path.stem}",
                label="fake",
                group=target,
                path=path,
                manipulation=variant.name,
                original=origin if origin in known else "",
                split=splits[path.stem],
            )
