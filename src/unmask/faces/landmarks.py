"""Finds 478 landmarks, and from them 52 expression coefficients, with MediaPipe's face mesh on onnxruntime.

The mesh (Kartynnik et al. 2019, 1907.06724; irises: Ablavatski et al. 2020, 2006.11341) looks at a
square crop turned so that the eyes are level. Squares come from a detection or from the mesh itself.
The blendshape network reads 146 of the landmarks (Grishchenko et al. 2023, 2309.05782).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np

from unmask.faces.align import warp
from unmask.faces.face import Detection, Face
from unmask.faces.pose import fit_neutral, head_pose
from unmask.media.events import Frame
from unmask.runtime.session import open_session

MESH_NETWORK = "face_landmarks.onnx"
BLENDSHAPE_NETWORK = "face_blendshapes.onnx"
BLENDSHAPE_FACTS = "face_blendshapes.json"
INPUT_SIDE = 256
LANDMARKS = 478
BATCH = 8
"""Faces per run of the network: bounds the memory of a crowd."""
PRESENCE = 2.0
"""Presence logit above which the crop is held to show a face whose landmarks can be trusted.

Of 5,066 LFW photographs 99.8 % lie above (half of them above 18); what lies below is in profile. Background
gives -5 and less."""
DETECTION_SCALE = 1.35
"""Side of the square as a multiple of the longer side of the detector's box: the mesh is 0.90 as long."""
DETECTION_DROP = 0.05
"""How far the mesh's centre lies below the box's, towards the chin, in longer sides of the box."""
MESH_SCALE = 1.5
"""Side of the square as a multiple of the longer side of the mesh, measured along the eyes and across."""
EYE_CORNERS = (33, 263)
"""Outer corners of the person's right and left eye."""
POINT_ANCHORS = ((33, 133, 159, 145), (263, 362, 386, 374), (1,), (61,), (291,))
"""The landmarks whose mean lies next to each of the detector's five points."""
POINT_OFFSETS = np.array(
    [
        [-0.013, -0.015, -0.039],
        [0.013, -0.015, -0.039],
        [0.0, -0.043, 0.115],
        [-0.003, -0.011, 0.018],
        [0.003, -0.011, 0.018],
    ]
)
"""From there to the detector's point, on the neutral face of `pose` (in distances of the outer eye corners).

Measured on 290 real photographs; what remains is the scatter of the detector itself: root mean square
0.057 of the eye corners' distance at the eyes, 0.074 at the nose, 0.080 at the mouth."""
BOX_OF_EXTENT = (0.015, -0.104, 0.97, 1.105)
"""The detector's box in widths and heights of the mesh's: left, top, width, height. Same photographs."""


@dataclass(frozen=True)
class Square:
    """The square that the mesh looks at: centre (x, y) and side in picture pixels, `angle` of its upper
    edge in radians, clockwise as displayed.
    """

    centre: tuple[float, float]
    side: float
    angle: float

    def matrix(self, size: int) -> np.ndarray:
        """Return the (2, 3) map from picture pixels to the pixels of a `size` x `size` crop."""
        scale = size / self.side
        cosine, sine = np.cos(self.angle) * scale, np.sin(self.angle) * scale
        turn = np.array([[cosine, sine], [-sine, cosine]])
        shift = (size - 1) / 2 - turn @ np.array(self.centre)
        return np.column_stack([turn, shift])


def square_of_detection(detection: Detection) -> Square:
    """Return the square round a detected face."""
    x, y, width, height = (float(value) for value in detection.box)
    right, left = detection.points[0], detection.points[1]
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    longer = max(width, height, 1.0)
    drop = DETECTION_DROP * longer
    return Square(
        centre=(x + width / 2 - drop * float(np.sin(angle)), y + height / 2 + drop * float(np.cos(angle))),
        side=DETECTION_SCALE * longer,
        angle=angle,
    )


def square_of_landmarks(landmarks: np.ndarray) -> Square:
    """Return the square round (478, 3) landmarks, for the same face in the same or the next frame."""
    right, left = landmarks[EYE_CORNERS[0], :2], landmarks[EYE_CORNERS[1], :2]
    angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
    cosine, sine = np.cos(angle), np.sin(angle)
    along = np.array([[cosine, sine], [-sine, cosine]])
    level = landmarks[:, :2] @ along.T
    low, high = level.min(axis=0), level.max(axis=0)
    centre = along.T @ ((low + high) / 2)
    side = MESH_SCALE * max(float((high - low).max()), 1.0)
    return Square(centre=(float(centre[0]), float(centre[1])), side=side, angle=angle)


