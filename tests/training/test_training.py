"""Training end to end on a small generated data set: it learns, resumes, exports, and refuses bad input."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
import lightning  # noqa: E402
from lightning.pytorch.plugins.precision import MixedPrecision  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import tiny_architecture  # noqa: E402
from face_zips import write_zip  # noqa: E402
from unmask.cli.app import app  # noqa: E402
from unmask.data.manifest import Item  # noqa: E402
from unmask.models.registry import create  # noqa: E402
from unmask.models.weights import load_weights, packaged_weights  # noqa: E402
from unmask.runtime.card import load_card, verify  # noqa: E402
from unmask.training import checkpoint, loop  # noqa: E402
from unmask.training.begin import Start  # noqa: E402
from unmask.training.config import Phase, TrainingConfig  # noqa: E402
from unmask.training.export import export  # noqa: E402
from unmask.training.optimiser import learning_rate  # noqa: E402
from unmask.training.run import run, without_kinds  # noqa: E402

SETTINGS = {
    "margin": 2.5,
    "model": "efficientnet_lite0",
    "phases": [{"until": 1.0, "size": 64}],
    "steps": 6,
    "batch_size": 8,
    "workers": 0,
    "tune_share": 0.3,
    "threads": 1,
    "evaluate_every": 1000,
}


TINY = SETTINGS | {"model": "tiny", "pretrained": False}


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen crops of one public-domain face, half of them with a red stripe and called fake."""
    return write_zip(tmp_path_factory.mktemp("data") / "tiny.zip")


@pytest.fixture(autouse=True)
def tiny(monkeypatch) -> None:
    tiny_architecture.register(monkeypatch)


def silent(_: str) -> None:
    pass


@pytest.fixture(scope="module")
def trained(data_set, tmp_path_factory) -> Path:
    return run(SETTINGS, [data_set], tmp_path_factory.mktemp("runs") / "run", report=silent)


def test_a_checkpoint_describes_itself(trained):
    model, header = checkpoint.load(trained)
    assert (header.architecture, header.input_size, header.step) == ("efficientnet_lite0", 64, 6)
    assert {row["manipulation"] for row in header.training_data} == {"real", "stripe"}
    assert header.crop_margin == 2.5
    # of eight persons, all but those of *tune* were trained on
    assert set(header.trained_groups) < {f"person{n}" for n in range(8)}
    assert len(header.trained_groups) >= 4
    assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 1)


def test_export_answers_as_the_checkpoint_does(trained, tmp_path):
    import onnxruntime

    exported = export(trained, tmp_path / "tiny.onnx")
    verify(load_card(exported))
    model, header = checkpoint.load(trained)
    pixels = np.random.default_rng(1).uniform(0, 255, (3, 3, 64, 64)).astype(np.float32)
    session = onnxruntime.InferenceSession(exported)
    logit, activation, embedding = session.run(["logit", "map", "embedding"], {"pixels": pixels})
    mean, std = (np.array(v, np.float32)[:, None, None] for v in (header.mean, header.std))
    expected = model(torch.from_numpy((pixels / 255 - mean) / std)).detach().numpy()[:, 0]
    np.testing.assert_allclose(logit, expected, atol=0.02)
    bias = model.classifier.bias.item()
    np.testing.assert_allclose(activation.mean((1, 2)) + bias, logit, atol=0.01)
    assert embedding.shape == (3, 1280)


def test_export_in_8_bits_says_what_it_costs(trained, data_set, tmp_path):
    output = tmp_path / "tiny.onnx"
    options = ["--int8", "--dataset", str(data_set), "--tune-share", "0.3"]
    said = CliRunner().invoke(app, ["export", str(trained), "--output", str(output), *options])
    assert said.exit_code == 0, said.output
    card = load_card(output)
    verify(card)
    assert (card.arithmetic, card.name, card.input_size) == ("int8", "tiny", 64)
    assert "tune pictures change by" in said.output
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny.card.json", "tiny.onnx"]


@pytest.mark.parametrize("options", [["--int8"], ["--dataset", "data.zip"]])
def test_8_bits_and_a_data_set_go_together(trained, tmp_path, options):
    said = CliRunner().invoke(app, ["export", str(trained), "-o", str(tmp_path / "tiny.onnx"), *options])
    assert said.exit_code == 2
    assert "--int8 and --dataset go together" in said.output
    assert not list(tmp_path.iterdir())


