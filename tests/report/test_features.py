"""Tables of features: what is written reads back, and a failure leaves nothing behind."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from unmask.media.output import OutputError
from unmask.report.features import FaceFeatures, feature_table

ROWS = [
    FaceFeatures("a, b.mp4", 0.04, 0, 1, np.array([1.0, 2.0, 30.0, 40.0]), np.array([2, -1e-7], np.float32)),
    FaceFeatures("a, b.mp4", 12.5, 3, 2, np.array([0.0, 0.0, 9.0, 8.0]), np.array([1 / 3, 1e6], np.float32)),
    FaceFeatures("größe.jpg", None, 0, 1, np.array([5.0, 6.0, 7.0, 8.0]), np.array([0.0, 7.0], np.float32)),
]


def write(path):
    with feature_table(path) as table:
        table.describe("visual", "ab" * 32)
        for row in ROWS:
            table.add(row)


def test_an_npz_file_holds_every_row_without_pickles(tmp_path):
    write(tmp_path / "f.npz")
    with np.load(tmp_path / "f.npz", allow_pickle=False) as arrays:
        assert arrays["file"].tolist() == [row.file for row in ROWS]
        assert arrays["time"].tolist()[:2] == [0.04, 12.5]
        assert np.isnan(arrays["time"][2])
        assert (arrays["track"].tolist(), arrays["person"].tolist()) == ([0, 3, 0], [1, 2, 1])
        np.testing.assert_array_equal(arrays["box"], [row.box for row in ROWS])
        np.testing.assert_array_equal(arrays["features"], [row.values for row in ROWS])
        assert arrays["features"].dtype == np.float32
        assert (str(arrays["network"]), str(arrays["sha256"])) == ("visual", "ab" * 32)


def test_a_csv_file_holds_every_row_to_seven_digits(tmp_path):
    write(tmp_path / "f.csv")
    with (tmp_path / "f.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [row.file for row in ROWS]
    assert [row["time"] for row in rows] == ["0.040000", "12.500000", ""]
    assert [(row["track"], row["person"], row["width"]) for row in rows][1] == ("3", "2", "9.0")
    read = np.array([[float(row["f0"]), float(row["f1"])] for row in rows])
    np.testing.assert_allclose(read, [row.values for row in ROWS], rtol=1e-6)


def test_a_table_without_faces_is_empty_but_valid(tmp_path):
    for name in ("f.npz", "f.csv"):
        with feature_table(tmp_path / name):
            pass
    assert np.load(tmp_path / "f.npz")["features"].shape[0] == 0
    assert (tmp_path / "f.csv").read_text() == "file,time,track,person,x,y,width,height\n"


def test_a_file_name_is_no_formula_to_a_spreadsheet(tmp_path):
    with feature_table(tmp_path / "f.csv") as table:
        table.add(FaceFeatures("=1+1.jpg", None, 0, 1, np.zeros(4), np.zeros(1)))
    assert "'=1+1.jpg" in (tmp_path / "f.csv").read_text()


@pytest.mark.parametrize("name", ["f.npz", "f.csv"])
def test_a_failure_leaves_the_older_file(tmp_path, name):
    path = tmp_path / name
    path.write_text("older")

    def fail():
        with feature_table(path) as table:
            table.add(ROWS[0])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text() == "older"
    assert list(tmp_path.iterdir()) == [path]


def test_another_suffix_and_a_missing_folder_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"f\.txt: give a name that ends in \.npz or \.csv"):
        feature_table(tmp_path / "f.txt").__enter__()
    with pytest.raises(OutputError, match=r"no/f\.npz"):
        feature_table(tmp_path / "no" / "f.npz").__enter__()