def detection_of_landmarks(landmarks: np.ndarray) -> Detection:
    """Return what the detector would have said of a face of which only the (478, 3) landmarks are known.

    The score is 0: the detector did not find this face.
    """
    scale, rotation, _ = fit_neutral(landmarks)
    anchors = np.array([landmarks[list(group), :2].mean(axis=0) for group in POINT_ANCHORS])
    points = anchors + scale * (POINT_OFFSETS @ rotation.T)[:, :2]
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    width, height = high - low
    left, top, wide, tall = BOX_OF_EXTENT
    box = np.array([low[0] + left * width, low[1] + top * height, wide * width, tall * height])
    return Detection(box=box.astype(np.float32), points=points.astype(np.float32), score=0.0)


@cache
def blendshape_names() -> tuple[str, ...]:
    """Return the names of the 52 blendshapes, such as "eyeBlinkLeft" (left as the person has it)."""
    return tuple(_facts()["names"])


@cache
def _facts() -> dict[str, list]:
    text = resources.files("unmask.weights").joinpath(BLENDSHAPE_FACTS).read_text("utf-8")
    facts: dict[str, list] = json.loads(text)
    return facts


class Landmarker:
    """The face mesh and the blendshape network, ready for use.

    Args:
        threads: inference threads; 0 leaves the choice to the runtime.
        device: "auto", "cpu", "cuda", ... as in `unmask.runtime.session`.
    """

    def __init__(self, *, threads: int = 0, device: str = "auto") -> None:
        self._mesh = open_session(MESH_NETWORK, threads=threads, device=device)
        self._mesh_input = self._mesh.get_inputs()[0].name
        self._shapes = open_session(BLENDSHAPE_NETWORK, threads=threads, device=device)
        self._shapes_input = self._shapes.get_inputs()[0].name
        self._subset = np.array(_facts()["landmark_subset"])

    def mesh(self, pixels: np.ndarray, where: Square | Detection) -> tuple[np.ndarray, float]:
        """Return the landmarks of one face and the presence logit; see `meshes`."""
        landmarks, presence = self.meshes(pixels, [where])
        return landmarks[0], float(presence[0])

    def meshes(
        self, pixels: np.ndarray, where: Sequence[Square | Detection]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the landmarks of several faces of one picture.

        Args:
            pixels: (H, W, 3) uint8 RGB.
            where: N squares, or detections from which the squares follow.

        Returns:
            (N, 478, 3) float32 landmarks: x and y in picture pixels, z in pixels of the same scale, smaller
            nearer to the camera; and (N,) presence logits (see `PRESENCE`).
        """
        squares = [square_of_detection(w) if isinstance(w, Detection) else w for w in where]
        landmarks = np.empty((len(squares), LANDMARKS, 3), np.float32)
        presence = np.empty(len(squares), np.float32)
        for start in range(0, len(squares), BATCH):
            part = squares[start : start + BATCH]
            crops = np.stack([warp(pixels, square.matrix(INPUT_SIDE), INPUT_SIDE) for square in part])
            points, logits, *_ = self._mesh.run(None, {self._mesh_input: crops.astype(np.float32) / 255})
            for i, square in enumerate(part):
                landmarks[start + i] = _to_picture(points[i].reshape(LANDMARKS, 3), square)
            presence[start : start + len(part)] = logits.reshape(-1)
        return landmarks, presence

    def blendshapes(self, landmarks: np.ndarray) -> np.ndarray:
        """Return the (52,) blendshape coefficients, 0..1, of (478, 3) landmarks in picture pixels."""
        points = landmarks[self._subset, :2].astype(np.float32)[None]
        return np.asarray(self._shapes.run(None, {self._shapes_input: points})[0], np.float32).reshape(-1)


def with_landmarks(frame: Frame, faces: Sequence[Face], landmarker: Landmarker) -> list[Face]:
    """Return the faces with landmarks, blendshapes and pose.

    Faces that have them stay as they are; those in whose crop the mesh is not present stay without.
    """
    bare = [index for index, face in enumerate(faces) if face.landmarks is None]
    meshes, presence = landmarker.meshes(frame.pixels, [faces[index].detection for index in bare])
    result = list(faces)
    for index, mesh, logit in zip(bare, meshes, presence, strict=True):
        if logit >= PRESENCE:
            shapes = landmarker.blendshapes(mesh)
            result[index] = replace(faces[index], landmarks=mesh, blendshapes=shapes, pose=head_pose(mesh))
    return result


def _to_picture(points: np.ndarray, square: Square) -> np.ndarray:
    """Carry (478, 3) landmarks from the network's input to the picture."""
    matrix = square.matrix(INPUT_SIDE)
    inverse = np.linalg.inv(matrix[:, :2])
    result = np.empty_like(points)
    # The network counts from the corner of the crop's first pixel, pictures here from its centre (measured:
    # the landmarks of 300 mirrored faces add up to 256 and not to 255).
    result[:, :2] = (points[:, :2] - 0.5 - matrix[:, 2]) @ inverse.T
    result[:, 2] = points[:, 2] * (square.side / INPUT_SIDE)
    return result
