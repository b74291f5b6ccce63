"""Crops of stores: the right faces, at the right times, and as good as the frame they come from."""

import av
import cv2
import numpy as np
import pytest
from data_making import FACE_SIZE, face_frames
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from skimage import data as pictures

from unmask.data.cut import Cutter, Settings, cut_face, window
from unmask.data.index import decode
from unmask.data.manifest import Item
from unmask.faces.align import TEMPLATE, crop
from unmask.faces.face import Detection, Face, Quality
from unmask.media.events import MediaError

NOSE = np.array([226, 128])
"""The nose tip of scikit-image's astronaut, read off the picture."""


def item(path, **more) -> Item:
    return Item(**{"data_set": "set", "name": path.name, "label": "real", "group": "g", "path": path} | more)


def face(points: np.ndarray, *, landmarks: np.ndarray | None = None) -> Face:
    low, high = points.min(axis=0), points.max(axis=0)
    box = np.concatenate([low, high - low])
    return Face(3, 7, 0.25, Detection(box, points, 1.0), Quality(100, 1, 1, 100, 0), landmarks=landmarks)


@pytest.fixture(scope="module")
def cutter() -> Cutter:
    return Cutter(Settings(frames=4, encoding="png"))


def test_the_window_is_the_crop_enlarged_about_its_centre():
    # Twice the template at (100, 50): the crop's centre lies at (212, 190), its side is 2 * 76; pixels begin
    # half a pixel before their centre.
    points = 2 * TEMPLATE + np.array([100, 50])
    assert window(points, (1000, 1000), margin=2.0) == (60, 38, 365, 343)
    assert window(points, (300, 200), margin=2.0) == (60, 38, 300, 200)


@given(
    scale=st.floats(0.4, 2.6),
    angle=st.floats(-40, 40),
    x=st.floats(0, 300),
    y=st.floats(0, 300),
    size=st.sampled_from([112, 144, 224]),
)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_an_upright_crop_is_the_same_from_the_store_as_from_the_frame(scale, angle, x, y, size):
    frame = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (400, 420, 3), np.uint8), (0, 0), 1.2)
    turn = cv2.getRotationMatrix2D((56, 70), angle, scale)
    points = TEMPLATE @ turn[:, :2].T + turn[:, 2] + np.array([x, y])
    stored = cut_face(frame, face(points), Settings(encoding="png", largest=4000))
    direct = crop(frame, points, size=size).astype(int)
    np.testing.assert_allclose(crop(decode(stored.picture), stored.points, size=size), direct, atol=2)
    assert stored.scale == 1.0


def test_a_large_face_is_reduced_and_everything_with_it():
    frame = np.zeros((900, 900, 3), np.uint8)
    points = 4 * TEMPLATE + np.array([200, 100])
    landmarks = np.column_stack([np.tile(points[2], (478, 1)), np.full(478, 8.0)])
    x, y = points[2].round().astype(int)
    frame[y - 3 : y + 4, x - 3 : x + 4] = 255  # a white spot on the nose tip
    stored = cut_face(frame, face(points, landmarks=landmarks), Settings(encoding="png", largest=200))
    pixels = decode(stored.picture)
    assert max(pixels.shape) == 200
    spot = np.argwhere(pixels[..., 0] > 60).mean(axis=0)[::-1]
    np.testing.assert_allclose(stored.points[2], spot, atol=0.6)
    np.testing.assert_allclose(stored.landmarks[0, :2], spot, atol=0.6)
    assert stored.landmarks[0, 2] == pytest.approx(8.0 * stored.scale)
    assert stored.face_px == pytest.approx(4 * (TEMPLATE[:, 1].max() - TEMPLATE[:, 1].min()))


def test_jpeg_keeps_the_colour_of_every_pixel():
    frame = np.zeros((200, 200, 3), np.uint8)
    frame[:, ::2, 0] = 200  # red and black columns: half the colour resolution would mix them
    stored = cut_face(frame, face(TEMPLATE + 40), Settings())
    red = decode(stored.picture)[20:-20, :, 0].astype(int)
    assert np.abs(np.diff(red, axis=1)).min() > 120


def test_a_video_gives_frames_at_equal_distances(cutter, face_video):
    cuts = cutter.cut(item(face_video))
    # 20 frames at 10 a second are 2 s: four parts of them begin at 0, 0.5, 1 and 1.5 s.
    assert [crop.frame for crop in cuts.crops] == [0, 5, 10, 15]
    assert [crop.time for crop in cuts.crops] == pytest.approx([0, 0.5, 1.0, 1.5])
    assert {crop.person for crop in cuts.crops} == {0}
    assert cuts.problem == ""


