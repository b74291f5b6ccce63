"""The detector against OpenCV's own YuNet, and on real faces."""

import cv2
import numpy as np
import pytest
from skimage import data

from unmask.faces.detect import Detector


@pytest.fixture(scope="module")
def detector() -> Detector:
    return Detector(threads=1)


@pytest.fixture(scope="module")
def astronaut() -> np.ndarray:
    return data.astronaut()


def test_finds_the_astronaut_where_she_is(detector, astronaut):
    (face,) = detector.detect(astronaut)
    x, y, width, height = face.box
    # Read off the picture: her face spans about 180..265 by 70..185 pixels.
    assert abs(x + width / 2 - 222) < 15
    assert abs(y + height / 2 - 125) < 20
    assert 60 < width < 120
    right_eye, left_eye, nose = face.points[:3]
    assert right_eye[0] < nose[0] < left_eye[0]
    assert right_eye[1] < nose[1]


def test_boxes_are_in_pixels_of_the_given_picture_whatever_its_size(detector, astronaut):
    large = cv2.resize(astronaut, None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    (small_face,), (large_face,) = detector.detect(astronaut), detector.detect(large)
    np.testing.assert_allclose(large_face.box, small_face.box * 4, atol=20)


def test_a_face_that_fills_the_picture_is_found(detector, astronaut):
    tight = astronaut[78:178, 178:268]
    assert len(detector.detect_picture(cv2.resize(tight, (900, 1000)))) == 1


@pytest.mark.parametrize("shape", [(1, 1, 3), (5, 2000, 3), (33, 31, 3), (400, 400, 3)])
def test_a_picture_without_a_face_has_none(detector, shape):
    assert detector.detect_picture(np.full(shape, 90, np.uint8)) == []


def test_nearly_every_tight_training_crop_has_its_face_found(detector, data_dir):
    import csv
    import io
    import zipfile

    with zipfile.ZipFile(data_dir / "dfdc_faces.zip") as archive:
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("metadata.csv"))))
        rows = [row for row in rows if row["split"] == "train"][::128]
        pictures = [archive.read(f"images/{row['name']}.jpg") for row in rows]
    found = 0
    for picture in pictures:
        decoded = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
        assert decoded is not None
        found += bool(detector.detect_picture(decoded[..., ::-1]))
    assert found >= len(rows) - 2