def test_8_bits_without_pictures_leave_nothing(trained, tmp_path):
    said = CliRunner().invoke(
        app, ["export", str(trained), "-o", str(tmp_path / "tiny.onnx"), "--int8", "-d", str(tmp_path / "no")]
    )
    assert said.exit_code == 1
    assert "no data set zip here" in said.output
    assert not list(tmp_path.iterdir())


def test_a_stopped_run_goes_on(data_set, tmp_path):
    run(SETTINGS | {"steps": 3}, [data_set], tmp_path / "run", report=silent)
    lines: list[str] = []
    run(SETTINGS, [data_set], tmp_path / "run", report=lines.append)
    assert "going on at step 3" in lines
    assert checkpoint.read_header(tmp_path / "run" / "last.safetensors").step == 6


class KilledError(Exception):
    pass


def test_a_killed_run_ends_as_if_nothing_had_happened(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 2)
    settings = SETTINGS | {"evaluate_every": 2, "mix_up": 0.4}
    run(settings, [data_set], tmp_path / "whole", report=silent)

    def dies(line: str) -> None:
        if line.startswith("step 4"):
            raise KilledError

    with pytest.raises(KilledError):
        run(settings, [data_set], tmp_path / "killed", report=dies)
    lines: list[str] = []
    run(settings, [data_set], tmp_path / "killed", report=lines.append)
    assert "going on at step 2" in lines
    whole, killed = (checkpoint.load(tmp_path / n / "last.safetensors")[0] for n in ("whole", "killed"))
    for name, value in whole.state_dict().items():
        assert torch.equal(value, killed.state_dict()[name]), name


def test_a_run_learns_from_a_teacher_with_sharpness_and_focus(data_set, trained, tmp_path):
    settings = {
        "steps": 2,
        "optimiser": "sam",
        "learning_rate": 0.01,
        "focal": 2.0,
        "teacher": str(trained),
        "epochs": 0.5,
        "sampling": "balanced",
        "precision": "auto",
    }
    lines: list[str] = []
    best = run(SETTINGS | settings, [data_set], tmp_path / "run", report=lines.append)
    assert any(line.startswith("precision ") for line in lines)
    # Half a pass over the fakes of train, two pictures a fake, eight a batch.
    fakes = next(
        r["items"] for r in checkpoint.read_header(best).training_data if r["manipulation"] == "stripe"
    )
    assert checkpoint.read_header(best).step == max(1, round(0.5 * 2 * fakes / 8))


def test_a_frozen_backbone_is_the_pretrained_one(data_set, tmp_path):
    best = run(SETTINGS | {"frozen_backbone": True, "steps": 2}, [data_set], tmp_path / "run", report=silent)
    network = create("efficientnet_lite0")
    load_weights(network, packaged_weights("efficientnet_lite0"))
    trained = checkpoint.load(best)[0].state_dict()
    for name, value in network.state_dict().items():
        if not name.startswith("classifier") and not name.endswith("num_batches_tracked"):
            torch.testing.assert_close(trained[name], value)


def test_a_run_without_gain_ends_early(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1)
    monkeypatch.setattr(loop, "auc_by_kind", lambda *_: {"stripe": 0.5})
    settings = SETTINGS | {"evaluate_every": 1, "patience": 2, "steps": 50}
    lines: list[str] = []
    best = run(settings, [data_set], tmp_path / "run", report=lines.append)
    # The first evaluation is the best; two more bring no gain.
    assert checkpoint.read_header(best.with_name("last.safetensors")).step == 3
    assert "no better tune figure in 2 evaluations: the run ends" in lines
    assert (tmp_path / "run" / "curve.png").stat().st_size > 5000


def test_a_run_that_ended_early_is_not_gone_on_with(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1)
    monkeypatch.setattr(loop, "auc_by_kind", lambda *_: {"stripe": 0.5})
    settings = TINY | {"evaluate_every": 1, "patience": 2, "steps": 50}
    for _ in range(2):
        best = run(settings, [data_set], tmp_path / "run", report=silent)
        assert checkpoint.read_header(best.with_name("last.safetensors")).step == 3
    run(settings | {"patience": 4}, [data_set], tmp_path / "run", report=silent)
    assert checkpoint.read_header(best.with_name("last.safetensors")).step == 5


def test_without_a_tune_figure_the_last_network_is_the_best(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1)
    settings = TINY | {"evaluate_every": 1, "patience": 1, "steps": 3}
    lines: list[str] = []
    best = run(settings, [data_set], tmp_path / "run", report=lines.append)
    assert checkpoint.read_header(best).step == 3
    assert sum(line.startswith("tune: too few pictures for a figure") for line in lines) == 3
    assert not any("AUC" in line for line in lines)


