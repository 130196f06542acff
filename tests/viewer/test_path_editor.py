"""Laws of the camera path on the page."""

import json

import pytest
import torch

from orefield.cameras.path_file import PathPose
from orefield.errors import CameraPathError
from orefield.viewer.path_editor import PathEditor, path_from_bytes, path_to_bytes


def at(x: float) -> PathPose:
    pose = torch.eye(3, 4, dtype=torch.float64)
    pose[0, 3] = x
    return PathPose(pose, 40.0 + x)


def order(editor: PathEditor) -> list[float]:
    return [float(one.pose[0, 3]) for one in editor.keyframes]


def three() -> PathEditor:
    editor = PathEditor(32, 16, seconds=1.0, fps=5.0)
    for x in (0.0, 1.0, 2.0):
        assert editor.insert(len(editor.keyframes), at(x)) == x
    return editor


def test_keyframes_are_moved_and_removed_and_nothing_happens_beyond_the_ends() -> None:
    editor = three()
    assert editor.shift(0, 1) == 1
    assert order(editor) == [1, 0, 2]
    assert editor.shift(2, 1) == 2
    assert editor.shift(0, -1) == 0
    assert editor.shift(7, -1) == 7
    assert order(editor) == [1, 0, 2]
    editor.remove(1)
    editor.remove(5)
    assert order(editor) == [1, 2]


def test_a_path_has_seconds_times_fps_frames_and_goes_through_its_file() -> None:
    editor = three()
    path = editor.path()
    assert len(path.frames) == 5
    back = path_from_bytes("path.json", path_to_bytes(path))
    assert (back.width, back.height, back.fps, back.loop) == (32, 16, 5.0, False)
    for one, other in zip(
        (*path.frames, *path.keyframes), (*back.frames, *back.keyframes), strict=True
    ):
        torch.testing.assert_close(one.pose, other.pose)
        assert one.fov == pytest.approx(other.fov)
    other_editor = PathEditor(1, 1)
    other_editor.take(back)
    assert order(other_editor) == pytest.approx([0, 1, 2])
    assert len(other_editor.path().frames) == 5


def test_a_path_without_keyframes_keeps_its_frames() -> None:
    path = three().path()
    facts = json.loads(path_to_bytes(path))
    facts["keyframes"] = []
    editor = PathEditor(1, 1)
    editor.take(path_from_bytes("path.json", json.dumps(facts).encode()))
    assert len(editor.path().frames) == 5


def test_no_keyframe_no_path() -> None:
    with pytest.raises(CameraPathError, match="no keyframe"):
        PathEditor(8, 8).path()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no json", "mine.json"),
        (b"[1, 2]", "mine.json"),
        (b'{"frames": []}', "mine.json: 'camera_path'"),
        (
            b'{"render_width": 8, "render_height": 8, "camera_path": [{"fov": 50, '
            b'"camera_to_world": [NaN, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1]}]}',
            "mine.json",
        ),
    ],
)
def test_what_is_no_path_is_an_error_that_names_the_file(content: bytes, message: str) -> None:
    with pytest.raises(CameraPathError) as error:
        path_from_bytes("C:/folder/mine.json", content)
    assert message in str(error.value)
    assert "/tmp" not in str(error.value)
