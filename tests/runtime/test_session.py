"""Sessions: one setting of threads, devices that exist, networks that keep the contract."""

import os
import subprocess
import sys

import cv2
import numpy as np
import onnxruntime
import pytest

import tiny_networks
from unmask.runtime.card import WEIGHTS, WeightError
from unmask.runtime.network import VisualNetwork
from unmask.runtime.session import DeviceError, cores, devices, get_threads, open_session, set_threads

YUNET = "face_detection_yunet_dynamic.onnx"


@pytest.fixture(autouse=True)
def _all_threads_afterwards():
    yield
    set_threads(0)


def test_one_setting_governs_all_threads():
    assert set_threads(1) == 1
    assert get_threads() == 1
    assert cv2.getNumThreads() == 1
    assert open_session(YUNET).get_session_options().intra_op_num_threads == 1


def test_nought_means_all_cores():
    assert set_threads(0) == cores()
    assert 1 <= cores() <= (os.cpu_count() or 1)


def test_negative_threads_are_refused():
    with pytest.raises(ValueError, match="-1"):
        set_threads(-1)
    with pytest.raises(ValueError, match="-2"):
        open_session(YUNET, threads=-2)


def test_a_network_is_opened_once():
    assert open_session(YUNET, threads=1) is open_session(WEIGHTS / YUNET, threads=1)


def test_the_cpu_is_always_there():
    assert "cpu" in devices()
    assert open_session(YUNET, device="cpu").get_providers() == ["CPUExecutionProvider"]


def test_a_device_that_is_not_there_is_refused_with_what_there_is():
    missing = next(name for name in ("tensorrt", "cuda", "openvino") if name not in devices())
    with pytest.raises(DeviceError, match=r"offers.*cpu"):
        open_session(YUNET, device=missing)
    with pytest.raises(DeviceError, match="unknown device 'gpu'"):
        open_session(YUNET, device="gpu")


@pytest.mark.parametrize("content", [b"", b"not a network", bytes(100)])
def test_what_is_not_a_network_is_refused_in_one_line(content, tmp_path):
    path = tmp_path / "x.onnx"
    path.write_bytes(content)
    with pytest.raises(WeightError, match=r"x\.onnx") as error:
        open_session(path, device="cpu")
    assert "\n" not in str(error.value)


def test_a_missing_network_is_refused(tmp_path):
    with pytest.raises(WeightError, match="missing"):
        open_session(tmp_path / "none.onnx")
    with pytest.raises(WeightError, match="missing"):
        open_session("no_such_network.onnx")


def test_a_network_that_differs_from_its_card_does_not_run(tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    tiny_networks.write_card(path, sha256="0" * 64)
    with pytest.raises(WeightError, match="sha256"):
        open_session(path)


def test_an_exchanged_file_is_opened_anew(tmp_path):
    path = tiny_networks.brightness_network(tmp_path, scale=0.1)
    first = VisualNetwork(path)
    os.utime(tiny_networks.brightness_network(tmp_path, scale=0.2), ns=(1, 1))
    crops = np.full((1, tiny_networks.SIZE, tiny_networks.SIZE, 3), 138, np.uint8)
    assert first.infer(crops).logits[0] == pytest.approx(1.0)
    assert VisualNetwork(path).infer(crops).logits[0] == pytest.approx(2.0)


def test_one_thread_and_two_give_the_same_to_rounding():
    pixels = np.random.default_rng(0).uniform(0, 255, (1, 3, 320, 320)).astype(np.float32)
    one, two = (open_session(YUNET, threads=n).run(None, {"input": pixels}) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        assert np.abs(a - b).max() < 1e-4


def test_the_visual_network_answers_as_its_formula_says(tmp_path):
    network = VisualNetwork(tiny_networks.brightness_network(tmp_path))
    crops = np.zeros((3, network.size, network.size, 3), np.uint8)
    crops[1] = 200
    crops[2, :, : network.size // 2] = (30, 60, 90)
    answer = network.infer(crops)
    # 0.1 * (brightness - 128): brightness 0, 200, and half a picture of 60
    assert answer.logits == pytest.approx([-12.8, 7.2, -9.8], abs=1e-4)
    assert answer.maps.shape == (3, 4, 4)
    assert answer.maps.mean(axis=(1, 2)) == pytest.approx(answer.logits, abs=1e-4)
    assert answer.maps[2, 0] == pytest.approx([-6.8, -6.8, -12.8, -12.8], abs=1e-4)
    assert answer.embeddings[2] == pytest.approx([15, 30, 45])


def test_a_network_of_another_kind_is_no_visual_network(tmp_path):
    path = tmp_path / "yunet.onnx"
    path.write_bytes((WEIGHTS / YUNET).read_bytes())
    tiny_networks.write_card(path)
    with pytest.raises(WeightError, match="not a visual network"):
        VisualNetwork(path)


@pytest.mark.parametrize(
    "change",
    [{"crop": None}, {"input_size": None}, {"input_size": 64}, {"crop": {"size": 16, "margin": 2.0}}],
)
def test_a_card_that_does_not_say_how_faces_are_cut_is_refused(change, tmp_path):
    path = tiny_networks.brightness_network(tmp_path)
    tiny_networks.write_card(path, **change)
    with pytest.raises(WeightError, match="size"):
        VisualNetwork(path)


def test_onnxruntime_is_told_to_report_nothing(monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(onnxruntime, "disable_telemetry_events", lambda: called.append(True))
    open_session(tiny_networks.brightness_network(tmp_path), device="cpu")
    assert called


def test_importing_unmask_is_cheap_and_nothing_at_run_time_needs_torch():
    code = (
        "import sys, unmask; assert unmask.__version__; heavy = {'numpy', 'cv2', 'av', 'scipy'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules);"
        "unmask.analyse; assert not {'torch', 'torchvision', 'lightning'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