def test_an_evaluation_that_fails_does_not_cost_the_steps(data_set, tmp_path, monkeypatch):
    def fails(*_):
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "auc_by_kind", fails)
        with pytest.raises(KilledError):
            run(TINY, [data_set], tmp_path / "run", report=silent)
    assert checkpoint.read_header(tmp_path / "run" / "last.safetensors").step == 6
    # What was still to be done is made up for: the evaluation, and with it the best checkpoint.
    best = run(TINY, [data_set], tmp_path / "run", report=silent)
    assert checkpoint.read_header(best).step == 6


def test_a_step_stands_once_in_the_log_after_a_kill(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK", 1)
    settings = TINY | {"evaluate_every": 1, "steps": 3}
    log = loop._log

    def killed(path, step, *values):
        log(path, step, *values)
        if step == 2:
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_log", killed)
        with pytest.raises(KilledError):
            run(settings, [data_set], tmp_path / "run", report=silent)
    run(settings, [data_set], tmp_path / "run", report=silent)
    with (tmp_path / "run" / "log.csv").open(newline="") as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "2", "3"]


def test_a_tune_fold_in_which_no_face_is_found_is_refused(tmp_path):
    items = [
        Item(data_set="d", name=n, label="real", group=n, path=Path("x"), member=n, split=s)
        for n, s in (("a", "train"), ("b", "tune"))
    ]
    config = TrainingConfig.model_validate(TINY)
    start = Start(create("tiny"), None, None)
    with pytest.raises(ValueError, match="no face was found in any of the 1 pictures of the tune fold"):
        loop.train(config, items, {}, tmp_path / "run", start=start, report=silent)


def test_the_measured_number_format_is_kept_for_later_sittings(data_set, tmp_path):
    lines: list[str] = []
    for steps in (1, 2):
        settings = TINY | {"steps": steps, "precision": "auto"}
        run(settings, [data_set], tmp_path / "run", report=lines.append)
    assert sum(line.startswith("precision ") for line in lines) == 1


def test_the_scale_of_fp16_gradients_goes_on_where_it_was(data_set, tmp_path, monkeypatch):
    real = lightning.Trainer

    def with_scaler(*, precision, **settings):
        scaler = torch.amp.GradScaler("cpu", init_scale=256.0, growth_interval=1)
        return real(plugins=ScalingOnProcessor("16-mixed", "cpu", scaler), **settings)

    monkeypatch.setattr(lightning, "Trainer", with_scaler)
    for steps in (1, 3):
        run(TINY | {"steps": steps, "accelerator": "cpu"}, [data_set], tmp_path / "run", report=silent)
    # Doubled after each of three steps, of which one was taken in the first sitting.
    assert checkpoint.load_state(tmp_path / "run" / "state.pt")["scaler"]["scale"] == 256 * 2**3


class ScalingOnProcessor(MixedPrecision):
    """The scaling of gradients that comes with fp16, on a processor and in 32 bits."""

    def autocast_context_manager(self):
        return torch.autocast("cpu", enabled=False)


PARALLEL = """
import sys
from pathlib import Path
import torch
from torch import nn
from unmask.models import registry
from unmask.models.network import Network

class Tiny(Network):
    def __init__(self, num_classes):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.num_features, self.dropout = 4, nn.Dropout(0.0)
        self.classifier = nn.Linear(4, num_classes)
    def forward_features(self, x):
        return torch.tanh(self.conv(x))
    def parts(self):
        return [self.conv]
    def rename(self, weights):
        return dict(weights)

@registry.register(registry.Preprocessing(64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
def tiny(num_classes=1):
    return Tiny(num_classes)

from unmask.training.run import run
settings = {"model": "tiny", "pretrained": False, "phases": [{"until": 1.0, "size": 64}], "steps": 3,
            "batch_size": 8, "workers": 0, "tune_share": 0.3, "threads": 1, "evaluate_every": 1000,
            "optimiser": "sgd", "learning_rate": 0.5, "warm_up": 0.0, "ema": 0.0, "accelerator": "cpu",
            "devices": int(sys.argv[3])}
run(settings, [Path(sys.argv[1])], Path(sys.argv[2]), report=print)
"""


def test_a_run_ended_by_the_clock_looks_at_it_often_enough():
    assert loop.stretch(330, 0) == 25  # how long a batch takes is not known yet
    assert loop.stretch(330, 0.5) == 200  # no longer than the state is saved
    assert loop.stretch(50, 0.5) == 100
    assert loop.stretch(50, 4.4) == 12  # rounded up: the last one passes the end
    assert loop.stretch(0.1, 4.4) == 1
    assert loop.stretch(-3, 4.4) == 1


