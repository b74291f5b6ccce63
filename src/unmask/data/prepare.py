"""Turns a data set into a store of face crops, over several processes, and goes on where it was stopped.

Each item becomes one file in the store's `work/` folder, written under a temporary name and renamed; when all
items of a zip are there, the zip is packed in the same way and entered in `store.json`. Whatever ends the
work, even `kill -9`, leaves no half-written zip, and the same command goes on with the items that are
missing. The same data give the same bytes, however often the work was stopped and in whatever order the
processes finished.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import shutil
import signal
import threading
import zipfile
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from multiprocessing import get_context, parent_process
from pathlib import Path

import numpy as np

from unmask.data import store
from unmask.data.cut import Crop, Cuts, Cutter, Settings
from unmask.data.manifest import OVERLAP, DataError, Item, check_leaks
from unmask.data.sets.clips import FROZEN
from unmask.faces.detect import NETWORK
from unmask.faces.landmarks import LANDMARKS, MESH_NETWORK
from unmask.media.events import MediaError
from unmask.media.output import atomic_path
from unmask.runtime.card import WEIGHTS, load_card

SHARD_CROPS = 8192
"""Crops to a zip, about."""
LEFT_OUT = (FROZEN, OVERLAP)
"""Splits that are not cut unless they are asked for by name."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The date of every member, so that equal content gives equal zips."""
ROWS = "rows.json"
LOCK = "lock"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Job:
    """One item to cut: its number in the plan, its zip's number, and the stem of its crops' names."""

    number: int
    shard: int
    stem: str
    item: Item


def select(
    items: Sequence[Item],
    *,
    splits: Sequence[str] = (),
    manipulations: Sequence[str] = (),
    compressions: Sequence[str] = (),
) -> tuple[list[Item], list[str]]:
    """Return the items asked for (empty: all), and a sentence for each kind of item left out unasked.

    `manipulations` chooses among the fakes. Left out unasked: the splits `frozen` and `overlap`, and fakes of
    which the voice alone is manipulated.

    Raises:
        DataError: no item has one of the values, or nothing is left.
    """
    _check_values("split", splits, {item.split for item in items})
    _check_values("manipulation", manipulations, {item.manipulation for item in items if item.fake})
    _check_values("compression", compressions, {item.compression for item in items})
    chosen = [
        item
        for item in items
        if (not splits or item.split in splits)
        and (not manipulations or not item.fake or item.manipulation in manipulations)
        and (not compressions or item.compression in compressions)
    ]
    voices = [item for item in chosen if item.voice_only]
    unasked = {
        split: sum(item.split == split for item in chosen) for split in LEFT_OUT if split not in splits
    }
    kept = [item for item in chosen if not item.voice_only and item.split not in unasked]
    if not kept:
        raise DataError("no item is left to cut")
    reasons = [f"{count} items of split {split!r}" for split, count in unasked.items() if count]
    if voices:
        reasons.append(f"{len(voices)} fakes whose voice alone is manipulated")
    return kept, reasons


def _check_values(what: str, wanted: Sequence[str], offered: set[str]) -> None:
    for value in wanted:
        if value not in offered:
            known = sorted(offer for offer in offered if offer)
            near = get_close_matches(value, known, n=3) or known
            raise DataError(f"no item of {what} {value!r}; there is {', '.join(near) or 'none'}")


def prepare(
    items: Sequence[Item],
    folder: Path,
    settings: Settings,
    *,
    workers: int = 1,
    on_progress: Progress | None = None,
) -> store.Index:
    """Cut all items into a store, or go on with one that was begun with the same items and settings.

    Args:
        items: of one or more data sets; a group must not cross splits.
        folder: the store; made where it is not there.
        settings: how faces are cut.
        workers: processes.
        on_progress: called with items done and items in all.

    Raises:
        DataError: a group crosses splits; the folder holds something else; or no face was found anywhere.
        OutputError: the store cannot be written.
    """
    check_leaks(items)
    jobs = plan(items, settings)
    index = _open(folder, jobs, settings, len({job.shard for job in jobs}))
    with _sole(folder / store.WORK):
        index = store.Index.read(folder) or index
        _fill(index, jobs, folder, settings, workers, on_progress or (lambda done, total: None))
    shutil.rmtree(folder / store.WORK, ignore_errors=True)
    if not any(shard.crops for shard in index.shards.values()):
        raise DataError(
            f"{folder}: no face was found in any of {len(jobs)} items; see {store.PROBLEMS} there"
        )
    return index


