"""The face mesh on real faces: mirrored, turned, fed by detector or by itself; eyes open and shut."""

import av
import cv2
import numpy as np
import onnxruntime
import pytest
from scenes import background, names, picture
from skimage import data as samples

from unmask.faces.align import warp
from unmask.faces.face import Detection
from unmask.faces.landmarks import (
    INPUT_SIDE,
    PRESENCE,
    Square,
    blendshape_names,
    detection_of_landmarks,
    square_of_detection,
    square_of_landmarks,
)
from unmask.faces.pose import head_pose

# Landmarks whose mirror images are known from the published mesh map: outer and inner eye corners, mouth
# corners, irises, nose wings, temples; nose tip, chin and forehead lie on the midline.
MIRRORED = [
    (33, 263),
    (133, 362),
    (61, 291),
    (468, 473),
    (129, 358),
    (127, 356),
    (1, 1),
    (152, 152),
    (10, 10),
]


def eyes(landmarks: np.ndarray) -> float:
    return float(np.linalg.norm(landmarks[33, :2] - landmarks[263, :2]))


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return samples.astronaut()


@pytest.fixture(scope="module")
def face(astronaut, detector, landmarker) -> np.ndarray:
    (found,) = detector.detect(astronaut)
    landmarks, presence = landmarker.mesh(astronaut, found)
    assert presence > 7
    return landmarks


@pytest.fixture(scope="module")
def portraits(data_dir, detector) -> list[tuple[np.ndarray, Detection]]:
    """Twelve portraits with one face each."""
    result = []
    for name in names(data_dir, "portraits.zip")[:20]:
        pixels = picture(data_dir, "portraits.zip", name)
        found = detector.detect(pixels)
        if len(found) == 1 and found[0].score > 0.85:
            result.append((pixels, found[0]))
    return result[:12]


def test_the_astronauts_features_lie_where_they_are(face):
    # Read off the enlarged picture: right and left iris, mouth corners, nose tip, chin.
    places = {
        468: (203, 101),
        473: (246, 103),
        61: (202, 139),
        291: (246, 140),
        1: (224, 128),
        152: (224, 178),
    }
    for index, place in places.items():
        assert np.linalg.norm(face[index, :2] - place) < 4, index


def test_background_shows_no_face(landmarker):
    clutter = background((640, 480))
    squares = [Square((x, 240.0), 150.0, 0.3) for x in (100.0, 320.0, 500.0)]
    _, presence = landmarker.meshes(clutter, squares)
    assert (presence < PRESENCE).all()


def test_no_squares_no_landmarks(landmarker, astronaut):
    landmarks, presence = landmarker.meshes(astronaut, [])
    assert landmarks.shape == (0, 478, 3)
    assert presence.shape == (0,)


def test_many_faces_at_once_are_found_as_one_by_one(landmarker, astronaut, face):
    square = square_of_landmarks(face)
    squares = [Square((square.centre[0] + d, square.centre[1]), square.side, square.angle) for d in range(10)]
    together, presence = landmarker.meshes(astronaut, squares)
    for i in (0, 5, 9):
        alone, logit = landmarker.mesh(astronaut, squares[i])
        np.testing.assert_allclose(together[i], alone, atol=0.01)
        assert presence[i] == pytest.approx(logit, abs=0.01)


def test_a_square_is_mapped_onto_the_crop(face):
    square = Square((100.0, 50.0), 64.0, np.pi / 2)
    matrix = square.matrix(32)
    # Turned by 90 degrees clockwise, the upper edge runs downwards: half a side along it from the middle is
    # the right edge of the crop, whose middle is (15.5, 15.5) and whose right edge is 31.5.
    np.testing.assert_allclose(matrix @ [100, 50, 1], [15.5, 15.5])
    np.testing.assert_allclose(matrix @ [100, 50 + 32, 1], [31.5, 15.5], atol=1e-9)


def test_squares_of_landmarks_are_level_with_the_eyes():
    landmarks = np.zeros((478, 3))
    landmarks[:, :2] = 50
    landmarks[33, :2], landmarks[263, :2] = (30, 30), (70, 70)
    square = square_of_landmarks(landmarks)
    assert square.angle == pytest.approx(np.pi / 4)
    assert square.centre == pytest.approx((50, 50))
    assert square.side == pytest.approx(1.5 * np.hypot(40, 40))


def test_detector_fed_and_mesh_fed_landmarks_agree(landmarker, portraits):
    errors = []
    for pixels, found in portraits:
        first, _ = landmarker.mesh(pixels, found)
        second, _ = landmarker.mesh(pixels, square_of_landmarks(first))
        errors.append(np.linalg.norm((first - second)[:, :2], axis=1).mean() / eyes(second))
    # 150 portraits: median 0.7 %, 95th percentile 1.4 % of the eye corners' distance.
    assert np.median(errors) < 0.015
    assert max(errors) < 0.04


