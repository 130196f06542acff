import json
import math

import pytest
import torch
from PIL import Image

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.errors import SceneError
from orefield.scenes import open_scene
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.scenes.dataparsers.transforms import parse_transforms
from orefield.sfm.write import OURS, PosedPhoto, claim, write_record, write_transforms

LENS = Camera(12, 10, 11.0, 11.5, 6.2, 4.9, (0.02, -0.03, 0.001, -0.002))
PINHOLE = Camera(8, 10, 9.0, 9.0, 4.0, 5.0)


def ring(cameras) -> list[PosedPhoto]:
    """A photograph for each camera, taken from a ring round the origin, which they look at."""
    photos = []
    for i, camera in enumerate(cameras):
        c, s = math.cos(i), math.sin(i)
        right, down, forward = [-s, c, 0], [0, 0, -1], [-c, -s, 0]
        rows = torch.tensor([right, down, forward, [4 * c, 4 * s, 0.0]], dtype=torch.float64)
        photos.append(PosedPhoto(f"{i}.png", camera, rows.T.contiguous()))
    return photos


def written(folder, cameras):
    claim(folder, folder.parent / "photographs", False)
    views = ring(cameras)
    for view in views:
        size = view.camera.width, view.camera.height
        Image.new("RGB", size, "gray").save(folder / "images" / view.name)
    write_transforms(folder, views)
    return views


@pytest.mark.parametrize("cameras", [[LENS] * 4, [LENS, PINHOLE, LENS, PINHOLE]])
def test_the_reader_gets_back_the_cameras_and_poses_that_were_written(tmp_path, cameras):
    views = written(tmp_path / "out", cameras)
    parsed = parse_transforms(
        Folder(tmp_path / "out"), tmp_path / "out" / "transforms.json", SceneConfig(holdout=8)
    )
    read = {frame.image.name: frame for frame in (*parsed.train, *parsed.test)}
    assert len(read) == len(views)
    for view in views:
        assert read[view.name].camera == view.camera
        torch.testing.assert_close(read[view.name].pose, view.pose)


def test_intrinsics_stand_at_the_top_when_all_share_them(tmp_path):
    written(tmp_path / "one", [LENS] * 3)
    values = json.loads((tmp_path / "one" / "transforms.json").read_text())
    assert (values["camera_model"], values["k1"], values["w"]) == ("OPENCV", 0.02, 12)
    assert "applied_transform" not in values
    assert set(values["frames"][0]) == {"file_path", "transform_matrix"}
    # The second axis of an OpenGL camera points up, which is +z here.
    assert [row[1] for row in values["frames"][1]["transform_matrix"]] == [0, 0, 1, 0]
    written(tmp_path / "two", [LENS, PINHOLE, PINHOLE])
    values = json.loads((tmp_path / "two" / "transforms.json").read_text())
    models = [frame["camera_model"] for frame in values["frames"]]
    assert models == ["OPENCV", "PINHOLE", "PINHOLE"]


def test_a_written_folder_opens_as_a_scene(tmp_path):
    written(tmp_path / "out", [LENS] * 5)
    scene = open_scene(tmp_path / "out")
    assert (len(scene.train), len(scene.test)) == (4, 1)


def test_only_what_prepare_wrote_is_ever_replaced(tmp_path):
    out, source = tmp_path / "out", tmp_path / "photographs"
    out.mkdir()
    claim(out, source, False)  # an empty folder will do
    with pytest.raises(SceneError, match="was prepared before; --overwrite replaces"):
        claim(out, source, False)
    (out / "images" / "old.png").touch()
    (out / "mine.txt").touch()
    write_record(out, {"state": "finished"})
    claim(out, source, True)
    assert not (out / "images" / "old.png").exists()
    assert (out / "mine.txt").exists()
    assert {path.name for path in out.iterdir()} <= {*OURS, "mine.txt"}


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_with_other_things_or_the_photographs_is_refused(tmp_path, overwrite):
    (tmp_path / "other" / "images").mkdir(parents=True)
    with pytest.raises(SceneError, match="other: expected a new or empty folder"):
        claim(tmp_path / "other", tmp_path / "photographs", overwrite)
    for out in (tmp_path / "other", tmp_path / "other" / "images"):
        with pytest.raises(SceneError, match="holds the photographs"):
            claim(out, tmp_path / "other" / "images", overwrite)
    (tmp_path / "file").touch()
    with pytest.raises(SceneError, match="expected a new or empty folder"):
        claim(tmp_path / "file", tmp_path / "photographs", overwrite)
