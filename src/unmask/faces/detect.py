"""Finds faces in one picture with YuNet (Wu et al. 2023) on onnxruntime.

The picture is searched at a bounded size, so that the cost does not grow with the resolution. A face
that fills the whole picture (a tight crop, without forehead and chin) is found on a second try, on
the picture set in a frame of its own border pixels.
"""

from __future__ import annotations

import cv2
import numpy as np

from unmask.faces.face import Detection
from unmask.runtime.session import open_session

NETWORK = "face_detection_yunet_dynamic.onnx"
STRIDES = (8, 16, 32)
SMALL = 3 * 256 * 256
"""Values in a picture up to which one thread is faster than two (1.3 ms against 2.4 at 160 pixels)."""
SEARCH_SIDE = 640
THRESHOLD = 0.6
OVERLAP = 0.3
"""Boxes that overlap more than this (intersection over union) are one face."""
RETRY_FRAME = 0.3
"""Width of the frame set around a picture without a found face, as a share of its longer side."""
RETRY_SIDES = (320, 160)


class Detector:
    """YuNet, ready to search pictures.

    Args:
        threads: inference threads; 0 leaves the choice to the runtime.
        device: "auto", "cpu", "cuda", ... as in `unmask.runtime.session`.
    """

    def __init__(self, *, threads: int = 0, device: str = "auto") -> None:
        self._session = open_session(NETWORK, threads=threads, device=device)
        self._input = self._session.get_inputs()[0].name
        self._outputs = [output.name for output in self._session.get_outputs()]
        # On a small picture one thread is faster than several that wait for each other.
        self._small = open_session(NETWORK, threads=1, device=device)

    def detect(
        self, pixels: np.ndarray, *, max_side: int = SEARCH_SIDE, threshold: float = THRESHOLD
    ) -> list[Detection]:
        """Return the faces of an (H, W, 3) uint8 RGB picture, the surest first.

        The picture is reduced to at most `max_side` pixels before the search, never enlarged.
        """
        height, width = pixels.shape[:2]
        scale = min(1.0, max_side / max(height, width))
        if scale < 1.0:
            size = (max(1, round(width * scale)), max(1, round(height * scale)))
            pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        found = self._search(pixels, threshold)
        ratio = np.array([width / pixels.shape[1], height / pixels.shape[0]], np.float32)
        return [
            Detection(box=d.box * np.tile(ratio, 2), points=d.points * ratio, score=d.score) for d in found
        ]

    def detect_picture(self, pixels: np.ndarray, *, threshold: float = THRESHOLD) -> list[Detection]:
        """Like `detect`, but tries again for faces that fill the picture, or stand in a very large one."""
        found = self.detect(pixels, threshold=threshold)
        if found:
            return found
        if max(pixels.shape[:2]) > 2 * SEARCH_SIDE:
            found = self.detect(pixels, max_side=2 * SEARCH_SIDE, threshold=threshold)
            if found:
                return found
        for side in RETRY_SIDES:
            found = self._detect_framed(pixels, side, threshold)
            if found:
                return found
        return []

    def _detect_framed(self, pixels: np.ndarray, side: int, threshold: float) -> list[Detection]:
        height, width = pixels.shape[:2]
        scale = min(1.0, side / max(height, width))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
        frame = int(RETRY_FRAME * max(size))
        framed = cv2.copyMakeBorder(small, frame, frame, frame, frame, cv2.BORDER_REPLICATE)
        ratio = np.array([width / size[0], height / size[1]], np.float32)
        result = []
        for d in self._search(framed, threshold):
            box = d.box.copy()
            box[:2] -= frame
            result.append(
                Detection(box=box * np.tile(ratio, 2), points=(d.points - frame) * ratio, score=d.score)
            )
        return result

    def _search(self, pixels: np.ndarray, threshold: float) -> list[Detection]:
        """Run the network on the picture as it is and decode its grid of answers."""
        height, width = pixels.shape[:2]
        padded_height, padded_width = -(-height // 32) * 32, -(-width // 32) * 32
        blob = np.zeros((1, 3, padded_height, padded_width), np.float32)
        blob[0, :, :height, :width] = pixels[:, :, ::-1].transpose(2, 0, 1)
        session = self._small if blob.size <= SMALL else self._session
        answers = dict(zip(self._outputs, session.run(None, {self._input: blob}), strict=True))
        boxes, points, scores = [], [], []
        for stride in STRIDES:
            score = np.sqrt(
                np.clip(answers[f"cls_{stride}"][0, :, 0], 0, 1)
                * np.clip(answers[f"obj_{stride}"][0, :, 0], 0, 1)
            )
            kept = np.flatnonzero(score > threshold)
            if kept.size == 0:
                continue
            row, column = np.divmod(kept, padded_width // stride)
            cell = np.stack([column, row], axis=1).astype(np.float32)
            box = answers[f"bbox_{stride}"][0][kept]
            centre = (cell + box[:, :2]) * stride
            size = np.exp(box[:, 2:]) * stride
            boxes.append(np.concatenate([centre - size / 2, size], axis=1))
            offsets = answers[f"kps_{stride}"][0][kept].reshape(-1, 5, 2)
            points.append((cell[:, None] + offsets) * stride)
            scores.append(score[kept])
        if not boxes:
            return []
        all_boxes, all_points, all_scores = map(np.concatenate, (boxes, points, scores))
        separate = np.asarray(cv2.dnn.NMSBoxes(all_boxes.tolist(), all_scores.tolist(), threshold, OVERLAP))
        order = sorted(separate.ravel(), key=lambda i: -all_scores[i])
        return [Detection(all_boxes[i], all_points[i], float(all_scores[i])) for i in order]
