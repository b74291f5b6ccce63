"""What one item of an evaluation is, and the level beside it: the frames of clips, the videos of crops.

Papers state AUC frame by frame, video by video, or both (as in DeepfakeBench, Yan et al. 2023, 2307.01426,
section 4). Clips are judged whole, so their frames are the other level; the crops of a store are judged one
by one, so their videos are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from unmask.evaluation.scoring import Score
from unmask.signals.logistic import expit

Level = Literal["picture", "frame", "video"]


def level_of(score: Score) -> Level:
    """Return whether what was judged is a picture that stands alone, a frame of a video, or a whole video.

    What could not be analysed is known by its name alone.
    """
    item = score.item
    picture = item.is_picture if score.outcome == "failed" else score.kind == "picture"
    if not picture:
        return "video"
    return "frame" if item.clip else "picture"


def level(scores: Sequence[Score]) -> str:
    """Return the level of scores in words, such as `video`, or `picture and video` where both occur."""
    return " and ".join(sorted({level_of(score) for score in scores}))


def frames_of(scores: Sequence[Score]) -> list[Score]:
    """Return a score for each frame of the clips among the scores; its group is that of the clip.

    The frames are those of the person that decided the verdict, as the network scored them. A clip of which
    no frame was judged counts as one frame without an answer.
    """
    return [
        replace(score, probability=value, frames=())
        for score in scores
        if level_of(score) == "video"
        for value in score.frames or (None,)
    ]


def videos_of(scores: Sequence[Score], combine: Callable[[np.ndarray], float]) -> list[Score]:
    """Return a score for each video of which there are crops among the scores.

    Args:
        scores: of any items; those that are no crop of a video are passed over.
        combine: makes one logit of the network's logits (N,) of the crops that were judged. A video of
            which none was judged has no answer.
    """
    videos: dict[tuple[str, str, str], list[Score]] = {}
    for score in scores:
        if level_of(score) == "frame":
            item = score.item
            videos.setdefault((item.data_set, item.split, item.clip), []).append(score)
    joined = []
    for crops in videos.values():
        logits = [score.logit for score in crops if score.logit is not None]
        probability = float(expit(combine(np.array(logits)))) if logits else None
        joined.append(replace(crops[0], probability=probability, logit=None))
    return joined