def test_minutes_end_a_run_and_the_last_figures_are_those_of_its_end(data_set, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "FIRST_CHUNK", 2)
    settings = SETTINGS | {"steps": 1, "minutes": 0.05, "evaluate_every": 1000}
    lines: list[str] = []
    best = run(settings, [data_set], tmp_path / "run", report=lines.append)
    assert best.is_file()
    steps = [line for line in lines if line.startswith("step ")]
    assert steps[0].startswith("step 2 ")
    assert float(steps[-1].split("%")[0].split()[-1]) >= 100
    assert all(float(line.split("%")[0].split()[-1]) < 100 for line in steps[:-1])
    assert sum(line.startswith("tune") for line in lines) == 1


def test_two_processes_give_the_gradients_of_one(data_set, tmp_path):
    script = tmp_path / "parallel.py"
    script.write_text(PARALLEL)
    states = []
    for devices in ("1", "2"):
        command = [sys.executable, str(script), str(data_set), str(tmp_path / devices), devices]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        states.append(checkpoint.load_state(tmp_path / devices / "state.pt")["model"])
    one, two = states
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, rtol=1e-5, atol=1e-7)


def test_a_checkpoint_with_code_inside_is_refused(tmp_path):
    path = tmp_path / "evil.safetensors"
    torch.save({"weights": print}, path)
    with pytest.raises(checkpoint.CheckpointError, match="not a readable safetensors"):
        checkpoint.load(path)


def test_a_checkpoint_of_another_architecture_is_refused(trained, tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(trained, framework="pt") as file:
        header = json.loads(file.metadata()["header"])
        weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    header["architecture"] = "efficientnet_lite2"
    other = tmp_path / "other.safetensors"
    save_file(weights, other, metadata={"format": checkpoint.FORMAT, "header": json.dumps(header)})
    with pytest.raises(checkpoint.CheckpointError, match="do not fit efficientnet_lite2"):
        checkpoint.load(other)


def test_wrong_settings_name_the_field(data_set, tmp_path):
    with pytest.raises(ValueError, match="batch_sise"):
        run(SETTINGS | {"batch_sise": 3}, [data_set], tmp_path, report=silent)


def test_a_class_without_pictures_is_named(data_set, tmp_path):
    with pytest.raises(ValueError, match="no training pictures for unknown kind"):
        run(SETTINGS | {"kinds": {"unknown kind": 1.0}}, [data_set], tmp_path, report=silent)


def test_a_kind_is_left_out_with_the_reals_of_its_source():
    def item(name: str, data_set: str, kind: str) -> Item:
        label = "fake" if kind else "real"
        return Item(data_set=data_set, name=name, label=label, group=name, path=Path("x"), manipulation=kind)

    items = [item("a", "one", ""), item("b", "one", "swap"), item("c", "two", ""), item("d", "two", "paint")]
    assert [i.name for i in without_kinds(items, ["swap"])] == ["c", "d"]
    with pytest.raises(ValueError, match="no fake is of kind swop; there are paint, swap"):
        without_kinds(items, ["swop"])


def test_a_loss_that_is_no_number_ends_the_run_and_keeps_the_checkpoint(data_set, tmp_path):
    run(SETTINGS | {"steps": 2}, [data_set], tmp_path / "run", report=silent)
    state = checkpoint.load_state(tmp_path / "run" / "state.pt")
    state["model"]["classifier.weight"].fill_(float("nan"))
    torch.save(state, tmp_path / "run" / "state.pt")
    with pytest.raises(FloatingPointError, match="step 2"):
        run(SETTINGS, [data_set], tmp_path / "run", report=silent)
    assert checkpoint.read_header(tmp_path / "run" / "last.safetensors").step == 2


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    config = TrainingConfig(learning_rate=1.0, warm_up=0.2)
    assert learning_rate(0.1, config) == pytest.approx(0.5)
    assert learning_rate(0.2, config) == pytest.approx(1.0)
    assert learning_rate(0.6, config) == pytest.approx(0.5)
    assert learning_rate(1.0, config) == pytest.approx(0.0)


def test_phases_follow_each_other():
    config = TrainingConfig(phases=[Phase(until=0.5, size=128), Phase(until=1.0, size=160)])
    assert [config.phase(p).size for p in (0.0, 0.49, 0.5, 1.0, 1.2)] == [128, 128, 160, 160, 160]
