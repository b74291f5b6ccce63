"""Draws an evaluation: curves, score distributions, the worst mistakes, and the HTML page that holds them."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from unmask.evaluation import metrics
from unmask.evaluation.results import sample_of
from unmask.evaluation.scoring import Score
from unmask.evaluation.variants import Variant, VariantError, Workbench
from unmask.report.words import KINDS

THUMBNAIL = 144
TEXT = 20
"""Letters that fit under a thumbnail."""
WORST = 18
"""Mistakes of each sort on the sheet."""
FIGURE_NAMES = {
    "auc": "AUC",
    "average_precision": "average precision",
    "eer": "equal error rate",
    "tpr_at_1%_fpr": "fakes found at 1 % false alarms",
    "tpr_at_0.1%_fpr": "fakes found at 0.1 % false alarms",
    "log_loss": "log loss",
    "brier": "Brier score",
    "expected_calibration_error": "expected calibration error",
}
LEVEL_NAMES = {
    "frame": "frame level: each frame by itself",
    "video": "video level: the crops of a video together",
}
DECISION_NAMES = {
    "product": "the product's verdict",
    "even": "probability 0.5",
    "youden": "Youden's J on tune",
    "false_alarm_rate": "false-alarm rate on tune",
}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Evaluation of {{ run.checkpoint.name }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 } td, th { padding: .2rem .8rem; text-align: right;
border-bottom: 1px solid #ddd } td:first-child, th:first-child { text-align: left } img { max-width: 100% }
code { background: #f3f3f3; padding: .1rem .3rem; overflow-wrap: anywhere } .note { color: #666 }
</style>
<h1>Evaluation of {{ run.checkpoint.name }}</h1>
<p><code>{{ run.command }}</code></p>
<p class="note">Media: {{ run.variant }}. Intervals are bootstrap 95 % over groups
({{ run.draws }} draws); shares have Clopper-Pearson intervals. An item without an answer (no face found, not
readable) counts as the worst possible mistake in every figure.
{% if run.left_out_as_trained_on %}Left out, for the network was trained on these groups:
{{ run.left_out_as_trained_on | join(", ") }}.{% endif %}</p>
{% for r in run.results %}
<h2>{{ r.data_set }}{% if r.split %} ({{ r.split }}){% endif %}</h2>
<p>{{ r.level | capitalize }} level. {{ r.real }} real and {{ r.fake }} fake items in {{ r.groups }} groups;
one face found in {{ r.faces_found.one }}, several in {{ r.faces_found.several }}, none in
{{ r.faces_found.none }}; {{ r.faces_found.without_answer }} without an answer.</p>
{% if r.figures %}
<table><tr><th>figure<th>all fakes{% for name in r.manipulations if r.manipulations | length > 1 %}
<th>{{ name }}{% endfor %}</tr>
{% for key, title in figure_names.items() if key in r.figures %}
<tr><td>{{ title }}<td>{{ value(r.figures[key]) }}
{% for m in r.manipulations.values() if r.manipulations | length > 1 %}<td>{{ value(m.figures.get(key)) }}
{% endfor %}</tr>
{% endfor %}
{% for name, m in r.manipulations.items() if m.own_reals is defined %}
<tr><td>AUC, {{ name }} against the {{ m.own_reals.real }} reals of its own groups
<td>{{ value(m.own_reals.figures.get("auc")) }}</tr>
{% endfor %}
</table>
<table><tr><th>called fake at<th>accuracy<th>balanced accuracy<th>precision<th>recall<th>F1
<th>false positives</tr>
{% for key, d in r.decisions.items() %}<tr><td>{{ decision_names[key] }}
{% for name in ["accuracy", "balanced_accuracy", "precision", "recall", "f1", "false_positive_rate"] %}
<td>{{ value(d[name]) }}{% endfor %}</tr>{% endfor %}
</table>
{% endif %}
{% for name, l in r.levels.items() %}
<table><tr><th>{{ level_title(name, l) }}<th>real<th>fake
{% for key, title in figure_names.items() if key in l.figures %}<th>{{ title }}{% endfor %}</tr>
{% for kind, m in level_rows(l).items() %}<tr><td>{{ kind }}<td>{{ m.real }}<td>{{ m.fake }}
{% for key in figure_names if key in l.figures %}<td>{{ value(m.figures.get(key)) }}{% endfor %}</tr>
{% endfor %}
</table>
{% endfor %}
{% if r.aggregations %}
<table><tr><th>frames of a clip combined by<th>AUC</tr>
{% for name, figure in r.aggregations.items() %}<tr><td>{{ name }}<td>{{ value(figure) }}</tr>{% endfor %}
</table>
{% endif %}
<table><tr><th>verdicts<th>items<th>fake<th>real<th>inconclusive<th>failed</tr>
{% for name, s in r.real_sources.items() %}<tr><td>real: {{ name }}<td>{{ s.n }}
{% for o in outcomes %}<td>{{ share(s[o]) }}{% endfor %}</tr>{% endfor %}
{% for name, m in r.manipulations.items() %}<tr><td>fake: {{ name }}<td>{{ m.shares.n }}
{% for o in outcomes %}<td>{{ share(m.shares[o]) }}{% endfor %}</tr>{% endfor %}
</table>
{% if r.manipulations.values() | selectattr("named", "defined") | selectattr("named") | list %}
<table><tr><th>fakes called fake, by the kind named
{% for title in kind_names.values() %}<th>{{ title }}{% endfor %}</tr>
{% for name, m in r.manipulations.items() if m.named %}<tr><td>{{ name }}
{% for kind in kind_names %}<td>{{ m.named.get(kind, 0) }}{% endfor %}</tr>{% endfor %}
</table>
{% endif %}
<img alt="curves" src="data:image/png;base64,{{ plots[loop.index0] }}">
{% endfor %}
<h2>Worst mistakes</h2>
<p class="note">Real items with the highest scores, then fakes with the lowest. “none”: no answer.</p>
{% for title, png in sheets.items() %}<h3>{{ title }}</h3>
<img alt="{{ title }}" src="data:image/png;base64,{{ png }}">
{% endfor %}
</html>
"""


