"""`unmask evaluate` from command line to files, with a network that calls bright faces fake."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from unmask.cli.app import app

SIZE = 64
MIDDLE = 110.0
"""Mean brightness (0..255) above which the network says fake."""

onnx = pytest.importorskip("onnx")
data = pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def bright_is_fake(tmp_path_factory) -> Path:
    """A network of the visual contract: logit = 0.1 x (mean pixel - MIDDLE)."""
    from onnx import TensorProto, helper

    from unmask.faces.align import MARGIN
    from unmask.runtime.card import Card, Crop, write_card

    def constant(name, values, kind=TensorProto.FLOAT):
        return helper.make_tensor(name, kind, [len(values)] if len(values) > 1 else [], values)

    nodes = [
        helper.make_node("ReduceMean", ["pixels"], ["grey"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["grey", "middle"], ["excess"]),
        helper.make_node("Mul", ["excess", "slope"], ["map"]),
        helper.make_node("ReduceMean", ["map"], ["logit"], axes=[1, 2], keepdims=0),
        helper.make_node("ReduceMean", ["pixels"], ["embedding"], axes=[2, 3], keepdims=0),
    ]
    shapes = {"logit": ["n"], "map": ["n", SIZE, SIZE], "embedding": ["n", 3]}
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", 3, SIZE, SIZE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [constant("middle", [MIDDLE]), constant("slope", [0.1])],
    )
    folder = tmp_path_factory.mktemp("network")
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    (folder / "bright.onnx").write_bytes(model.SerializeToString())
    write_card(
        Card(
            name="bright",
            file="bright.onnx",
            architecture="mean",
            sha256=hashlib.sha256((folder / "bright.onnx").read_bytes()).hexdigest(),
            licence="Apache-2.0",
            input_size=SIZE,
            crop=Crop(size=SIZE, margin=MARGIN),
        ),
        folder,
    )
    return folder / "bright.onnx"


def portrait(brightness: float) -> np.ndarray:
    """The astronaut's head (a public-domain photograph), its brightness scaled."""
    return np.clip(data.astronaut()[:300, 70:370] * brightness, 0, 255).astype(np.uint8)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """Two dark reals, one bright fake, one fake without a face, one unreadable real."""
    folder = tmp_path_factory.mktemp("tree")
    save(folder / "real" / "dark.png", portrait(0.3))
    save(folder / "real" / "darker.png", portrait(0.25))
    save(folder / "fake" / "bright" / "bright.png", portrait(1.4))
    save(folder / "fake" / "bright" / "empty.png", np.full((200, 200, 3), 128, np.uint8))
    (folder / "real" / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    return folder


def run(*arguments: object):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def read(folder: Path) -> tuple[dict, dict[str, dict]]:
    rows = csv.DictReader(io.StringIO((folder / "scores.csv").read_text()))
    return json.loads((folder / "evaluation.json").read_text()), {row["item"]: row for row in rows}


@pytest.fixture(scope="module")
def written(tree, bright_is_fake, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("out") / "eval"
    result = run("-c", bright_is_fake, "-t", tree, "-o", output, "--draws", 100, "--threads", 1, "-q")
    assert result.exit_code == 0, result.output
    assert "no face found" in result.output
    return output


class TestWholeWay:
    def test_scores_follow_brightness(self, written):
        _, rows = read(written)
        assert float(rows["bright.png"]["probability"]) > 0.5
        assert float(rows["darker.png"]["probability"]) < float(rows["dark.png"]["probability"]) < 0.5
        assert rows["empty.png"]["probability"] == ""
        assert rows["broken.jpg"]["outcome"] == "failed"
        assert "broken.jpg" in rows["broken.jpg"]["reason"]

    def test_figures_count_what_was_not_found(self, written):
        run_json, _ = read(written)
        (result,) = run_json["results"]
        assert (result["real"], result["fake"]) == (3, 2)
        assert result["faces_found"]["without_answer"] == 2
        # pairs: the found fake beats two of three reals; the lost fake beats none
        assert result["figures"]["auc"]["value"] == pytest.approx(2 / 6, abs=1e-5)
        assert result["manipulations"]["bright"]["shares"]["inconclusive"]["count"] == 1
        assert result["real_sources"][result["data_set"]]["failed"]["count"] == 1

    def test_says_what_was_measured(self, written, bright_is_fake):
        run_json, _ = read(written)
        assert run_json["schema"] == "unmask.evaluation/1"
        assert run_json["checkpoint"]["sha256"] == hashlib.sha256(bright_is_fake.read_bytes()).hexdigest()
        assert run_json["variant"] == "as it is"

    def test_page_and_sheets(self, written):
        text = (written / "index.html").read_text()
        assert text.count("data:image/png;base64,") >= 2
        assert "http" not in text.replace("http://www.w3.org", "")
        with Image.open(written / "misses.png") as sheet:
            assert sheet.width > 100
        assert not list(written.glob("*.part"))

    def test_model_card_from_the_result(self, written, bright_is_fake, tmp_path):
        from unmask.evaluation import model_card

        output = tmp_path / "MODEL_CARD.md"
        assert (
            model_card.main(
                ["--card", str(bright_is_fake), "--output", str(output), str(written / "evaluation.json")]
            )
            == 0
        )
        text = output.read_text()
        assert "| bright | 2 | 0.333" in text
        assert "3 real and 2 fake items" in text


def test_groups_that_the_network_was_trained_on_are_left_out(bright_is_fake, tree, tmp_path):
    (tmp_path / "list.csv").write_text(
        "path,label,group,split\n"
        + "".join(
            f"{tree / path},{path.split('/')[0]},{group},open\n"
            for path, group in [
                ("real/dark.png", "known"),
                ("real/darker.png", "new"),
                ("fake/bright/bright.png", "known"),
                ("fake/bright/empty.png", "new"),
            ]
        )
    )
    for suffix in (".onnx", ".card.json"):
        copied = (tmp_path / "bright").with_suffix(suffix)
        copied.write_bytes(bright_is_fake.with_suffix(suffix).read_bytes())
    card = json.loads((tmp_path / "bright.card.json").read_text()) | {"trained_groups": ["known"]}
    (tmp_path / "bright.card.json").write_text(json.dumps(card))
    asked = ("-c", tmp_path / "bright.onnx", "-o", tmp_path / "out", "--draws", 100, "-q")
    result = run(*asked, "-t", tmp_path / "list.csv")
    assert result.exit_code == 0, result.output
    assert "left out, for the network was trained on them: known" in result.output
    evaluation, rows = read(tmp_path / "out")
    assert evaluation["left_out_as_trained_on"] == ["known"]
    assert sorted(Path(name).name for name in rows) == ["darker.png", "empty.png"]
    card["trained_groups"] = ["known", "new"]
    (tmp_path / "bright.card.json").write_text(json.dumps(card))
    result = run(*asked, "-t", tmp_path / "list.csv")
    assert result.exit_code == 2
    assert "trained on every group" in result.output


def test_zip_compares_the_central_face(bright_is_fake, tmp_path):
    """A bright face in the middle, labelled fake, with a dark one beside it."""
    both = np.hstack([portrait(0.3), portrait(1.4), portrait(0.3)])
    archive = tmp_path / "faces.zip"
    with zipfile.ZipFile(archive, "w") as file:
        picture = io.BytesIO()
        Image.fromarray(both).save(picture, "JPEG", quality=95)
        file.writestr("images/three.jpg", picture.getvalue())
        file.writestr("metadata.csv", "name,label,identity,split,original,face_px\nthree,fake,,val,,\n")
    assert (
        run("-c", bright_is_fake, "-t", archive, "-o", tmp_path / "out", "--draws", 100, "-q").exit_code == 0
    )
    _, rows = read(tmp_path / "out")
    assert int(rows["three.jpg"]["faces"]) == 3
    assert float(rows["three.jpg"]["probability"]) > 0.5


def test_crops_of_a_store_are_joined_to_their_videos(bright_is_fake, tmp_path):
    """By crop the dark crop of the fake loses against the bright one of the real; by video the fake wins."""
    archive = tmp_path / "crops.zip"
    lines = ["name,label,identity,split,manipulation,clip,time"]
    with zipfile.ZipFile(archive, "w") as file:
        for name, label, brightness in (
            ("r0", "real", 0.3), ("r1", "real", 0.7), ("f0", "fake", 0.6), ("f1", "fake", 1.4),
        ):  # fmt: skip
            picture = io.BytesIO()
            Image.fromarray(portrait(brightness)).save(picture, "JPEG", quality=95)
            file.writestr(f"images/{name}.jpg", picture.getvalue())
            lines.append(f"{name},{label},{label},test,swap,{label}.mp4,{name[1]}")
        file.writestr("metadata.csv", "\n".join(lines))
    result = run("-c", bright_is_fake, "-t", archive, "-o", tmp_path / "out", "--draws", 100, "-q")
    assert result.exit_code == 0, result.output
    (found,) = read(tmp_path / "out")[0]["results"]
    assert (found["level"], found["figures"]["auc"]["value"]) == ("frame", 0.75)
    videos = found["levels"]["video"]
    assert (videos["real"], videos["fake"], videos["combined_by"]) == (1, 1, "mean")
    assert videos["figures"]["auc"]["value"] == 1
    for text in (result.output, (tmp_path / "out/index.html").read_text()):
        assert "video level: the crops of a video together, combined by mean" in " ".join(text.split())


def make_clips(folder: Path) -> None:
    """A dark real and a bright fake of a second each, with their labels."""
    import av

    folder.mkdir()
    lines = ["file,label,origin,group,split"]
    for name, label, brightness in (("a.mp4", "real", 0.3), ("b.mp4", "fake", 1.4)):
        with av.open(str(folder / name), "w") as container:
            stream = container.add_stream("libx264", rate=10, options={"crf": "10"})
            stream.width = stream.height = 300
            stream.pix_fmt = "yuv420p"
            for _ in range(10):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(portrait(brightness), format="rgb24")))
            container.mux(stream.encode(None))
        lines.append(f"{name},{label},film,{name},open")
    lines.append("secret.mp4,fake,film,z,frozen")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")


