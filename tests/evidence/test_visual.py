"""The visual analyser, with a network whose logit is a tenth of the crop's mean brightness above 128."""

from __future__ import annotations

import gc
import math
import sys
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

import tiny_networks
from unmask.evidence.registry import Options
from unmask.evidence.visual import BATCH, Visual, heat_in_frame, load_network, standard_error
from unmask.faces.align import crop_matrix
from unmask.faces.face import Detection, Face, Quality
from unmask.media.events import Frame, Media
from unmask.runtime import companion
from unmask.runtime.card import WeightError, load_card

POINTS = np.array([[80.0, 90], [120, 90], [100, 110], [85, 130], [115, 130]])
"""Eyes 40 px apart: the crop is 86 px wide, round about (100, 110)."""


def media(kind="video"):
    return Media(Path("x"), "0" * 64, kind, "x", (200, 200), 10.0, Fraction(30))


def face(track=0, time=0.0, *, size=100.0, exposure=120.0):
    quality = Quality(size=size, sharpness=100, frontality=1, exposure=exposure, occlusion=0)
    return Face(track, 0, time, Detection(np.array([60.0, 60, 80, 100]), POINTS, 0.9), quality)


def frame(brightness, time=0.0, index=0):
    pixels = np.empty((200, 200, 3), np.uint8)
    pixels[:] = brightness
    return Frame(index, time, pixels, np.eye(2, 3))


@pytest.fixture
def tiny(tmp_path):
    return tiny_networks.brightness_network(tmp_path)


def start(tiny, kind="video", **options):
    analyser = Visual(Options(models={"visual": tiny}, **options))
    analyser.begin(media(kind))
    return analyser


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def test_a_track_gets_the_mean_logit_of_its_frames(tiny):
    analyser = start(tiny)
    for k, brightness in enumerate([118, 128, 138, 148]):  # logits -1, 0, 1, 2
        analyser.observe(frame(brightness, k), [face(7, time=float(k))])
    (found,) = analyser.conclude()
    assert (found.analyser, found.track, found.status) == ("visual", 7, "ok")
    assert found.score == pytest.approx(sigmoid(0.5), abs=1e-5)
    assert [t for t, _ in found.timeline] == [0, 1, 2, 3]
    assert [s for _, s in found.timeline] == pytest.approx([sigmoid(x) for x in (-1, 0, 1, 2)], abs=1e-5)
    measured = {name: m.value for name, m in found.measurements.items()}
    assert measured["frames"] == 4
    assert measured["logit"] == pytest.approx(0.5)
    assert measured["spread"] == pytest.approx(math.sqrt(5 / 3), abs=1e-4)
    assert measured["standard error"] == pytest.approx(math.sqrt(5 / 12), abs=1e-4)
    assert found.embedding == pytest.approx([133, 133, 133])


def test_many_faces_in_many_frames_keep_their_own_scores(tiny):
    analyser = start(tiny)
    count = 2 * BATCH + 3
    for k in range(count):
        pixels = frame(108, k)
        analyser.observe(pixels, [face(1, float(k))])
        analyser.observe(frame(148, k), [face(2, float(k)), face(5, float(k))])
    found = {e.track: e for e in analyser.conclude()}
    assert set(found) == {1, 2, 5}
    assert found[1].score == pytest.approx(sigmoid(-2), abs=1e-5)
    assert found[2].score == found[5].score == pytest.approx(sigmoid(2), abs=1e-5)
    assert all(e.measurements["frames"].value == count for e in found.values())


def test_begin_forgets_the_file_before(tiny):
    analyser = start(tiny)
    for k in range(5):
        analyser.observe(frame(148, k), [face(0, float(k))])
    analyser.begin(media())
    assert analyser.conclude() == []


@pytest.mark.parametrize(("quality", "reason"), [({"size": 20}, "too small"), ({"exposure": 3}, "too dark")])
def test_what_cannot_be_judged_is_inconclusive_with_the_reason(tiny, quality, reason):
    analyser = start(tiny)
    for k in range(9):
        analyser.observe(frame(148, k), [face(0, float(k), **quality)])
    (found,) = analyser.conclude()
    assert found.status == "inconclusive"
    assert found.score is None
    assert reason in found.reason
    assert found.timeline == ()


def test_frames_that_cannot_be_judged_are_left_out(tiny):
    analyser = start(tiny)
    for k in range(8):
        small = k % 2 == 1
        analyser.observe(frame(255 if small else 138, k), [face(0, float(k), size=20 if small else 90)])
    (found,) = analyser.conclude()
    assert found.score == pytest.approx(sigmoid(1), abs=1e-5)
    assert found.measurements["frames refused"].value == 4


def test_two_frames_of_a_clip_are_too_few(tiny):
    analyser = start(tiny)
    for k in range(2):
        analyser.observe(frame(148, k), [face(0, float(k))])
    (found,) = analyser.conclude()
    assert found.status == "inconclusive"
    assert "too briefly" in found.reason