def _fill(
    index: store.Index,
    jobs: Sequence[Job],
    folder: Path,
    settings: Settings,
    workers: int,
    on_progress: Progress,
) -> None:
    """Cut what is missing and pack each zip as soon as it is whole."""
    work = folder / store.WORK
    shards: dict[int, list[Job]] = {}
    for job in jobs:
        if job.shard not in index.shards:
            shards.setdefault(job.shard, []).append(job)
    _clean(folder, {part_path(work, job).name for own in shards.values() for job in own})
    missing = [job for own in shards.values() for job in own if not zipfile.is_zipfile(part_path(work, job))]
    waiting = {number: {job.number for job in own} for number, own in shards.items()}

    def finish(finished: Sequence[Job]) -> None:
        for job in finished:
            waiting[job.shard].discard(job.number)
        for number in {job.shard for job in finished}:
            if not waiting[number]:
                index.shards[number] = pack(shards[number], folder, settings)
                index.write(folder)
                _write_problems(folder, index)
                for job in shards[number]:
                    part_path(work, job).unlink()
        on_progress(len(jobs) - sum(map(len, waiting.values())), len(jobs))

    absent = {job.number for job in missing}
    finish([job for own in shards.values() for job in own if job.number not in absent])
    for job in _cut_all(missing, work, settings, workers):
        finish([job])


@contextmanager
def _sole(work: Path) -> Iterator[None]:
    """Hold the store for one process at a time; the hold ends with the process, whatever ends that.

    Raises:
        DataError: another process is at work in the store.
    """
    try:
        import fcntl
    except ImportError:  # not on Windows
        yield
        return
    with (work / LOCK).open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise DataError(f"{work.parent}: another unmask prepare is at work here; wait for it") from None
        yield


def plan(items: Sequence[Item], settings: Settings) -> list[Job]:
    """Put the items in order (originals before the fakes made from them) and share them out among zips.

    Fakes go to the zip of their original, so that their crops can be paired when it is packed.
    """
    ordered = sorted(items, key=lambda i: (i.data_set, i.original or i.name, i.fake, i.name))
    jobs: list[Job] = []
    stems: dict[str, int] = {}
    shard, crops, family = 0, 0, ("", "")
    for number, item in enumerate(ordered):
        own = (item.data_set, item.original or item.name)
        if own != family and crops >= SHARD_CROPS:
            shard, crops = shard + 1, 0
        family = own
        crops += 1 if item.is_picture else settings.frames
        stem = re.sub(r"[^\w+=-]+", "_", item.name)
        stems[stem] = stems.get(stem, 0) + 1
        jobs.append(Job(number, shard, stem if stems[stem] == 1 else f"{stem}~{stems[stem]}", item))
    return jobs


def _open(folder: Path, jobs: Sequence[Job], settings: Settings, total: int) -> store.Index:
    """Make a store, or return what is there of this one."""
    facts = [[str(value) for value in vars(job.item).values()] for job in jobs]
    digest = hashlib.sha256(json.dumps(facts).encode()).hexdigest()
    how = settings.as_dict() | {name: load_card(WEIGHTS / name).sha256 for name in (NETWORK, MESH_NETWORK)}
    index = store.Index.read(folder)
    if index is None:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder}: is not empty and no store; choose another --output")
        (folder / store.WORK).mkdir(parents=True, exist_ok=True)
        index = store.Index(how, digest, total, {})
        index.write(folder)
    elif index.settings != how:
        differing = [name for name, value in how.items() if index.settings.get(name) != value]
        raise DataError(
            f"{folder}: this store was begun with other settings ({', '.join(differing)}); give the same, or "
            "choose another --output"
        )
    elif index.plan != digest:
        raise DataError(
            f"{folder}: this store was begun with other items (another data set or choice, or files were "
            "added or moved since); choose another --output"
        )
    (folder / store.WORK).mkdir(exist_ok=True)
    return index


