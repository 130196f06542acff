import numpy as np
import pytest
from PIL import Image

from orefield.errors import SceneError
from orefield.sfm import video
from orefield.sfm.video import count_frames, import_video, sharpest, sharpness, upright


def test_the_sharpest_frame_of_each_window_is_taken():
    scores = [1, 5, 2, 7, 7, 0, 3, 4, 9, 1]
    assert list(sharpest(range(10), 10, 3, lambda i: scores[i])) == [3, 4, 8]
    assert list(sharpest(range(10), 10, 10, lambda i: scores[i])) == list(range(10))
    assert list(sharpest(range(10), 10, 1, lambda i: scores[i])) == [8]


def test_a_miscounted_video_loses_no_frame_and_gives_no_extra_window():
    assert len(list(sharpest(range(12), 10, 5, float))) == 5  # more frames than counted
    assert list(sharpest(range(12), 10, 5, float))[-1] == 11
    assert len(list(sharpest(range(6), 10, 5, float))) == 3  # fewer


def test_blur_lowers_sharpness_and_a_uniform_image_has_none():
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    blurred = np.asarray(Image.fromarray(noise).reduce(2).resize((32, 32)))
    assert sharpness(noise) > 4 * sharpness(blurred) > 0
    assert sharpness(np.full((8, 8), 77, np.uint8)) == 0
    ramp = np.tile(np.arange(16, dtype=np.uint8), (16, 1))
    assert sharpness(ramp) == 0  # the Laplacian of a plane


def test_a_frame_is_turned_by_the_rotation_of_its_container():
    pixels = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(upright(pixels, 0), pixels)
    # Clockwise by a quarter turn: the first column read upwards becomes the first row.
    np.testing.assert_array_equal(upright(pixels, -90)[0], pixels[::-1, 0])
    np.testing.assert_array_equal(upright(pixels, 180), pixels[::-1, ::-1])


@pytest.fixture
def film(tmp_path):
    """Twelve frames of 64 x 48 pixels; those with edges are 1, 6 and 9, the others are uniform."""
    av = pytest.importorskip("av", reason="videos need PyAV")
    generator = np.random.default_rng(0)
    file = tmp_path / "walk.mp4"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(12):
            pixels = np.full((48, 64, 3), 20 * i, np.uint8)
            if i in (1, 6, 9):
                squares = generator.integers(0, 2, (6, 8, 1), dtype=np.uint8) * 60
                pixels += np.repeat(np.repeat(squares, 8, 0), 8, 1)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return file


def test_frames_of_a_video_are_written_in_order(film, tmp_path, finish):
    assert count_frames(film) == 12
    photos = finish(import_video(film, tmp_path, 12, 3, 32))
    assert [photo.name for photo in photos] == [f"frame_000{i}.jpg" for i in (1, 2, 3)]
    for photo, base in zip(photos, (20, 120, 180), strict=True):
        assert (photo.width, photo.height) == (32, 24)
        with Image.open(tmp_path / photo.name) as image:
            pixels = np.asarray(image).astype(float)
        assert pixels.std() > 15
        assert pixels.min() == pytest.approx(base, abs=12)


def test_fewer_frames_than_asked_for_are_all_taken(film, tmp_path, finish):
    assert len(finish(import_video(film, tmp_path, 12, 150, 0))) == 12


def test_what_is_no_video_is_named(tmp_path, monkeypatch):
    file = tmp_path / "walk.mp4"
    file.write_text("not a video")
    with pytest.raises(SceneError, match=r"walk\.mp4: cannot be read as a video"):
        count_frames(file)
    monkeypatch.setattr(video, "find_spec", lambda name: None)
    with pytest.raises(SceneError, match=r"needs PyAV: pip install 'orefield\[video\]'"):
        count_frames(file)