def test_a_video_of_unknown_length_gives_no_more_frames(tmp_path):
    path = tmp_path / "raw.h264"  # a bare stream: no container says how long it is
    with av.open(str(path), "w", format="h264") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height = FACE_SIZE
        for pixels in face_frames(50):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))
    frames = [crop.frame for crop in Cutter(Settings(frames=3)).cut(item(path)).crops]
    assert len(frames) == 3
    assert frames[0] == 0
    assert frames[2] > 25


def test_points_mesh_and_pixels_of_a_moving_face_belong_together(cutter, face_video):
    with av.open(str(face_video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    scale = np.array([240 / 320, 176 / 240])
    for cut in cutter.cut(item(face_video)).crops:
        difference = cv2.matchTemplate(frames[cut.frame], decode(cut.picture), cv2.TM_SQDIFF_NORMED)
        least, _, corner, _ = cv2.minMaxLoc(difference)
        assert least < 1e-3
        nose = (NOSE - np.array([100, 0])) * scale + np.array([2 * cut.frame, 0])
        np.testing.assert_allclose(cut.points[2] + corner, nose, atol=6)
        assert cut.landmarks.shape == (478, 3)
        np.testing.assert_allclose(cut.landmarks[1, :2] + corner, nose, atol=6)


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory):
    """A large face on the left, and the same, smaller, in the middle."""
    head = pictures.astronaut()[0:240, 120:320]
    canvas = np.full((400, 600, 3), 120, np.uint8)
    canvas[20:260, 0:200] = head
    canvas[120:264, 240:360] = cv2.resize(head, (120, 144), interpolation=cv2.INTER_AREA)
    path = tmp_path_factory.mktemp("two") / "two.png"
    Image.fromarray(canvas).save(path)
    return path


def test_of_a_photo_the_largest_face_is_cut(cutter, two_faces):
    (largest,) = cutter.cut(item(two_faces)).crops
    (central,) = cutter.cut(item(two_faces, face_crop=True)).crops
    assert largest.face_px == pytest.approx(central.face_px / 0.6, rel=0.1)
    assert largest.time is None


def test_all_faces_are_numbered_the_largest_first(two_faces):
    crops = Cutter(Settings(faces="all")).cut(item(two_faces)).crops
    assert [crop.person for crop in crops] == [0, 1]
    assert crops[0].face_px > crops[1].face_px


def test_a_sequence_of_pictures_keeps_its_frame_numbers(cutter, tmp_path):
    head = pictures.astronaut()[30:200, 140:310]
    for sequence in ("a", "b"):
        (tmp_path / "7" / sequence).mkdir(parents=True)
    for number in (4, 9):
        Image.fromarray(head).save(tmp_path / "7/a" / f"{number}.png")
    Image.fromarray(head).save(tmp_path / "7/b/12.png")
    (tmp_path / "7/b/13.png").write_bytes(b"no picture")
    cuts = cutter.cut(item(tmp_path / "7", face_crop=True))
    assert [(crop.person, crop.frame) for crop in cuts.crops] == [(0, 4), (0, 9), (1, 12)]
    assert cuts.problem == "1 pictures cannot be decoded (first: frame 13)"


def test_a_picture_without_a_face_says_so(cutter, tmp_path):
    Image.new("RGB", (80, 80), (90, 90, 90)).save(tmp_path / "grey.png")
    cuts = cutter.cut(item(tmp_path / "grey.png"))
    assert (cuts.crops, cuts.problem) == ((), "no face found")


@pytest.mark.parametrize("content", [b"", b"not a video at all", b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 200])
def test_what_cannot_be_read_is_named(cutter, tmp_path, content):
    path = tmp_path / "broken.mp4"
    path.write_bytes(content)
    with pytest.raises(MediaError, match=r"broken\.mp4"):
        cutter.cut(item(path))


def test_a_member_that_is_not_in_its_zip_is_named(cutter, tmp_path):
    import zipfile

    zipfile.ZipFile(tmp_path / "a.zip", "w").close()
    with pytest.raises(MediaError, match=r"a\.zip: cannot read images/x\.jpg"):
        cutter.cut(item(tmp_path / "a.zip", member="images/x.jpg"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"frames": 0}, "frames"),
        ({"faces": "some"}, "main or all, not 'some'"),
        ({"margin": 0.5}, "margin"),
        ({"largest": 8}, "64 pixels"),
        ({"encoding": "gif"}, "'gif'"),
    ],
)
def test_wrong_settings_name_the_value(wrong, message):
    with pytest.raises(ValueError, match=message):
        Settings(**wrong)
