"""Opens networks with onnxruntime, and sets the threads of inference, OpenCV and decoder by one number.

Every network runs through here: checked against its card, on the wanted device, opened once a process.
"""

from __future__ import annotations

import functools
import logging
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unmask.runtime.card import PACKED, WEIGHTS, WeightError, card_path, load_card, read_network, verify

if TYPE_CHECKING:
    import onnxruntime

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
DEVICES = ("auto", *PROVIDERS)
AUTO_ORDER = ("cuda", "openvino", "cpu")
"""What "auto" tries, best first. TensorRT builds engines for minutes: only on demand."""

_log = logging.getLogger(__name__)
_threads = 0


class DeviceError(Exception):
    """The wanted device is not there; the message is one line and names the remedy."""


def cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1


def set_threads(threads: int) -> int:
    """Set the threads of inference, OpenCV and decoder alike; return the number (0 means all cores).

    Sessions opened before keep their number: set it first.

    Raises:
        ValueError: `threads` is negative.
    """
    global _threads
    import cv2

    if threads < 0:
        raise ValueError(f"threads must be 0 (all cores) or more, not {threads}")
    _threads = threads
    cv2.setNumThreads(get_threads())
    return get_threads()


def get_threads() -> int:
    """Return the number of threads last set, as a positive number (all cores by default)."""
    return _threads or cores()


def devices() -> list[str]:
    """Return the devices that this installation of onnxruntime was built for, "cpu" always among them."""
    import onnxruntime

    present = onnxruntime.get_available_providers()
    return [name for name, provider in PROVIDERS.items() if provider in present]


def open_session(
    path_or_name: str | Path, *, threads: int = 0, device: str = "auto"
) -> onnxruntime.InferenceSession:
    """Open a network, or return it when this process has it open already.

    Args:
        path_or_name: a path to an .onnx file (or one compressed, .onnx.gz), or the file name of an embedded
            one. An embedded file must match its card; another file must match its card where one lies
            beside it.
        threads: threads within one operator; 0 takes the number given to `set_threads`.
        device: "cpu", "cuda", "tensorrt", "openvino", or "auto" for the best that works.

    Raises:
        WeightError: the file is missing, not a network, or differs from its card.
        DeviceError: the device is unknown or does not work here.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}; choose one of {', '.join(DEVICES)}")
    if threads < 0:
        raise ValueError(f"threads must be 0 (all) or more, not {threads}")
    path = _resolve(path_or_name)
    changed = path.stat().st_mtime_ns
    return _open(path, changed, threads or get_threads(), device)


def _resolve(path_or_name: str | Path) -> Path:
    path = Path(path_or_name)
    if path.name == str(path_or_name) and (WEIGHTS / path).is_file():
        path = WEIGHTS / path
    if not path.is_file():
        raise WeightError(f"{path_or_name}: weight file missing; give the path of an .onnx file")
    return path.resolve()


@functools.lru_cache(maxsize=16)
def _open(path: Path, changed: int, threads: int, device: str) -> onnxruntime.InferenceSession:
    if path.parent == WEIGHTS or card_path(path).exists():
        verify(load_card(path))
    if device != "auto":
        return _start(path, threads, device)
    present = devices()
    for name in AUTO_ORDER[:-1]:
        if name in present:
            try:
                return _start(path, threads, name)
            except DeviceError as error:
                _log.info("%s; trying the next device", error)
    return _start(path, threads, "cpu")


def _start(path: Path, threads: int, device: str) -> onnxruntime.InferenceSession:
    import onnxruntime

    if device not in devices():
        raise DeviceError(
            f"device {device!r} is not available: this onnxruntime offers {', '.join(devices())}; "
            "install the onnxruntime build for it, or use --device cpu"
        )
    onnxruntime.disable_telemetry_events()
    providers: list[Any] = [PROVIDERS[device]]
    if device == "tensorrt":
        providers.append(PROVIDERS["cuda"])
    if device != "cpu":
        providers.append(PROVIDERS["cpu"])
    try:
        network = read_network(path) if path.suffix == PACKED else str(path)
        session = onnxruntime.InferenceSession(network, _options(threads), providers=providers)
    except Exception as error:  # onnxruntime raises a different class for every way a file can be wrong
        if device != "cpu":
            raise DeviceError(f"device {device!r} does not work here ({_first_line(error)})") from None
        raise WeightError(f"{path}: not a network that can be run ({_first_line(error)})") from None
    if session.get_providers()[0] != PROVIDERS[device]:
        raise DeviceError(f"device {device!r} does not work here: its driver or libraries are missing")
    return session


def _options(threads: int) -> onnxruntime.SessionOptions:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4
    # Idle inference threads must not spin: the decoder and OpenCV use the same cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