def level_title(name: str, part: dict[str, Any]) -> str:
    """Name a level beside that of the items, and how crops were combined for it."""
    way = f", combined by {part['combined_by']}" if "combined_by" in part else ""
    return LEVEL_NAMES[name] + way


def level_rows(part: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the rows of a level's table: its manipulations, and all together where they are not one."""
    kinds = part["manipulations"]
    return kinds if len(kinds) == 1 else kinds | {"all": part}


def value(figure: dict[str, Any] | None, digits: int = 3) -> str:
    """Write a figure with its interval, such as `0.912 (0.890-0.934)`; "-" where it is not defined."""
    if not figure or figure["value"] is None:
        return "-"
    low, high = figure["interval"]
    bounds = "" if low is None else f" ({low:.{digits}f}-{high:.{digits}f})"
    return f"{figure['value']:.{digits}f}{bounds}"


def share(part: dict[str, Any]) -> str:
    """Write a share with its interval in per cent, and the count: `1.9 % (0.7-4.1), 4`."""
    if part["value"] is None:
        return "-"
    low, high = part["interval"]
    return f"{100 * part['value']:.1f} % ({100 * low:.1f}-{100 * high:.1f}), {part['count']}"


def draw_curves(scores: Sequence[Score], title: str) -> bytes:
    """Return a PNG with ROC, precision-recall, calibration and score distribution of some scores."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(16, 4), layout="constrained")
    axes = figure.subplots(1, 4)
    sample = sample_of(scores)
    if sample.fake.any() and not sample.fake.all():
        _draw_ranking(axes[0], axes[1], scores)
        _draw_calibration(axes[2], sample)
    else:
        for axis in axes[:3]:
            axis.set_axis_off()
    _draw_distribution(axes[3], sample)
    figure.suptitle(title)
    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    return png.getvalue()


def _draw_ranking(roc: Any, recall: Any, scores: Sequence[Score]) -> None:
    """Draw ROC and precision-recall curves, one a manipulation against all reals."""
    reals = [score for score in scores if not score.item.fake]
    for name in sorted({score.item.manipulation for score in scores if score.item.fake}):
        sample = sample_of(
            reals + [score for score in scores if score.item.fake and score.item.manipulation == name]
        )
        points = metrics.curve(sample, np.ones((1, len(sample))))
        hits, alarms = points.true_positives[0], points.false_positives[0]
        roc.plot(np.r_[0, alarms / alarms[-1]], np.r_[0, hits / hits[-1]], label=name)
        recall.step(hits / hits[-1], hits / (hits + alarms), where="pre", label=name)
    roc.plot([0, 1], [0, 1], ":", color="grey")
    roc.set(title="ROC", xlabel="real called fake", ylabel="fake called fake", xlim=(0, 1), ylim=(0, 1.01))
    recall.set(title="precision-recall", xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.01))
    roc.legend(fontsize=7, loc="lower right")


def _draw_calibration(axis: Any, sample: metrics.Sample) -> None:
    bins = metrics.calibration_bins(sample)
    axis.plot([0, 1], [0, 1], ":", color="grey")
    axis.plot([mean for mean, _, _ in bins], [share for _, share, _ in bins], "o-")
    for mean, fakes, count in bins:
        axis.annotate(str(count), (mean, fakes), fontsize=7, xytext=(4, -8), textcoords="offset points")
    axis.set(
        title="calibration", xlabel="stated probability", ylabel="share of fakes", xlim=(0, 1), ylim=(0, 1)
    )


def _draw_distribution(axis: Any, sample: metrics.Sample) -> None:
    edges = np.linspace(0, 1, 26)
    answered = sample.take(~sample.missing)
    for mask, name, colour in ((~answered.fake, "real", "tab:blue"), (answered.fake, "fake", "tab:red")):
        if mask.any():
            axis.hist(
                answered.probability[mask], edges, alpha=0.5, label=f"{name} ({mask.sum()})", color=colour
            )
    axis.set(title="scores", xlabel="probability", ylabel="items", xlim=(0, 1))
    if len(answered):
        axis.legend(fontsize=7)


def worst(scores: Sequence[Score], *, fake: bool, count: int = WORST) -> list[Score]:
    """Return the worst mistakes on real (`fake` False: false alarms) or fake items (misses), worst first.

    Only items on the wrong side of 0.5, or called the wrong thing, or without an answer, are mistakes.
    """
    opposite = "real" if fake else "fake"

    def badness(score: Score) -> float:
        if score.probability is None:
            return 2.0
        return 1 - score.probability if fake else score.probability

    mistakes = [
        score
        for score in scores
        if score.item.fake == fake and (score.outcome == opposite or badness(score) > 0.5)
    ]
    return sorted(mistakes, key=lambda score: (-badness(score), score.item.file_name))[:count]


def draw_sheet(scores: Sequence[Score], *, variant: Variant | None = None, columns: int = 6) -> bytes | None:
    """Return a PNG with each item's judged face and score; None without items."""
    if not scores:
        return None
    with Workbench(variant) as bench:
        tiles = [_tile(bench, score) for score in scores]
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return cv2.imencode(".png", np.vstack(rows)[:, :, ::-1])[1].tobytes()


def _tile(bench: Workbench, score: Score) -> np.ndarray:
    tile = np.full((THUMBNAIL + 34, THUMBNAIL + 8, 3), 255, np.uint8)
    picture = _picture(bench, score)
    if picture is not None:
        scale = THUMBNAIL / max(picture.shape[:2])
        size = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        tile[4 : 4 + size[1], 4 : 4 + size[0]] = small
    score_text = "none" if score.probability is None else f"{score.probability:.3f}"
    name = score.item.manipulation or score.item.source
    for text, line in ((f"{score_text} {name}"[:TEXT], 14), (score.item.file_name[:TEXT], 28)):
        place = (4, THUMBNAIL + line)
        cv2.putText(tile, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.36, (40, 40, 40), 1, cv2.LINE_AA)
    return tile


def _picture(bench: Workbench, score: Score) -> np.ndarray | None:
    """Return the judged face with surroundings, or the whole picture without one; None if unreadable."""
    try:
        with bench.file(score.item) as path:
            pixels = _read_frame(path, score.time or 0.0) if score.kind != "picture" else _read_picture(path)
    except (VariantError, OSError, ValueError, SyntaxError):
        return None
    if score.box is None:
        return pixels
    x, y, width, height = score.box
    pad = 0.3 * max(width, height)
    left, top = max(0, int(x - pad)), max(0, int(y - pad))
    part = pixels[top : int(y + height + pad), left : int(x + width + pad)]
    return part if part.size else pixels


def _read_picture(path: Any) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as stored:
        return np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))


