"""Fits `verdict.json` for a network on the *tune* fold, going the whole way that `detect` goes.

Pictures are judged as they are. Clips are *tune* pictures filmed by a moving camera and encoded as H.264
(`data.motion`), for the zips hold single pictures: what a living face does from frame to frame is not in
them, so figures on clips rest on real clips (`unmask evaluate`), never on these.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from unmask.data.manifest import Item, thin
from unmask.data.motion import film
from unmask.data.pairs import Pictures
from unmask.evaluation.kinds import fit_kinds
from unmask.evaluation.learned import combine_held_out
from unmask.evaluation.metrics import Sample, group_weights, ranking_figures
from unmask.evaluation.scoring import central_person
from unmask.evaluation.spread import Judging, spread
from unmask.media.events import MediaError
from unmask.pipeline import analyse
from unmask.report.schema import Evidence, Person, Report
from unmask.runtime.card import load_card
from unmask.signals.logistic import expit, logit
from unmask.verdict.aggregate import AGGREGATIONS, LEARNED
from unmask.verdict.settings import LevelData, LevelName, VerdictSettings, fit_verdict

SCORE_EDGE = 1e-4
"""Frame scores in a report are rounded to four places."""
KIND_WORDS = {
    "DFDC": "face swap in video",
    "OpenForensics": "face swap in a photo",
    "StyleGAN family": "StyleGAN face",
    "Stable Diffusion 2.1": "Stable Diffusion face",
    "inswapper_128": "inswapper swap",
    "hand-made composite": "hand-made composite",
}
DRAWS = 1000
"""Bootstrap draws of the groups, by which ways to combine frames are compared."""


@dataclass(frozen=True)
class Judged:
    """An item and its frame logits (N,), combined nowhere yet."""

    item: Item
    logits: np.ndarray


@dataclass(frozen=True)
class Judge:
    """Judges with the product: the network's file, threads of all processes together, how many processes."""

    model: Path
    threads: int = 0
    processes: int = 1
    report: Callable[[str], None] = lambda _: None
    """Is called with one line of progress at a time."""

    def pictures(self, items: Sequence[Item]) -> list[Judged]:
        """Judge pictures; those whose face is not found are left out and counted."""
        return self._each(items, partial(_judging, self.model, None), "pictures")

    def films(
        self, items: Sequence[Item], *, seed: int, on_progress: Callable[[int, int], None] | None = None
    ) -> list[Judged]:
        """Film pictures, judge the films; `on_progress` is told how many are done, of all."""
        return self._each(items, partial(_judging, self.model, seed), "films", on_progress)

    def clips(self, items: Sequence[Item]) -> list[Judged]:
        """Judge clips by their most suspicious person; those without an answer are left out and counted."""
        return self._each(items, partial(_judging_clips, self.model), "clips")

    def _each(
        self,
        items: Sequence[Item],
        judging: Judging[tuple[int, Item], np.ndarray | None],
        what: str,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> list[Judged]:
        judged: list[Judged] = []
        answers = spread(judging, list(enumerate(items)), threads=self.threads, processes=self.processes)
        for done, (item, logits) in enumerate(zip(items, answers, strict=True), start=1):
            if logits is not None:
                judged.append(Judged(item, logits))
            if on_progress is not None:
                on_progress(done, len(items))
            if done % 500 == 0:
                self.report(f"{done} of {len(items)} {what}")
        self.report(f"{len(judged)} of {len(items)} {what} judged")
        return judged


@contextmanager
def _judging(
    model: Path, seed: int | None, threads: int
) -> Iterator[Callable[[tuple[int, Item]], np.ndarray | None]]:
    """Judge the frames of a numbered picture, or of a film of it where there is a seed."""
    pictures = Pictures()
    with tempfile.TemporaryDirectory() as folder:

        def judge(numbered: tuple[int, Item]) -> np.ndarray | None:
            number, item = numbered
            if seed is not None:
                path = Path(folder) / "film.mp4"
                film(pictures.read(item), path, np.random.default_rng((seed, number)))
            else:
                path = Path(folder) / f"picture{Path(item.member).suffix}"
                path.write_bytes(pictures.read_bytes(item))
            try:
                return _logits(analyse(path, model=model, threads=threads))
            except MediaError:
                return None

        yield judge


@contextmanager
def _judging_clips(model: Path, threads: int) -> Iterator[Callable[[tuple[int, Item]], np.ndarray | None]]:
    """Judge the frames of a clip's most suspicious person."""

    def judge(numbered: tuple[int, Item]) -> np.ndarray | None:
        try:
            answer = analyse(numbered[1].path, model=model, threads=threads)
        except MediaError:
            return None
        persons = [p.evidence["visual"] for p in answer.faces if "visual" in p.evidence]
        logits = [_frame_logits(e) for e in persons if e.status == "ok"]
        return max(logits, key=lambda values: float(values.mean())) if logits else None

    yield judge


def _logits(answer: Report) -> np.ndarray | None:
    """Return the frame logits of the face that the label speaks of, or None where it was not judged."""
    person: Person | None = central_person(
        [person for person in answer.faces if any(track.boxes for track in person.tracks)], answer.media.size
    )
    evidence = None if person is None else person.evidence.get("visual")
    return None if evidence is None or evidence.status != "ok" else _frame_logits(evidence)


def _frame_logits(evidence: Evidence) -> np.ndarray:
    """Return the frame logits of evidence with a score."""
    if not evidence.timeline:
        return np.array([evidence.measurements["logit"].value])
    scores = np.array([score for _, score in evidence.timeline])
    return logit(np.clip(scores, SCORE_EDGE, 1 - SCORE_EDGE))


def level_data(
    judged: Sequence[Judged], combine: Callable[[np.ndarray], float], *, fold: str = "tune"
) -> LevelData:
    """Arrange judged items of a fold for the fit of one level."""
    return LevelData(
        scores=np.array([combine(j.logits) for j in judged]),
        labels=np.array([int(j.item.label == "fake") for j in judged]),
        groups=np.array([f"{j.item.data_set}:{j.item.group}" for j in judged]),
        kinds=np.array([KIND_WORDS.get(j.item.manipulation, j.item.manipulation) for j in judged]),
        faces=np.ones(len(judged), int),
        fold=fold,
    )


def compare_aggregations(films: Sequence[Judged], *, seed: int = 0) -> dict[str, np.ndarray]:
    """Return the AUC on films of each way to combine the logits of frames: (1 + draws,).

    The first is of all films, the others of bootstrap draws of their groups, the same for all ways. Draws
    without a real or without a fake film are NaN. Of the learned way each film is judged by what was learned
    on films of other groups; where these are too few, it is left out.
    """
    labels = [j.item.label == "fake" for j in films]
    groups = [f"{j.item.data_set}:{j.item.group}" for j in films]
    index = np.unique(groups, return_inverse=True)[1]
    drawn = group_weights(index, draws=DRAWS, generator=np.random.default_rng(seed))
    weights = np.concatenate([np.ones((1, len(films))), drawn])
    combined = {name: np.array([combine(j.logits) for j in films]) for name, combine in AGGREGATIONS.items()}
    learned = combine_held_out([j.logits for j in films], labels, groups)
    if learned is not None:
        combined[LEARNED] = learned
    return {
        name: ranking_figures(Sample.of(labels, expit(logits), groups), weights)["auc"]
        for name, logits in combined.items()
    }


def choose_aggregation(aucs: dict[str, np.ndarray]) -> str:
    """Return the best way to combine frames; the mean unless the 95 % interval of the gain lies above 0.

    Only ways that `verdict.json` can name take part, so not the learned one.
    """
    best = max(AGGREGATIONS, key=lambda name: aucs[name][0])
    gain = aucs[best][1:] - aucs["mean"][1:]
    return best if np.nanpercentile(gain, 2.5) > 0 else "mean"


def calibrate(
    model: Path,
    items: Sequence[Item],
    *,
    held_out: Sequence[Item] = (),
    clips: Sequence[Item] = (),
    pictures: int = 1200,
    films: int = 100,
    threads: int = 2,
    processes: int = 1,
    seed: int = 0,
    report: Callable[[str], None],
) -> VerdictSettings:
    """Fit the verdict settings of an exported network.

    Args:
        model: the ONNX file, its card beside it.
        items: of any split; only *tune* is fitted on.
        held_out: items of *val*, for the stated shares of fakes missed in pictures.
        clips: labelled clips that nothing is chosen on, for the stated shares of fakes missed in clips.
        pictures: at most so many of each data set and manipulation.
        films: at most so many filmed of each.
        threads: of all processes together; 0: all cores.
        processes: at most so many, see `evaluation.spread`.
        seed: of the choice of items and of the filming.
        report: called with one line of progress at a time.

    Raises:
        ValueError: the tune items do not allow a fit.
    """
    tune = [item for item in items if item.split == "tune"]
    judge = Judge(model, threads, processes, report)
    judged = judge.pictures(thin(tune, pictures, seed=seed))
    shown = judge.pictures(held_out)
    filmed = judge.films(thin(tune, films, seed=seed), seed=seed)
    seen = judge.clips(clips)
    aucs = compare_aggregations(filmed, seed=seed)
    chosen = choose_aggregation(aucs)
    report("AUC on films: " + ", ".join(f"{n} {v[0]:.4f}" for n, v in aucs.items()) + f"; chosen: {chosen}")
    picture = level_data(judged, AGGREGATIONS["mean"])
    clip = level_data(filmed, AGGREGATIONS[chosen])
    held: dict[LevelName, LevelData] = {}
    if shown:
        held["picture"] = level_data(shown, AGGREGATIONS["mean"], fold="val")
    if seen:
        held["track"] = held["file"] = level_data(seen, AGGREGATIONS[chosen], fold="open")
    return fit_verdict(
        network_sha256=load_card(model).sha256,
        picture=picture,
        track=clip,
        file=clip,
        aggregation=chosen,
        kinds=fit_kinds(model, items, threads=threads, seed=seed, report=report),
        held_out=held,
    )