def test_how_frames_are_combined_is_learned_on_films_of_tune_pictures(bright_is_fake, tmp_path):
    make_clips(tmp_path / "clips")
    archive = tmp_path / "train.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name, brightness in (("r0", 0.3), ("r1", 0.35), ("f0", 1.3), ("f1", 1.4)):
            picture = io.BytesIO()
            Image.fromarray(portrait(brightness)).save(picture, "JPEG", quality=95)
            file.writestr(f"images/{name}.jpg", picture.getvalue())
        rows = "".join(f"{n},{'real' if n[0] == 'r' else 'fake'},,train\n" for n in ("r0", "r1", "f0", "f1"))
        file.writestr("metadata.csv", "name,label,identity,split\n" + rows)
    result = run(
        "-c", bright_is_fake, "-t", tmp_path / "clips", "-o", tmp_path / "out", "--frames", 4, "--draws", 100,
        "--tune-data", archive, "--tune-share", 1, "--tune-films", 2, "-q",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    evaluation, _ = read(tmp_path / "out")
    assert (evaluation["learned_aggregation"]["real"], evaluation["learned_aggregation"]["fake"]) == (2, 2)
    ways = evaluation["results"][0]["aggregations"]
    assert list(ways) == ["mean", "median", "confident", "top", "learned"]
    assert ways["learned"]["value"] == 1
    assert "learned" in result.output


@pytest.mark.parametrize(
    ("more", "sentence"),
    [((), "--tune-data"), (("--tune-data", "tree"), "no item of split 'tune'")],
)
def test_films_need_tune_pictures(tree, bright_is_fake, more, sentence):
    named = [tree if word == "tree" else word for word in more]
    result = run("-t", tree, "-c", bright_is_fake, "--tune-films", 2, *named)
    assert result.exit_code == 2
    assert sentence in result.output


def test_clips_and_their_variants(bright_is_fake, tmp_path):
    folder = tmp_path / "clips"
    make_clips(folder)
    common = ["-c", bright_is_fake, "-t", folder, "--split", "open", "--draws", 100, "-q", "--frames", 4]
    result = run(*common, "-o", tmp_path / "plain")
    assert result.exit_code == 0, result.output
    assert run(*common, "-o", tmp_path / "coded", "--h264", 40, "--half-size").exit_code == 0
    plain, rows = read(tmp_path / "plain")
    coded, coded_rows = read(tmp_path / "coded")
    assert plain["results"][0]["figures"]["auc"]["value"] == 1
    assert plain["results"][0]["level"] == "video"
    frames = plain["results"][0]["levels"]["frame"]
    assert (frames["real"], frames["fake"], frames["groups"]) == (4, 4, 2)
    assert frames["manipulations"]["film"]["figures"]["auc"]["value"] == 1
    for text in (result.output, (tmp_path / "plain/index.html").read_text()):
        assert "frame level: each frame by itself" in " ".join(text.split())
    assert coded["variant"] == "half size, H.264 crf 40"
    assert coded["results"][0]["figures"]["auc"]["value"] == 1
    width, half = (float(r["b.mp4"]["face_width"]) for r in (rows, coded_rows))
    assert half == pytest.approx(width / 2, rel=0.1)


class TestWrongUse:
    def test_missing_test_data(self, tmp_path):
        result = run("-t", tmp_path / "absent")
        assert result.exit_code == 2
        assert "no such test data" in result.output
        assert "Traceback" not in result.output

    def test_missing_network(self, tree, tmp_path):
        result = run("-t", tree, "-c", tmp_path / "absent.onnx")
        assert result.exit_code == 2
        assert "absent" in result.output

    def test_a_file_that_is_no_checkpoint(self, tree, tmp_path):
        pytest.importorskip("torch")
        (tmp_path / "net.safetensors").write_bytes(b"not a checkpoint")
        result = run("-t", tree, "-c", tmp_path / "net.safetensors")
        assert result.exit_code == 2
        assert "not a readable safetensors checkpoint" in result.output
        assert "Traceback" not in result.output

    def test_h264_on_pictures_alone(self, tree, bright_is_fake):
        result = run("-t", tree, "-c", bright_is_fake, "--h264", 40)
        assert result.exit_code == 2
        assert "for clips" in result.output

    def test_output_that_is_a_file(self, tree, bright_is_fake, tmp_path):
        (tmp_path / "out").write_text("")
        result = run("-t", tree, "-c", bright_is_fake, "-o", tmp_path / "out")
        assert result.exit_code == 2

    def test_quality_out_of_range(self, tree):
        assert run("-t", tree, "--jpeg", 0).exit_code == 2


def test_the_benchmark_compares_detectors(tree, bright_is_fake, tmp_path):
    arguments = [
        "-c",
        bright_is_fake,
        "--embedded",
        "-t",
        tree,
        "-o",
        tmp_path,
        "--draws",
        100,
        "--threads",
        1,
    ]
    result = CliRunner().invoke(app, ["benchmark", *map(str, arguments), "-q"])
    assert result.exit_code == 0, result.output
    detectors = json.loads((tmp_path / "benchmark.json").read_text())["detectors"]
    assert [row["detector"] for row in detectors] == ["bright.onnx", "embedded"]
    # Of two fakes and three reals, the bright fake beats the two dark reals; no answer is a wrong one.
    assert detectors[0]["cells"][0]["auc"] == pytest.approx(2 / 6)
    assert "| bright.onnx |" in result.output
    assert "DFDC" in " ".join(detectors[1]["trained_on"]) or "dfdc_faces" in detectors[1]["trained_on"]