def _read_frame(path: Any, time: float) -> np.ndarray:
    """Return the first frame at or after `time` seconds, upright."""
    import av

    try:
        with av.open(str(path)) as container:
            first, pixels, turn = None, None, 0
            for frame in container.decode(video=0):
                first = frame.time if first is None else first
                pixels, turn = frame, round(frame.rotation / 90) % 4
                if (frame.time or 0.0) - (first or 0.0) >= time - 1e-3:
                    break
    except av.FFmpegError as error:
        raise ValueError(str(error)) from None
    if pixels is None:
        raise ValueError("no frame")
    return np.ascontiguousarray(np.rot90(pixels.to_ndarray(format="rgb24"), k=turn))


def mistake_sheets(scores: Sequence[Score], *, variant: Variant | None = None) -> dict[str, bytes]:
    """Return PNG sheets of the worst mistakes, `false_alarms` and `misses`; one without items is left out."""
    drawn = {
        "false_alarms": draw_sheet(worst(scores, fake=False), variant=variant),
        "misses": draw_sheet(worst(scores, fake=True), variant=variant),
    }
    return {name: png for name, png in drawn.items() if png}


def render(run: dict[str, Any], scores: Sequence[Score], sheets: Mapping[str, bytes]) -> str:
    """Return the HTML page of an evaluation: its JSON, the scores behind it, its sheets of mistakes."""
    import jinja2

    plots = [
        draw_curves(
            [
                score
                for score in scores
                if (score.item.data_set, score.item.split) == (result["data_set"], result["split"])
            ],
            f"{result['data_set']} {result['split']}".strip(),
        )
        for result in run["results"]
    ]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    return environment.from_string(PAGE).render(
        run=run,
        plots=[base64.b64encode(png).decode() for png in plots],
        sheets={name.replace("_", " "): base64.b64encode(png).decode() for name, png in sheets.items()},
        figure_names=FIGURE_NAMES,
        decision_names=DECISION_NAMES,
        kind_names=KINDS,
        outcomes=("fake", "real", "inconclusive", "failed"),
        level_title=level_title,
        level_rows=level_rows,
        value=value,
        share=share,
    )
