"""Filmed stills: as long, as fast and as moving as asked, and still the same face."""

import av
import numpy as np
import pytest
from skimage import data

from unmask.data.motion import film
from unmask.faces.detect import Detector


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> list[np.ndarray]:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    film(data.astronaut(), path, np.random.default_rng(1), seconds=2, rate=15)
    with av.open(str(path)) as container:
        assert container.streams.video[0].average_rate == 15
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_has_the_length_asked_for(frames):
    assert len(frames) == 30


def test_the_camera_moves(frames):
    difference = np.abs(frames[0].astype(int) - frames[-1]).mean()
    assert difference > 3


def test_the_face_is_found_from_first_to_last(frames):
    detector = Detector(threads=1)
    assert all(len(detector.detect(frame)) == 1 for frame in frames[::7])


@pytest.mark.parametrize("shape", [(40, 300, 3), (2000, 900, 3), (8, 8, 3)])
def test_any_shape_can_be_filmed(tmp_path, shape):
    film(np.full(shape, 120, np.uint8), tmp_path / "f.mp4", np.random.default_rng(0), seconds=0.4)
    with av.open(str(tmp_path / "f.mp4")) as container:
        assert len(list(container.decode(video=0))) == 6