def _clean(folder: Path, wanted: set[str]) -> None:
    """Remove what a killed run left of files that were being written, and parts of finished zips."""
    for path in [*(folder / store.WORK).iterdir(), *folder.glob(".*.part*")]:
        if path.name not in wanted and path.name != LOCK:
            path.unlink()


def part_path(work: Path, job: Job) -> Path:
    """Return the file that holds the crops of one item until its zip is packed."""
    return work / f"{job.number:08d}.zip"


# --- in the worker processes ---

_cutter: Cutter | None = None


def _begin(settings: Settings) -> None:
    """Make a worker ready: one thread, deaf to Ctrl-C, and no life without the process that started it."""
    global _cutter
    from unmask.runtime.session import set_threads

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    set_threads(1)
    _cutter = Cutter(settings, threads=1)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _cut(job: Job, work: Path, settings: Settings) -> None:
    assert _cutter is not None
    write_part(job, cut_or_explain(_cutter, job.item), work, settings)


def cut_or_explain(cutter: Cutter, item: Item) -> Cuts:
    """Cut an item; one that cannot be read gives no crops and says why."""
    try:
        return cutter.cut(item)
    except MediaError as error:
        return Cuts((), str(error))
    except Exception as error:  # a strange file must not end the work on a hundred thousand others
        return Cuts((), f"{item.path}: {type(error).__name__}: {error}")


def write_part(job: Job, cuts: Cuts, work: Path, settings: Settings) -> None:
    """Write the crops of one item, whole or not at all."""
    with atomic_path(part_path(work, job)) as path, zipfile.ZipFile(path, "w") as archive:
        rows = [_row(job, crop, several=_several(cuts.crops)) for crop in cuts.crops]
        for row, crop in zip(rows, cuts.crops, strict=True):
            _add(archive, f"images/{row['name']}{settings.suffix}", crop.picture)
        _add(archive, ROWS, json.dumps({"rows": rows, "problem": cuts.problem}).encode())
        _add(archive, store.LANDMARKS, _array_bytes(_meshes(cuts.crops)))


def _several(crops: Sequence[Crop]) -> bool:
    return any(crop.person != 0 for crop in crops)


def _row(job: Job, crop: Crop, *, several: bool) -> dict[str, str]:
    item = job.item
    return {
        "name": f"{job.stem}.{crop.frame:06d}" + (f"-{crop.person}" if several else ""),
        "label": item.label,
        "identity": item.group,
        "split": item.split,
        "original": "",
        "face_px": f"{crop.face_px:.0f}",
        "manipulation": item.manipulation,
        "source": item.source,
        "compression": item.compression,
        "data_set": item.data_set,
        "clip": item.name,
        "frame": str(crop.frame),
        "time": "" if crop.time is None else f"{crop.time:.3f}",
        "person": str(crop.person),
        "points": _numbers(crop.points),
        "box": _numbers(crop.box),
        "size": f"{crop.size[0]} {crop.size[1]}",
        "scale": f"{crop.scale:.4f}",
    }


def _numbers(values: np.ndarray) -> str:
    return " ".join(f"{value:.2f}" for value in values.ravel())


def _meshes(crops: Sequence[Crop]) -> np.ndarray:
    meshes = np.full((len(crops), LANDMARKS, 3), np.nan, np.float32)
    for place, crop in enumerate(crops):
        if crop.landmarks is not None:
            meshes[place] = crop.landmarks
    return meshes


def _array_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, EPOCH), data)


# --- in the main process ---


