"""Stores: complete, equal however often the work was stopped, and read by training as they are."""

import csv
import io
import os
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import psutil
import pytest
from data_making import face_frames, write_video
from PIL import Image

from unmask.data import prepare as module
from unmask.data.cut import Cuts, Settings
from unmask.data.index import decode, recorded_faces
from unmask.data.manifest import DataError, Item, read_zip
from unmask.data.prepare import plan, prepare, select, write_part
from unmask.data.registry import load
from unmask.data.store import Index, archives_at, read_landmarks
from unmask.faces.detect import Detector
from unmask.training.archives import find_archives

SETTINGS = Settings(frames=4)
ROWS = [
    # path, label, group, manipulation, original, split
    ("r0.mp4", "real", "p0", "", "", "train"),
    ("f0.mp4", "fake", "p0", "tint", "r0.mp4", "train"),
    ("r1.mp4", "real", "p1", "", "", "train"),
    ("f1.mp4", "fake", "p1", "tint", "r1.mp4", "train"),
    ("still.png", "real", "p2", "", "", "val"),
    ("empty.mp4", "real", "p3", "", "", "train"),
    ("broken.mp4", "fake", "p4", "tint", "", "train"),
]


@pytest.fixture(scope="module")
def listed(tmp_path_factory) -> Path:
    """Two reals, a fake of each (its face tinted), a still, a video without a face, and a broken file."""
    root = tmp_path_factory.mktemp("listed")
    for number in (0, 1):
        frames = face_frames(20, shift=7 * number)
        write_video(root / f"r{number}.mp4", frames)
        write_video(root / f"f{number}.mp4", [frame // 2 + np.uint8([90, 20, 20]) for frame in frames])
    Image.fromarray(face_frames(1)[0]).save(root / "still.png")
    write_video(root / "empty.mp4", face_frames(12, face=False))
    (root / "broken.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42 cut off")
    lines = [",".join(("path", "label", "group", "manipulation", "original", "split"))]
    (root / "list.csv").write_text("\n".join(lines + [",".join(row) for row in ROWS]) + "\n")
    return root / "list.csv"


@pytest.fixture(scope="module")
def store(listed, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("stores") / "store"
    prepare(load("list", listed), folder, SETTINGS, workers=2)
    return folder


def rows_of(archive: Path) -> list[dict[str, str]]:
    with zipfile.ZipFile(archive) as opened:
        return list(csv.DictReader(io.StringIO(opened.read("metadata.csv").decode())))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


class TestStore:
    def test_every_readable_item_is_cut(self, store):
        (archive,) = archives_at(store)
        clips = [row["clip"] for row in rows_of(archive)]
        assert {name: clips.count(name) for name in clips} == {
            "r0.mp4": 4, "f0.mp4": 4, "r1.mp4": 4, "f1.mp4": 4, "still.png": 1,
        }  # fmt: skip
        assert not (store / "work").exists()

    def test_what_gave_no_crop_is_listed_with_the_reason(self, store):
        problems = list(csv.DictReader((store / "problems.csv").open()))
        reasons = {row["clip"]: row["problem"] for row in problems}
        assert set(reasons) == {"empty.mp4", "broken.mp4"}
        assert reasons["empty.mp4"] == "no face found"
        assert "broken.mp4" in reasons["broken.mp4"]

    def test_the_manifest_tells_label_group_split_and_original_frame_by_frame(self, store):
        items = {item.name: item for item in read_zip(*archives_at(store))}
        fake = items["f1_mp4.000010"]
        assert (fake.label, fake.group, fake.manipulation, fake.split) == ("fake", "p1", "tint", "train")
        assert fake.original == "r1_mp4.000010"
        assert items["still_png.000000"].split == "val"
        assert {item.data_set for item in items.values()} == {"list"}

    def test_recorded_faces_are_those_that_the_detector_finds(self, store):
        (archive,) = archives_at(store)
        detector = Detector(threads=1)
        with zipfile.ZipFile(archive) as opened:
            for member, face in list(recorded_faces(archive).items())[::4]:
                pixels = decode(opened.read(member))
                assert face.size == (pixels.shape[1], pixels.shape[0])
                (found,) = detector.detect(pixels)
                assert np.abs(found.points - face.points).max() < 8

    def test_landmarks_stand_in_the_order_of_the_rows(self, store):
        (archive,) = archives_at(store)
        meshes, rows = read_landmarks(archive), rows_of(archive)
        assert meshes.shape == (len(rows), 478, 3)
        for mesh, row in zip(meshes, rows, strict=True):
            nose = np.array(row["points"].split(), float).reshape(5, 2)[2]
            assert np.linalg.norm(mesh[1, :2] - nose) < 8

    def test_times_and_face_sizes_are_recorded(self, store):
        rows = [row for row in rows_of(*archives_at(store)) if row["clip"] == "r0.mp4"]
        assert [row["time"] for row in rows] == ["0.000", "0.500", "1.000", "1.500"]
        assert all(40 < int(row["face_px"]) < 120 for row in rows)


class TestGoingOn:
    def test_the_same_command_changes_nothing_when_all_is_done(self, store, listed):
        before = contents(store)
        prepare(load("list", listed), store, SETTINGS)
        assert contents(store) == before

    def test_killed_without_warning_it_goes_on_and_ends_with_the_same_bytes(self, store, listed, tmp_path):
        folder = tmp_path / "store"
        code = (
            "from pathlib import Path; from unmask.data.registry import load\n"
            "from unmask.data.prepare import prepare; from unmask.data.cut import Settings\n"
            "if __name__ == '__main__':\n"
            f"    prepare(load('list', Path({str(listed)!r})), Path({str(folder)!r}), Settings(frames=4))\n"
        )
        script = tmp_path / "script.py"
        script.write_text(code)
        running = subprocess.Popen([sys.executable, str(script)])
        while not list((folder / "work").glob("0*.zip")):
            assert running.poll() is None
            time.sleep(0.02)
        workers = psutil.Process(running.pid).children(recursive=True)
        os.kill(running.pid, signal.SIGKILL)
        running.wait()
        assert psutil.wait_procs(workers, timeout=60)[1] == []  # no worker outlives its parent
        with pytest.raises(ValueError, match=r"has not finished here \(0 of 1 zips\)"):
            find_archives([folder])
        (folder / "work/.00000099-abc.part.zip").write_bytes(b"half written")
        (folder / "work/00000006.zip").write_bytes(b"")
        (folder / ".store-abc.part.json").write_bytes(b"half written")
        already = sum(map(zipfile.is_zipfile, (folder / "work").glob("0*.zip")))
        steps: list[int] = []
        prepare(load("list", listed), folder, SETTINGS, on_progress=lambda done, _: steps.append(done))
        assert steps[0] == already > 0
        assert contents(folder) == contents(store)

    def test_a_worker_that_dies_costs_no_item(self, store, listed, tmp_path):
        killed: list[int] = []

        def kill_once(done: int, total: int) -> None:
            if not killed and (children := psutil.Process().children(recursive=True)):
                workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
                for worker in workers:
                    killed.append(worker.pid)
                    worker.kill()

        prepare(load("list", listed), tmp_path / "store", SETTINGS, on_progress=kill_once)
        assert contents(tmp_path / "store") == contents(store)

    def test_a_file_that_kills_its_reader_is_listed(self, listed, tmp_path, monkeypatch):
        class Pool:
            """Stands for the worker processes: it breaks with the one item, and else finds no face."""

            def __init__(self, *_):
                pass

            def submit(self, _, job, work, settings) -> Future:
                future: Future = Future()
                if job.item.name == "f1.mp4":
                    future.set_exception(BrokenProcessPool())
                else:
                    write_part(job, Cuts((), "no face found"), work, settings)
                    future.set_result(None)
                return future

            def shutdown(self, **_):
                pass

        monkeypatch.setattr(module, "ProcessPoolExecutor", Pool)
        with pytest.raises(DataError, match=r"no face was found in any of 7 items; see problems\.csv"):
            prepare(load("list", listed), tmp_path / "store", SETTINGS, workers=3)
        problems = {r["clip"]: r["problem"] for r in csv.DictReader((tmp_path / "store/problems.csv").open())}
        assert problems["f1.mp4"].endswith("the process that read it was killed or crashed")
        assert problems["f0.mp4"] == "no face found"

    def test_other_settings_or_items_need_another_store(self, store, listed):
        items = load("list", listed)
        with pytest.raises(DataError, match=r"begun with other settings \(frames, margin\)"):
            prepare(items, store, Settings(frames=5, margin=2.0))
        with pytest.raises(DataError, match="begun with other items"):
            prepare(items[1:], store, SETTINGS)

    def test_two_commands_do_not_work_on_one_store(self, store, listed, tmp_path):
        pytest.importorskip("fcntl", reason="no file locks on this system")
        items = load("list", listed)

        def second(done: int, total: int) -> None:
            with pytest.raises(DataError, match="another unmask prepare is at work here"):
                prepare(items, store, SETTINGS)

        before = contents(store)
        prepare(items, store, SETTINGS, on_progress=second)
        assert contents(store) == before

    def test_a_folder_with_other_things_is_left_alone(self, listed, tmp_path):
        (tmp_path / "thesis.txt").write_text("mine")
        with pytest.raises(DataError, match="is not empty and no store"):
            prepare(load("list", listed), tmp_path, SETTINGS)
        assert contents(tmp_path) == {"thesis.txt": b"mine"}

    def test_a_damaged_index_is_named(self, store, tmp_path):
        (tmp_path / "store.json").write_text((store / "store.json").read_text()[:80])
        with pytest.raises(DataError, match=r"store\.json: is damaged"):
            archives_at(tmp_path)

    def test_a_zip_that_is_gone_is_named(self, store, tmp_path):
        (tmp_path / "store.json").write_bytes((store / "store.json").read_bytes())
        with pytest.raises(DataError, match=r"list-00000\.zip: is gone"):
            archives_at(tmp_path)


def item(name: str, **more) -> Item:
    given = {"data_set": "set", "name": name, "label": "real", "group": name, "path": Path(name)}
    return Item(**given | more)


class TestChoosing:
    ITEMS = (
        item("a.mp4", split="train", compression="c23"),
        item("b.mp4", label="fake", manipulation="swap", split="train", compression="c23"),
        item("c.mp4", label="fake", manipulation="lips", split="test", compression="c40"),
        item("d.mp4", label="fake", manipulation="voice", split="train", voice_only=True),
        item("e.mp4", split="frozen"),
        item("f.mp4", split="overlap"),
    )

    def names(self, **wanted) -> str:
        return "".join(item.name[0] for item in select(self.ITEMS, **wanted)[0])

    def test_frozen_overlapping_and_voice_only_items_are_left_out_and_told(self):
        kept, left_out = select(self.ITEMS)
        assert [item.name for item in kept] == ["a.mp4", "b.mp4", "c.mp4"]
        assert left_out == [
            "1 items of split 'frozen'",
            "1 items of split 'overlap'",
            "1 fakes whose voice alone is manipulated",
        ]

    def test_a_manipulation_keeps_the_reals(self):
        assert self.names(manipulations=["lips"]) == "ac"
        assert self.names(compressions=["c23"]) == "ab"
        assert self.names(splits=["test"]) == "c"
        assert self.names(splits=["overlap"]) == "f"

    @pytest.mark.parametrize(
        ("wanted", "message"),
        [
            ({"manipulations": ["lip"]}, "no item of manipulation 'lip'; there is lips"),
            ({"compressions": ["c32"]}, "no item of compression 'c32'; there is c23"),
            ({"splits": ["val"]}, "no item of split 'val'; there is"),
            ({"splits": ["test"], "compressions": ["c23"]}, "no item is left"),
        ],
    )
    def test_what_is_not_there_is_named_with_what_is(self, wanted, message):
        with pytest.raises(DataError, match=message):
            select(self.ITEMS, **wanted)

    def test_fakes_follow_their_original_into_one_zip(self, monkeypatch):
        monkeypatch.setattr(module, "SHARD_CROPS", 8)
        items = [item(f"{n}.mp4") for n in range(4)]
        items += [item(f"z{n}.mp4", label="fake", original=f"{n}.mp4") for n in range(4)]
        jobs = plan(items, Settings(frames=4))
        assert [(job.item.name, job.shard) for job in jobs] == [
            ("0.mp4", 0), ("z0.mp4", 0), ("1.mp4", 1), ("z1.mp4", 1),
            ("2.mp4", 2), ("z2.mp4", 2), ("3.mp4", 3), ("z3.mp4", 3),
        ]  # fmt: skip

    def test_names_that_become_alike_stay_apart(self):
        jobs = plan([item("a/b"), item("a b"), item("a_b")], SETTINGS)
        assert sorted(job.stem for job in jobs) == ["a_b", "a_b~2", "a_b~3"]

    def test_a_group_in_two_splits_is_refused_before_the_work(self, tmp_path):
        items = [item("a", group="p", split="train"), item("b", group="p", split="test")]
        with pytest.raises(DataError, match="group p of set is in test"):
            prepare(items, tmp_path / "store", SETTINGS)
        assert not (tmp_path / "store").exists()


class TestTraining:
    """What training makes of a store; needs the train extra."""

    def test_pairs_are_drawn_without_searching_any_face_again(self, store, tmp_path):
        pytest.importorskip("torch", reason="needs the train extra")
        from unmask.data.augment import Strength
        from unmask.data.index import FaceIndex
        from unmask.data.pairs import PairDataset
        from unmask.training.archives import training_items

        items = training_items(find_archives([store]), tune_share=0.4, seed=0)
        assert {item.split for item in items} == {"train", "tune"}
        items = [item for item in items if item.split == "train"]

        class NoDetector:
            """The store brings its faces with it: nothing is searched."""

        faces = FaceIndex(tmp_path / "faces").build(items, detector=NoDetector())  # type: ignore[arg-type]
        none = Strength(
            rotation=0, scale=0, shift=0, colour=0, grey=0, resize=0, blur=0, noise=0, jpeg=0, video=0, drop=0
        )
        pairs = PairDataset(
            items, faces, size=64, kinds={"tint": 1.0}, blend_sources={"list": 1.0}, strength=none, seed=1
        )
        for number in range(6):
            real, fake = pairs[number][0].numpy().astype(float)
            np.testing.assert_allclose(fake.mean((1, 2)), real.mean((1, 2)) / 2 + [90, 20, 20], atol=12)

    def test_training_runs_on_a_store_by_name(self, store, tmp_path, monkeypatch):
        pytest.importorskip("torch", reason="needs the train extra")
        from unmask.training import checkpoint
        from unmask.training.run import run

        (tmp_path / "stores").mkdir()
        (tmp_path / "stores/faceforensics").symlink_to(store)
        monkeypatch.chdir(tmp_path)
        settings = {"phases": [{"until": 1.0, "size": 32}], "steps": 1, "batch_size": 4, "workers": 0}
        settings |= {"tune_share": 0.4, "threads": 1, "pretrained": False}
        best = run(settings, [Path("faceforensics")], tmp_path / "run", report=lambda _: None)
        counted = {row["manipulation"]: row["items"] for row in checkpoint.read_header(best).training_data}
        assert sum(counted.values()) in (8, 4)


def test_a_name_without_a_store_says_how_to_make_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="cut its faces first: unmask prepare celeb_df_v2 FOLDER"):
        find_archives([Path("celeb_df_v2")])
    with pytest.raises(ValueError, match="nowhere: no data set zip here"):
        find_archives([Path("nowhere")])


def test_pictures_in_class_folders_and_lists_need_their_faces_cut_first(tmp_path):
    (tmp_path / "plain" / "real").mkdir(parents=True)
    (tmp_path / "split" / "train" / "fake").mkdir(parents=True)
    (tmp_path / "list.csv").write_text("path,label\n")
    for name in ("plain", "split"):
        with pytest.raises(ValueError, match=rf"cut its faces first: unmask prepare folders \S*{name}"):
            find_archives([tmp_path / name])
    with pytest.raises(ValueError, match=r"cut its faces first: unmask prepare list \S*list\.csv"):
        find_archives([tmp_path / "list.csv"])


def test_a_leftover_of_a_killed_writer_is_no_data_set(tmp_path):
    (tmp_path / ".x-abc.part.zip").write_bytes(b"")
    assert archives_at(tmp_path) == []


def test_an_index_of_another_format_is_refused(tmp_path):
    (tmp_path / "store.json").write_text('{"format": "unmask.store/9"}')
    with pytest.raises(DataError, match=r"unmask\.store/9"):
        Index.read(tmp_path)


def test_a_damaged_record_of_a_face_is_named(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.csv", "name,label,points,box,size\nx,real,1 2 3,0 0 1 1,9 9\n")
        archive.writestr("images/x.jpg", b"")
    with pytest.raises(DataError, match=r"a\.zip: the record of x is damaged"):
        recorded_faces(path)