def test_a_picture_is_one_frame(tiny):
    analyser = start(tiny, "picture")
    analyser.observe(frame(148, None), [face(0, None)])
    (found,) = analyser.conclude()
    assert found.score == pytest.approx(sigmoid(2), abs=1e-5)
    assert found.timeline == ()
    assert found.measurements["standard error"].value == 0


def test_frames_within_a_second_count_as_one_look():
    # deviation sqrt(2); two looks (0.0 and 1.0), so sqrt(2) / sqrt(2)
    logits = np.array([0.0, 2.0, 0.0, 2.0, 0.0, 2.0, 1.0])
    spread = float(np.sqrt(6 / 6))
    assert standard_error(logits, np.array([0, 0.1, 0.2, 0.3, 1.0, 1.1, 1.2])) == pytest.approx(
        spread / math.sqrt(2)
    )
    assert standard_error(logits[:1], np.zeros(1)) == 0


def test_no_frame_is_kept(tiny):
    analyser = start(tiny)
    alive = []
    for k in range(5 * BATCH + 1):
        seen = frame(130, k)
        alive.append(weakref.ref(seen.pixels))
        analyser.observe(seen, [face(0, float(k))])
        del seen
    gc.collect()
    assert sum(ref() is not None for ref in alive) == 0


def test_a_heat_map_shows_where_the_score_comes_from(tiny):
    heats = []
    analyser = start(tiny, on_heat=heats.append)
    seen = frame(100)
    seen.pixels[:, 100:] = 180  # the right half of the face is bright: 0.1 * (180 - 128) against -2.8
    analyser.observe(seen, [face(3)])
    (heat,) = heats  # at once, though the batch is not full
    assert heat.analyser == "visual"
    assert heat.face.track == 3
    size = tiny_networks.SIZE
    assert heat.values.shape == (size, size)
    assert heat.values[:, 2] == pytest.approx(-2.8, abs=0.2)
    assert heat.values[:, -2] == pytest.approx(5.2, abs=0.2)
    assert heat.score == pytest.approx(sigmoid(float(heat.values.mean())), abs=0.05)
    laid = heat_in_frame(heat)
    assert laid.shape == (200, 200)
    assert laid[110, 70] == pytest.approx(-2.8, abs=0.3)
    assert laid[110, 130] == pytest.approx(5.2, abs=0.3)
    # outside the crop, 86 px wide, there is nothing
    assert (laid[:, :50] == 0).all()
    assert (laid[:50] == 0).all()


def test_each_face_of_a_picture_is_judged_as_it_is_and_mirrored(tiny):
    heats = []
    analyser = start(tiny, "picture", on_heat=heats.append)
    seen = frame(100)
    seen.pixels[:, 100:] = 180
    analyser.observe(seen, [face()])
    # this network's map of a mirrored picture is the mirrored map: turned back, nothing has changed
    assert heats[0].values[:, 2] == pytest.approx(-2.8, abs=0.2)
    assert heats[0].values[:, -2] == pytest.approx(5.2, abs=0.2)


@pytest.mark.parametrize(("kind", "looks"), [("picture", 2), ("video", 1)])
def test_a_frame_of_a_clip_is_judged_once(tiny, monkeypatch, kind, looks):
    analyser = start(tiny, kind)
    network, seen = analyser._network, []
    infer = network.infer
    monkeypatch.setattr(network, "infer", lambda crops: seen.append(len(crops)) or infer(crops))
    analyser.observe(frame(100), [face()])
    analyser.conclude()
    assert seen == [1] * looks


def test_a_missing_network_says_what_to_do(tmp_path):
    with pytest.raises(WeightError, match=r"none\.onnx: weight file missing"):
        load_network(tmp_path / "none.onnx")


