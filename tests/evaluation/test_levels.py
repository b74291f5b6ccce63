"""Frames of clips and videos of crops, beside the items judged: counted by hand or by scikit-learn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_making import score

from unmask.evaluation import results
from unmask.evaluation.levels import frames_of, level, videos_of
from unmask.evaluation.scoring import Score
from unmask.verdict.aggregate import mean, median


def clip(name: str, *frames: float, fake: bool, **more) -> Score:
    probability = sum(frames) / len(frames) if frames else None
    judged = score(name, probability, fake=fake, crop=False, **more)
    return replace(judged, kind="video", frames=frames)


def crop(name: str, logit: float | None, video: str, *, fake: bool) -> Score:
    probability = None if logit is None else 0.5
    return replace(score(name, probability, fake=fake, group=video, clip=video), logit=logit)


def test_every_frame_of_a_clip_is_an_item():
    """Pairs of a fake and a real frame: .5 beats .1 alone, .9 both: three of four."""
    scores = [clip("real.mp4", 0.1, 0.6, fake=False), clip("fake.mp4", 0.5, 0.9, fake=True)]
    (result,) = results.evaluate(scores, draws=100)
    assert result["level"] == "video"
    assert (result["items"], result["figures"]["auc"]["value"]) == (2, 1)
    frames = result["levels"]["frame"]
    assert (frames["items"], frames["real"], frames["fake"], frames["groups"]) == (4, 2, 2, 2)
    assert frames["figures"]["auc"]["value"] == 0.75
    assert frames["manipulations"]["swap"]["figures"]["auc"]["value"] == 0.75


def test_the_frames_of_a_group_are_drawn_together():
    """Each class is one group, so every draw that holds both holds all frames alike: no spread."""
    scores = [clip("real.mp4", 0.1, 0.6, fake=False), clip("fake.mp4", 0.5, 0.9, fake=True)]
    (result,) = results.evaluate(scores, draws=200)
    assert result["levels"]["frame"]["figures"]["auc"]["interval"] == [0.75, 0.75]


def test_frame_figures_are_those_of_scikit_learn():
    reference = pytest.importorskip("sklearn.metrics", reason="needs the train extra")
    rng = np.random.default_rng(3)
    scores = [
        clip(f"{n}.mp4", *rng.uniform(0.3 * (n % 2), 1, size=1 + n).tolist(), fake=n % 2 == 1)
        for n in range(12)
    ]
    (result,) = results.evaluate(scores, draws=100)
    labels = [s.item.fake for s in scores for _ in s.frames]
    values = [value for s in scores for value in s.frames]
    found = result["levels"]["frame"]["figures"]
    assert found["auc"]["value"] == pytest.approx(reference.roc_auc_score(labels, values), abs=1e-5)
    assert found["average_precision"]["value"] == pytest.approx(
        reference.average_precision_score(labels, values), abs=1e-5
    )


def test_a_clip_without_a_judged_frame_is_one_frame_without_an_answer():
    scores = [clip("r.mp4", 0.1, 0.2, fake=False), clip("f.mp4", 0.9, fake=True), clip("n.mp4", fake=True)]
    (result,) = results.evaluate(scores, draws=100)
    frames = result["levels"]["frame"]
    assert (frames["items"], frames["without_answer"]) == (4, 1)
    assert frames["figures"]["auc"]["value"] == 0.5
    assert [s.probability for s in frames_of(scores)] == [0.1, 0.2, 0.9, None]


def test_the_crops_of_a_video_are_combined_as_the_product_combines_frames():
    """Means: real (2 - 4) / 2 = -1, fake -0.5. By crop -0.5 beats -4 and not 2."""
    scores = [
        crop("r0.jpg", 2.0, "real.mp4", fake=False),
        crop("r1.jpg", -4.0, "real.mp4", fake=False),
        crop("f0.jpg", -0.5, "fake.mp4", fake=True),
        crop("f1.jpg", -0.5, "fake.mp4", fake=True),
    ]
    (result,) = results.evaluate(scores, draws=100)
    videos = result["levels"]["video"]
    assert result["level"] == "frame"
    assert (videos["items"], videos["real"], videos["fake"], videos["combined_by"]) == (2, 1, 1, "mean")
    assert videos["figures"]["auc"]["value"] == 1
    real, fake = videos_of(scores, mean)
    assert real.probability == pytest.approx(1 / (1 + np.e))
    assert fake.probability == pytest.approx(1 / (1 + np.exp(0.5)))


def test_another_way_of_combining_is_followed():
    scores = [crop(f"{i}.jpg", logit, "v.mp4", fake=True) for i, logit in enumerate((0.0, 0.0, 30.0))]
    assert videos_of(scores, median)[0].probability == 0.5
    assert videos_of(scores, mean)[0].probability == pytest.approx(1 / (1 + np.exp(-10)))


def test_a_crop_without_an_answer_is_left_out_of_its_video_and_a_video_without_any_has_none():
    scores = [
        crop("a.jpg", None, "a.mp4", fake=True),
        crop("b.jpg", 0.0, "a.mp4", fake=True),
        crop("c.jpg", None, "b.mp4", fake=True),
    ]
    assert [s.probability for s in videos_of(scores, mean)] == [0.5, None]


def test_videos_of_one_name_in_two_data_sets_stay_apart():
    one = crop("a.jpg", 1.0, "0.mp4", fake=True)
    other = replace(one, item=replace(one.item, data_set="other"))
    assert len(videos_of([one, other], mean)) == 2


def test_pictures_have_no_other_level():
    scores = [score("a.jpg", 0.1, fake=False), score("b.jpg", 0.9, fake=True)]
    (result,) = results.evaluate(scores, draws=100)
    assert (result["level"], result["levels"]) == ("picture", {})


def test_both_levels_are_named_where_both_occur():
    scores = [score("a.jpg", 0.1, fake=False), clip("b.mp4", 0.9, fake=True)]
    assert level(scores) == "picture and video"


def test_what_could_not_be_analysed_is_known_by_its_name():
    broken = [score(name, None, fake=True, outcome="failed") for name in ("a.mp4", "a.jpg")]
    assert [level([one]) for one in broken] == ["video", "picture"]
