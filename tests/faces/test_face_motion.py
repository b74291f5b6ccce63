"""How a face moves against its surroundings: pictures moved by known amounts."""

import cv2
import numpy as np
import pytest

from unmask.faces.motion import MOTION, PIXELS, motion_row


def noise(seed: int = 0) -> np.ndarray:
    """Smooth coloured noise (192, 192, 3), in which every place can be followed."""
    picture = np.random.default_rng(seed).uniform(0, 255, (48, 48, 3)).astype(np.float32)
    return cv2.resize(picture, (192, 192), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)


def moved(dx: float, dy: float, *, face: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    """Cut (96, 96, 3) out of the noise shifted by (dx, dy), its middle half shifted further by `face`."""

    def cut(x: float, y: float) -> np.ndarray:
        return cv2.getRectSubPix(noise(), (PIXELS, PIXELS), (96.0 - x, 96.0 - y))

    picture, inner = cut(dx, dy), cut(dx + face[0], dy + face[1])
    inside = slice(PIXELS // 4, 3 * PIXELS // 4)
    picture[inside, inside] = inner[inside, inside]
    return picture


def row(before: np.ndarray, after: np.ndarray, elapsed: float = 0.1) -> dict[str, float]:
    return dict(zip(MOTION, motion_row(before, after, elapsed), strict=True))


def test_a_face_that_stays_put_in_a_still_picture_does_not_move():
    still = row(moved(0, 0), moved(0, 0))
    assert still["warp"] == pytest.approx(np.log(0.1), abs=0.01)
    assert still["warp against surroundings"] == pytest.approx(0, abs=0.01)
    assert still["slip"] == pytest.approx(np.log(0.01) / 2, abs=0.01)
    assert [still[n] for n in ("growth", "mouth_x", "mouth_y", "eyes_y")] == pytest.approx([0] * 4, abs=0.01)


def test_a_face_that_slips_over_its_surroundings_is_measured_in_faces_a_second():
    found = row(moved(0, 0), moved(0, 0, face=(2.4, 0)))
    # 2.4 of the face's 48 pixels in a tenth of a second are half a face a second
    assert np.exp(2 * found["slip"]) - 0.01 == pytest.approx(0.5, rel=0.15)
    assert row(moved(0, 0), moved(2.4, 0))["slip"] < found["slip"] - 0.8


def test_speed_does_not_depend_on_the_time_between():
    near, far = (row(moved(0, 0), moved(0, 0, face=(0, s)), elapsed=s / 12) for s in (1.2, 2.4))
    assert far["slip"] == pytest.approx(near["slip"], abs=0.1)


def test_a_mirrored_face_moves_its_mouth_the_other_way_and_nothing_else():
    before, after = moved(0, 0), moved(0, 0)
    rows, columns = slice(58, 72), slice(38, 58)  # the mouth in the wide crop
    after[rows, columns] = moved(1.5, 1.0)[rows, columns]
    own = row(before, after)
    other = row(before[:, ::-1].copy(), after[:, ::-1].copy())
    assert own["mouth_x"] > 0.5
    assert other["mouth_x"] == pytest.approx(-own["mouth_x"], abs=0.3)
    assert other["mouth_y"] == pytest.approx(own["mouth_y"], abs=0.3)
    assert own["mouth_y"] > 0.3


def test_another_face_is_not_explained_by_motion():
    after = moved(0, 0)
    after[24:72, 24:72] = noise(1)[24:72, 24:72]
    assert row(moved(0, 0), after)["warp against surroundings"] > 2