def test_the_crop_is_as_wide_as_the_networks_card_says(tmp_path):
    path = tiny_networks.brightness_network(tmp_path, crop={"size": tiny_networks.SIZE, "margin": 3.0})
    seen = frame(100)
    side = round(1 / np.hypot(*crop_matrix(POINTS, 1)[:, 0]))
    seen.pixels[110 - side // 2 : 110 + side // 2, 100 - side // 2 : 100 + side // 2] = 180
    heats = []
    analyser = start(path, "picture", on_heat=heats.append)
    analyser.observe(seen, [face()])
    # the plain crop is bright, and so is (2.157 / 3) squared of the wide one: 100 + 80 * 0.517 = 141
    assert heats[0].values.mean() == pytest.approx(0.1 * (141.4 - 128), abs=0.15)
    (found,) = analyser.conclude()
    assert found.measurements["logit"].value == pytest.approx(0.1 * (141.4 - 128), abs=0.15)
    laid = heat_in_frame(heats[0])
    assert (laid[60:160, 50:150] != 0).all()


def test_a_checkpoint_without_the_training_extra_names_it(tmp_path, monkeypatch):
    for name in [n for n in sys.modules if n.startswith("unmask.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    path = tmp_path / "best.pt"
    path.write_bytes(b"x")
    with pytest.raises(WeightError, match=r"unmask\[train\]") as error:
        load_network(path)
    assert "\n" not in str(error.value)


def with_companion(folder, **card):
    """A network of logit (brightness - 128) / 10 with a companion of logit (brightness - 100) / 10."""
    second = tiny_networks.brightness_network(folder, name="second", threshold=100.0, **card)
    return tiny_networks.brightness_network(
        folder, companion=second.name, depends={second.name: load_card(second).sha256}
    )


def test_a_companion_adds_its_logit_to_a_picture(tmp_path):
    heats = []
    analyser = start(with_companion(tmp_path), kind="picture", on_heat=heats.append)
    analyser.observe(frame(118), [face()])
    (found,) = analyser.conclude()
    assert found.measurements["logit"].value == pytest.approx(-1 + 1.8, abs=1e-4)
    assert heats[0].score == pytest.approx(sigmoid(0.8), abs=1e-5)
    assert float(heats[0].values.mean()) == pytest.approx(0.8, abs=1e-3)
    assert [card.name for card in analyser.cards] == ["tiny", "second"]


def test_the_companion_sees_a_face_as_it_is_and_mirrored(tmp_path, monkeypatch):
    heats, seen = [], []
    analyser = start(with_companion(tmp_path), kind="picture", on_heat=heats.append)
    infer = analyser._companion.infer
    monkeypatch.setattr(analyser._companion, "infer", lambda crops: seen.append(crops) or infer(crops))
    shown = frame(100)
    shown.pixels[:, 100:] = 180
    analyser.observe(shown, [face()])
    assert np.array_equal(seen[0][:, :, ::-1], seen[1])
    # (100 - 128) / 10 and (100 - 100) / 10 on the left, (180 - 128) / 10 and (180 - 100) / 10 on the right
    assert heats[0].values[:, 2] == pytest.approx(-2.8, abs=0.3)
    assert heats[0].values[:, -2] == pytest.approx(5.2 + 8, abs=0.3)


def test_in_a_clip_the_companion_looks_every_two_seconds_where_its_card_lets_it(tmp_path, monkeypatch):
    analyser = start(with_companion(tmp_path, in_clips=0.5))
    seen = []
    infer = analyser._companion.infer
    monkeypatch.setattr(analyser._companion, "infer", lambda crops: seen.append(len(crops)) or infer(crops))
    # Five frames a second; the companion sees those at 0, 2 and 4 s, of brightness 118, 128 and 108.
    for k in range(25):
        shown = {0: 118, 10: 128, 20: 108}.get(k, 138)
        analyser.observe(frame(shown, k), [face(7, time=k / 5)])
    (found,) = analyser.conclude()
    assert sum(seen) == 3  # each as it is
    own = (-1 + 0 - 2 + 22 * 1) / 25
    assert found.measurements["logit"].value == pytest.approx(own + 0.5 * 1.8, abs=1e-3)
    assert found.timeline[1][1] == pytest.approx(sigmoid(1 + 0.5 * 1.8), abs=1e-4)
    # Variances (27 - 25 * 0.76^2) / 24 of five seconds, 0.5^2 * 1 of three looks: errors add as squares.
    squared = (27 - 25 * 0.76**2) / 24 / 5 + 0.25 / 3
    assert found.measurements["standard error"].value == pytest.approx(squared**0.5, abs=1e-3)
    assert [card.name for card in analyser.cards] == ["tiny", "second"]


def test_a_clip_without_a_face_does_not_open_the_companion(tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(companion, "open_session", lambda *given, **_: opened.append(given))
    analyser = start(with_companion(tmp_path, in_clips=0.5))
    analyser.observe(frame(118, 0), [])
    assert analyser.conclude() == []
    assert opened == []


def test_in_a_clip_the_companion_keeps_people_apart(tmp_path):
    analyser = start(with_companion(tmp_path, in_clips=1.0))
    for k in range(9):  # a second apart: looks at 0, 2, ... 8 s of each, which wait together
        analyser.observe(frame(118, k), [face(7, time=float(k))])
        analyser.observe(frame(138, k), [face(8, time=float(k))])
    dark, bright = analyser.conclude()
    assert dark.measurements["logit"].value == pytest.approx(-1 + 1.8, abs=1e-3)
    assert bright.measurements["logit"].value == pytest.approx(1 + 3.8, abs=1e-3)


def test_in_a_clip_the_companion_says_nothing_where_its_card_does_not_let_it(tmp_path):
    analyser = start(with_companion(tmp_path))
    for k in range(4):
        analyser.observe(frame(118, k), [face(7, time=float(k))])
    (found,) = analyser.conclude()
    assert found.measurements["logit"].value == pytest.approx(-1, abs=1e-4)
    assert [card.name for card in analyser.cards] == ["tiny"]