def test_a_mirrored_picture_gives_mirrored_landmarks_and_opposite_yaw(landmarker, portraits):
    for pixels, found in portraits[:6]:
        first, _ = landmarker.mesh(pixels, found)
        square = square_of_landmarks(first)
        width = pixels.shape[1]
        landmarks, _ = landmarker.mesh(pixels, square)
        other = Square((width - 1 - square.centre[0], square.centre[1]), square.side, -square.angle)
        mirrored, _ = landmarker.mesh(np.ascontiguousarray(pixels[:, ::-1]), other)
        for right, left in MIRRORED:
            expected = [width - 1 - landmarks[left, 0], landmarks[left, 1]]
            assert np.linalg.norm(mirrored[right, :2] - expected) < 0.06 * eyes(landmarks)
        pose, opposite = head_pose(landmarks), head_pose(mirrored)
        assert opposite.yaw == pytest.approx(-pose.yaw, abs=5)
        assert opposite.roll == pytest.approx(-pose.roll, abs=3)
        assert opposite.pitch == pytest.approx(pose.pitch, abs=5)


@pytest.mark.parametrize("degrees", [-60, -30, 20, 90, 170])
def test_a_turned_picture_gives_turned_landmarks_and_roll(astronaut, landmarker, face, degrees):
    height, width = astronaut.shape[:2]
    # OpenCV's angle counts anticlockwise.
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), -degrees, 1.0)
    turned = cv2.warpAffine(astronaut, turn, (width, height), borderMode=cv2.BORDER_REFLECT)
    square = square_of_landmarks(face)
    straight, _ = landmarker.mesh(astronaut, square)
    centre = turn @ [*square.centre, 1]
    there = Square((centre[0], centre[1]), square.side, square.angle + np.radians(degrees))
    landmarks, _ = landmarker.mesh(turned, there)
    expected = straight[:, :2] @ turn[:, :2].T + turn[:, 2]
    # The eye corners are some 65 px apart: interpolation moves landmarks by about a pixel.
    assert np.linalg.norm(landmarks[:, :2] - expected, axis=1).mean() < 1.5
    change = head_pose(landmarks).roll - head_pose(straight).roll
    assert (change - degrees + 180) % 360 - 180 == pytest.approx(0, abs=2)


def test_the_detectors_points_follow_from_landmarks(landmarker, portraits):
    errors, overlaps = [], []
    for pixels, found in portraits:
        landmarks, _ = landmarker.mesh(pixels, found)
        derived = detection_of_landmarks(landmarks)
        errors.append(np.linalg.norm(derived.points - found.points, axis=1).mean() / eyes(landmarks))
        low = np.maximum(derived.box[:2], found.box[:2])
        high = np.minimum(derived.box[:2] + derived.box[2:], found.box[:2] + found.box[2:])
        shared = np.prod(np.maximum(high - low, 0))
        overlaps.append(shared / (np.prod(derived.box[2:]) + np.prod(found.box[2:]) - shared))
    assert np.median(errors) < 0.08
    assert np.median(overlaps) > 0.8


def test_the_square_of_a_detection_is_moved_towards_the_chin():
    # Tilted by 90 degrees clockwise, the eyes are one above the other and the chin is to the left.
    points = np.array([[60, 40], [60, 60], [50, 50], [40, 45], [40, 55]], np.float32)
    square = square_of_detection(Detection(np.array([30, 30, 40, 40], np.float32), points, 0.9))
    assert square.angle == pytest.approx(np.pi / 2)
    assert square.centre[0] < 50
    assert square.centre[1] == pytest.approx(50)


def test_there_are_52_blendshapes():
    assert len(blendshape_names()) == 52
    assert {"eyeBlinkLeft", "eyeBlinkRight", "jawOpen"} <= set(blendshape_names())


# Looked at by eye: frame numbers in which both eyes are wide open and in which both are shut.
@pytest.mark.parametrize(("clip", "awake", "shut"), [("talking_d3", 0, 58), ("hyperlips_1_real", 48, 68)])
def test_shut_eyes_blink(clips_dir, detector, landmarker, clip, awake, shut):
    wanted = [blendshape_names().index(name) for name in ("eyeBlinkLeft", "eyeBlinkRight")]
    blink = {}
    with av.open(str(clips_dir / f"{clip}.mp4")) as container:
        for index, frame in enumerate(container.decode(video=0)):
            if index in (awake, shut):
                pixels = frame.to_ndarray(format="rgb24")
                landmarks, _ = landmarker.mesh(pixels, detector.detect(pixels)[0])
                shapes = landmarker.blendshapes(landmarks)
                assert shapes.shape == (52,)
                blink[index] = shapes[wanted]
            if index >= max(awake, shut):
                break
    assert blink[awake].max() < 0.2
    assert blink[shut].min() > 0.5


def test_the_rewritten_mesh_is_the_original(data_dir, astronaut, face, landmarker):
    original = data_dir.parent / "models" / "face_landmarks.onnx"
    if not original.exists():
        pytest.skip("the original network does not lie beside the development media")
    session = onnxruntime.InferenceSession(str(original), providers=["CPUExecutionProvider"])
    matrix = square_of_landmarks(face).matrix(INPUT_SIDE)
    crop = warp(astronaut, matrix, INPUT_SIDE)
    points, presence, *_ = session.run(None, {session.get_inputs()[0].name: crop[None] / np.float32(255)})
    found, logit = landmarker.mesh(astronaut, square_of_landmarks(face))
    inverse = np.linalg.inv(matrix[:, :2])
    there = (points.reshape(-1, 3)[:, :2] - 0.5 - matrix[:, 2]) @ inverse.T
    assert np.abs(found[:, :2] - there).max() < 0.01  # pixels
    assert logit == pytest.approx(float(presence.squeeze()), abs=0.01)
