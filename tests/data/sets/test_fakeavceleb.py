"""FakeAVCeleb: the nameless tenth column is the folder, and a fake voice alone makes no fake face."""

import pytest

from unmask.data.manifest import DataError
from unmask.data.registry import load

HEADER = "source,target1,target2,method,category,type,race,gender,path,\n"
ROWS = [
    ("id00076", "-", "real", "A", "RealVideo-RealAudio", "00109.mp4"),
    ("id00076", "id00166", "wav2lip", "D", "FakeVideo-FakeAudio", "00109_2_id00166_wavtolip.mp4"),
    ("id00076", "id00476", "fsgan", "C", "FakeVideo-RealAudio", "00109_id00476_AbC.mp4"),
    ("id00076", "-", "rtvc", "B", "RealVideo-FakeAudio", "00109_fake.mp4"),
    ("id00076", "-", "faceswap", "C", "FakeVideo-RealAudio", "00888_id00476_AbC.mp4"),
]


def line(source, target, method, category, kind, file, *, folder=""):
    folder = folder or f"FakeAVCeleb/{kind}/African/men/{source}"
    return f"{source},{target},-,{method},{category},{kind},African,men,{file},{folder}\n"


@pytest.fixture
def root(place):
    folder = place(*(f"{row[4]}/African/men/{row[0]}/{row[5]}" for row in ROWS))
    (folder / "meta_data.csv").write_text(HEADER + "".join(line(*row) for row in ROWS))
    return folder


def test_files_are_found_by_the_nameless_column(root):
    items = load("fakeavceleb", root)
    assert len(items) == 5
    assert all(item.path.is_file() for item in items)
    assert {item.group for item in items} == {"id00076"}
    assert {item.manipulation for item in items} == {
        "", "wav2lip (FakeVideo-FakeAudio)", "fsgan (FakeVideo-RealAudio)", "rtvc (RealVideo-FakeAudio)",
        "faceswap (FakeVideo-RealAudio)",
    }  # fmt: skip


def test_a_fake_voice_on_real_pictures_is_marked(root):
    marked = [item for item in load("fakeavceleb", root) if item.voice_only]
    assert [(item.label, item.path.name) for item in marked] == [("fake", "00109_fake.mp4")]


def test_a_fake_knows_its_original_where_that_is_in_the_set(root):
    originals = {item.path.name: item.original for item in load("fakeavceleb", root)}
    real = "RealVideo-RealAudio/African/men/id00076/00109"
    assert originals["00109_2_id00166_wavtolip.mp4"] == real
    assert originals["00109_id00476_AbC.mp4"] == real
    assert originals["00888_id00476_AbC.mp4"] == ""
    assert originals["00109.mp4"] == ""


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (line("id1", "-", "real", "A", "RealVideo", "a.mp4"), "line 2: type 'RealVideo' is none of"),
        (
            line("id1", "-", "real", "A", "RealVideo-RealAudio", "a.mp4", folder="elsewhere/id1"),
            "line 2: the tenth column, 'elsewhere/id1', names no folder",
        ),
        (line("id1", "-", "real", "A", "RealVideo-RealAudio", "a.mp4"), "1 of 1 listed videos are not there"),
    ],
)
def test_wrong_rows_are_named(root, row, message):
    (root / "meta_data.csv").write_text(HEADER + row)
    with pytest.raises(DataError, match=message):
        load("fakeavceleb", root)


def test_a_list_without_the_nameless_column_is_named(root):
    (root / "meta_data.csv").write_text("source,method,type,race,gender,path\n")
    with pytest.raises(DataError, match="the header lacks"):
        load("fakeavceleb", root)