def _cut_all(jobs: Sequence[Job], work: Path, settings: Settings, workers: int) -> Iterator[Job]:
    """Yield each job when its part is written.

    When a worker dies (killed for want of memory, or crashed by a file), the jobs in hand are given to one
    worker alone, one after the other; the job with which that one dies too is entered as unreadable.
    """
    waiting, suspects = deque(jobs), deque[Job]()
    while waiting or suspects:
        alone = bool(suspects)
        source, size = (suspects, 1) if alone else (waiting, min(workers, len(waiting)))
        running: dict[Future[None], Job] = {}
        pool = ProcessPoolExecutor(size, get_context("spawn"), _begin, (settings,))
        try:
            while source or running:
                while source and len(running) < (1 if alone else 2 * size):
                    running[pool.submit(_cut, source[0], work, settings)] = source[0]
                    source.popleft()
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    yield running.pop(future)
        except BrokenProcessPool:
            lost = [job for job in running.values() if not part_path(work, job).is_file()]
            yield from (job for job in running.values() if job not in lost)
            if not alone:
                suspects.extend(lost)
            for job in lost if alone else ():
                reason = f"{job.item.path}: the process that read it was killed or crashed"
                write_part(job, Cuts((), reason), work, settings)
                yield job
        finally:
            pool.shutdown(cancel_futures=True)


def pack(jobs: Sequence[Job], folder: Path, settings: Settings) -> store.Shard:
    """Join the parts of one zip; link each crop of a fake to the crop of its original nearest in time."""
    work = folder / store.WORK
    parts = [_read_part(part_path(work, job)) for job in jobs]
    rows = [row for part in parts for row in part.rows]
    _link(jobs, parts)
    name = f"{_data_set(jobs)}-{jobs[0].shard:05d}.zip"
    with atomic_path(work / name) as path, zipfile.ZipFile(path, "w") as archive:
        _add(archive, store.METADATA, _table(rows, store.COLUMNS))
        for job, part in zip(jobs, parts, strict=True):
            with zipfile.ZipFile(part_path(work, job)) as source:
                for row in part.rows:
                    member = f"images/{row['name']}{settings.suffix}"
                    _add(archive, member, source.read(member))
        meshes = [part.landmarks for part in parts]
        _add(archive, store.LANDMARKS, _array_bytes(np.concatenate(meshes)))
    os.replace(work / name, folder / name)
    problems = tuple(
        store.Problem(
            clip=job.item.name,
            file=str(job.item.path) + (f"/{job.item.member}" if job.item.member else ""),
            label=job.item.label,
            split=job.item.split,
            crops=len(part.rows),
            problem=part.problem,
        )
        for job, part in zip(jobs, parts, strict=True)
        if part.problem
    )
    return store.Shard(file=name, clips=len(jobs), crops=len(rows), problems=problems)


@dataclass(frozen=True)
class _Part:
    rows: list[dict[str, str]]
    landmarks: np.ndarray
    problem: str


def _read_part(path: Path) -> _Part:
    with zipfile.ZipFile(path) as archive:
        content = json.loads(archive.read(ROWS))
        landmarks = np.load(io.BytesIO(archive.read(store.LANDMARKS)), allow_pickle=False)
    return _Part(content["rows"], landmarks, content["problem"])


def _link(jobs: Sequence[Job], parts: Sequence[_Part]) -> None:
    """Name, for each crop of a fake, the crop of the same person of its original that is nearest in time."""
    by_clip = {(job.item.data_set, job.item.name): part.rows for job, part in zip(jobs, parts, strict=True)}
    for job, part in zip(jobs, parts, strict=True):
        candidates = by_clip.get((job.item.data_set, job.item.original), [])
        for row in part.rows:
            alike = [other for other in candidates if other["person"] == row["person"]] or candidates
            if alike:
                row["original"] = min(alike, key=lambda other: _distance(row, other))["name"]


def _distance(row: dict[str, str], other: dict[str, str]) -> float:
    if row["time"] and other["time"]:
        return abs(float(row["time"]) - float(other["time"]))
    return abs(int(row["frame"]) - int(other["frame"]))


def _data_set(jobs: Sequence[Job]) -> str:
    names = {job.item.data_set for job in jobs}
    return re.sub(r"[^\w+=-]+", "_", names.pop()) if len(names) == 1 else "crops"


def _table(rows: Sequence[dict[str, str]], columns: Sequence[str]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _write_problems(folder: Path, index: store.Index) -> None:
    rows = [vars(problem) for _, shard in sorted(index.shards.items()) for problem in shard.problems]
    columns = list(store.Problem.__dataclass_fields__)
    with atomic_path(folder / store.PROBLEMS) as path:
        path.write_bytes(_table(rows, columns))
