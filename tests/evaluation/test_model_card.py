"""The model card holds the figures of the evaluation files, and refuses those of another network."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from evaluation_making import SHA, score

from unmask.evaluation import results
from unmask.evaluation.model_card import main, write_model_card
from unmask.runtime.card import Card, Crop, load_card, write_card


def make_card(**more) -> Card:
    return Card(
        name="visual",
        file="visual.onnx",
        architecture="efficientnet_lite0",
        sha256=SHA,
        licence="Apache-2.0",
        input_size=160,
        crop=Crop(size=160, margin=2.157),
        **more,
    )


def make_run(path: Path, *, sha256: str = SHA, variant: str = "as it is") -> Path:
    scores = [score(f"r{i}", 0.9 if i == 0 else 0.1, fake=False, data_set="faces") for i in range(10)]
    scores += [score(f"f{i}", 0.95, fake=True, data_set="faces") for i in range(10)]
    run = {
        "schema": results.SCHEMA,
        "command": "unmask evaluate --test-data faces.zip --split val",
        "checkpoint": {"name": "visual.onnx", "sha256": sha256},
        "variant": variant,
        "matched_face_size": False,
        "left_out_as_trained_on": ["person a"],
        "limit": None,
        "results": results.evaluate(scores, draws=100),
        "real_only": results.real_only(scores),
    }
    path.write_text(json.dumps(run))
    return path


def test_results_of_before_the_levels_are_read(tmp_path):
    file = make_run(tmp_path / "old.json")
    run = json.loads(file.read_text())
    for result in run["results"]:
        del result["level"], result["levels"]
    file.write_text(json.dumps(run))
    write_model_card([file], make_card(), tmp_path / "old.md")
    write_model_card([make_run(tmp_path / "new.json")], make_card(), tmp_path / "new.md")
    assert (tmp_path / "old.md").read_text() == (tmp_path / "new.md").read_text()


def test_the_frames_of_clips_have_a_table_of_their_own(tmp_path):
    file = make_run(tmp_path / "a.json")
    run = json.loads(file.read_text())
    clips = [
        replace(score(name, 0.5, fake=name == "b.mp4", crop=False), kind="video", frames=frames)
        for name, frames in (("a.mp4", (0.1, 0.6)), ("b.mp4", (0.5, 0.9)))
    ]
    run["results"] = results.evaluate(clips, draws=100)
    file.write_text(json.dumps(run))
    write_model_card([file], make_card(), tmp_path / "card.md")
    text = (tmp_path / "card.md").read_text()
    assert "| frame level: each frame by itself | real | fake | AUC | equal error rate |" in text
    assert "| swap | 2 | 2 | 0.750 (0.750-0.750) |" in text


def test_figures_commands_and_data_are_on_the_card(tmp_path):
    card = make_card(training_data=[{"data_set": "dfdc_faces", "real": 6000, "fake": 6000}])
    files = [make_run(tmp_path / "a.json"), make_run(tmp_path / "b.json", variant="JPEG quality 40")]
    write_model_card(files, card, tmp_path / "MODEL_CARD.md", notes="## Weaknesses\n\nSmall faces.")
    text = (tmp_path / "MODEL_CARD.md").read_text()
    assert "unmask evaluate --test-data faces.zip --split val" in text
    assert "## 2. faces val (JPEG quality 40)" in text
    assert "| swap | 10 | 1.000 (1.000-1.000)" in text
    assert "| photos | 10 | 10.0 % (0.3-44.5), 1 |" in text
    assert "- data set dfdc_faces, real 6000, fake 6000" in text
    assert "Small faces." in text
    assert SHA in text
    assert "Left out, for the network was trained on these groups: person a." in text
    assert not list(tmp_path.glob("*.part"))


def test_every_table_row_has_as_many_cells_as_its_head(tmp_path):
    write_model_card([make_run(tmp_path / "a.json")], make_card(), tmp_path / "card.md")
    widths: list[int] = []
    for line in (tmp_path / "card.md").read_text().splitlines():
        if not line.startswith("|"):
            widths = []
            continue
        widths.append(line.count("|"))
        assert len(set(widths)) == 1, line


def test_a_result_of_another_network_is_refused(tmp_path):
    path = make_run(tmp_path / "a.json", sha256="00" * 32)
    with pytest.raises(ValueError, match="another weight file"):
        write_model_card([path], make_card(), tmp_path / "card.md")
    assert not (tmp_path / "card.md").exists()


@pytest.mark.parametrize("content", ["{}", "[1]", "no json", '{"schema": "unmask.report/1"}'])
def test_a_file_that_is_no_evaluation(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"a\.json"):
        write_model_card([path], make_card(), tmp_path / "card.md")


def test_the_weight_card_takes_the_figures(tmp_path):
    write_card(make_card(), tmp_path)
    path = make_run(tmp_path / "a.json", variant="H.264 crf 32")
    arguments = ["--card", str(tmp_path / "visual.onnx"), "--output", str(tmp_path / "x.md"), str(path)]
    assert main([*arguments, "--update-card"]) == 0
    auc, alarms = load_card(tmp_path / "visual.onnx").metrics
    assert (auc.metric, auc.manipulation, auc.value, auc.n) == ("auc", "swap", 1.0, 20)
    assert (alarms.metric, alarms.value, alarms.n) == ("false_alarms", 0.1, 10)
    assert alarms.data_set == "faces val, photos"
    assert auc.command is not None
    assert auc.command.startswith("unmask evaluate")


def test_command_line_errors_are_one_line(tmp_path, capsys):
    write_card(make_card(), tmp_path)
    path = make_run(tmp_path / "a.json", sha256="00" * 32)
    assert main(["--card", str(tmp_path / "visual.onnx"), "--output", str(tmp_path / "x.md"), str(path)]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert main(["--card", str(tmp_path / "absent.onnx"), str(path)]) == 2
