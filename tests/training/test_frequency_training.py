"""Fitting and measuring the frequency classifier on features made up by hand."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the train extra")
pytest.importorskip("torch", reason="needs the train extra")

from PIL import Image
from sklearn.metrics import roc_auc_score

from unmask.data.index import IndexedFace
from unmask.data.manifest import Item, read_zip
from unmask.runtime.linear import LinearClassifier
from unmask.signals.features import NAMES
from unmask.training.archives import training_items
from unmask.training.frequency import (
    CONDITIONS,
    SHARED,
    Laboratory,
    Looks,
    Task,
    as_table,
    auc,
    figures,
    fit_linear,
    hold_out,
    permuted,
    random_treatment,
    write,
)


def looks(count, shift, seed):
    """Half fakes, of which every tenth feature is higher by `shift`; two looks at each group."""
    random = np.random.default_rng(seed)
    fake = np.arange(count) % 4 < 2
    values = random.normal(size=(count, len(NAMES))).astype(np.float32)
    values[:, ::10] += shift * fake[:, None]
    return Looks(values, np.where(fake, "swap", ""), np.arange(count) // 2, np.arange(count) % 2 > 0)


def test_a_feature_that_tells_is_learnt_and_permuted_labels_teach_nothing():
    train, val = looks(400, 0.5, 0), looks(200, 0.5, 1)
    model = fit_linear(train, strength=1e-2)
    assert auc(model, val) > 0.9
    assert auc(model, val) == pytest.approx(roc_auc_score(val.fake, model(val.features)))
    assert np.mean(permuted(train, val)) == pytest.approx(0.5, abs=0.2)


def test_looks_that_failed_count_as_mistakes():
    val = looks(40, 1.0, 1)
    model = fit_linear(looks(400, 1.0, 0), strength=1e-2)
    found = figures(model, val)
    assert found["auc"] > 0.9
    broken = Looks(val.features.copy(), val.kind, val.group, val.treated)
    broken.features[:20] = np.nan
    worse = figures(model, broken)
    assert worse["missing"] == 20
    assert worse["auc"] == pytest.approx(0.25, abs=0.03)  # only seen fakes against seen reals rank right


def test_looks_keep_sources_alike_in_weight_and_groups_apart():
    one, other = looks(40, 0, 0), looks(8, 0, 1)
    assert one.weights()[one.fake].sum() == pytest.approx(1)
    assert one.weights()[~one.fake].sum() == pytest.approx(1)
    both = Looks.joined([one, other])
    assert len(np.unique(both.group)) == 20 + 4


def test_what_is_written_gives_the_same_logits(tmp_path):
    train = looks(100, 4.0, 0)
    model = fit_linear(train, strength=1e-2)
    write(model, train, tmp_path / "frequency.json", [])
    stored = LinearClassifier(tmp_path / "frequency.json", NAMES)
    scores = 1 / (1 + np.exp(-stored.logits(train.features)))
    np.testing.assert_allclose(scores, model(train.features), atol=1e-4)
    assert stored.band.faces == 50
    profiles = train.features[~train.fake][:, : len(stored.band.low)]
    share = ((profiles >= stored.band.low) & (profiles <= stored.band.high)).mean()
    assert share == pytest.approx(0.95, abs=0.03)


def test_treatments_stay_in_their_ranges():
    random = np.random.default_rng(0)
    drawn = [random_treatment(random) for _ in range(200)]
    assert {t.scale for t in drawn} > {1.0}
    assert all(0.5 <= t.scale <= 1 and all(35 <= q <= 95 for q in t.last) for t in drawn)
    assert CONDITIONS["half size"].scale == 0.5


def test_kinds_that_differ_from_reals_in_opposite_ways_are_both_found():
    def three(seed):
        random = np.random.default_rng(seed)
        kind = np.array(["", "", "high", "low"] * 150)
        values = random.normal(size=(600, len(NAMES))).astype(np.float32)
        values[:, :200] += np.select([kind == "high", kind == "low"], [0.6, -0.6], 0.0)[:, None]
        return Looks(values, kind, np.arange(600), np.zeros(600, bool))

    train, val = three(0), three(1)
    model = fit_linear(train, strength=1e-2)
    assert model.kinds == ("high", "low")
    assert train.weights()[~train.fake].sum() == pytest.approx(2)
    for kind in model.kinds:
        assert auc(model, val.of(kind)) > 0.9


def pairs(path: Path, persons: range) -> Path:
    """Write a zip with a real and a fake picture of each person."""
    rows = [
        f"{label}{number},{label},person{number},train" for number in persons for label in ("real", "fake")
    ]
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("metadata.csv", "\n".join(["name,label,identity,split", *rows]) + "\n")
        for row in rows:
            opened.writestr(f"images/{row.split(',')[0]}.jpg", b"x")
    return path


def test_what_the_network_was_tuned_on_is_held_out_though_more_was_cut_there(tmp_path):
    # The network was trained on 200 persons, here only the first 100 are looked at.
    everyone = pairs(tmp_path / "i-Shreyansh+DeepFake-Detection.zip", range(200))
    some = read_zip(pairs(tmp_path / "dfdc_faces.zip", range(100)))
    of_network = training_items([everyone], tune_share=0.06, seed=0)
    tuned_on = {item.group for item in of_network if item.split == "tune"}
    assert len(tuned_on) == 12
    found = hold_out(some, [everyone])
    assert [item.name for item in found] == [item.name for item in some]
    for item in found:
        assert item.split == (SHARED if item.group in tuned_on else "train")
    assert {item.split for item in found} == {SHARED, "train"}
    assert hold_out(some, []) == some


class Brightness:
    """Stands in for a network: the logit grows with the brightness of the crop."""

    card = SimpleNamespace(name="brightness", sha256="0" * 64)

    def crop(self, pixels: np.ndarray, points: np.ndarray) -> np.ndarray:
        return pixels[:64, :64]

    def infer(self, crops: np.ndarray) -> SimpleNamespace:
        return SimpleNamespace(logits=crops.mean((1, 2, 3)) / 10 - 10)


def test_a_network_is_judged_under_every_condition_and_its_alarms_are_counted(tmp_path):
    # Twenty reals (two of them as bright as the fakes) and ten fakes on val, twenty reals on the shared fold.
    path = tmp_path / "dfdc_faces.zip"
    items, faces = [], {}
    with zipfile.ZipFile(path, "w") as opened:
        for n in range(50):
            fake = n < 10
            bright = fake or n in (10, 11)
            data = io.BytesIO()
            Image.new("RGB", (128, 128), (200 - n if bright else 60 + n,) * 3).save(data, "PNG")
            opened.writestr(f"{n}.png", data.getvalue())
            split = "val" if n < 30 else SHARED
            label, kind = ("fake", "DFDC") if fake else ("real", "")
            items.append(
                Item(
                    data_set="dfdc_faces",
                    name=str(n),
                    label=label,
                    group=f"p{n}",
                    path=path,
                    member=f"{n}.png",
                    manipulation=kind,
                    split=split,
                )
            )
            points = np.array([[50, 50], [78, 50], [64, 66], [52, 82], [76, 82]], np.float32)
            faces[path, f"{n}.png"] = IndexedFace(points, np.array([40, 30, 48, 64], np.float32), (128, 128))
    task = Task("small", ("dfdc_faces",), ("DFDC",))
    (result,) = Laboratory(items, faces, tmp_path).judge(task, Brightness())
    assert set(result["val"]) == {"stored", "JPEG 70", "JPEG 40", "half size"}
    assert result["val"]["stored"]["auc"] == 1.0
    # of the reals two of twenty lie above what 5 % of the shared reals reach; the others' brightness is below
    assert result["false_alarms"]["val of this task"] == {"n": 20, "share": 0.1}
    assert "learnt by the network brightness" in as_table(result)
