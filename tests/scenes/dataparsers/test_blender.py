"""Blender's splits: which test views stand in for missing ones, and what else the files hold."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.config import SceneConfig
from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.dataparsers.blender import parse_blender, write_blender
from orefield.scenes.dataparsers.parsed_scene import Folder
from orefield.scenes.dataparsers.transforms import parse_transforms
from orefield.types import SceneError
from reading import PLAIN

TEST, VAL = "transforms_test.json", "transforms_val.json"


def never_rendered(folder, name):
    """Poses of photographs that are not there, as of a camera path."""
    frame = {"file_path": "path/0001.png", "transform_matrix": "to be rendered"}
    (folder / name).write_text(json.dumps({"frames": [frame, frame | {"file_path": "path/2"}]}))


def empty(folder, name):
    (folder / name).write_text('{"frames": []}')


REASONS = {
    never_rendered: "none of the 2 images of {} is there",
    empty: "{} lists no images",
}


@pytest.mark.parametrize("spoil", REASONS)
def test_test_views_without_photographs_are_replaced_and_it_is_said(blender, capture, spoil):
    reason = REASONS[spoil]
    (blender / TEST).rename(blender / VAL)
    spoil(blender, TEST)
    with pytest.warns(SceneWarning, match=reason.format(TEST)) as caught:
        scene = open_scene(blender, PLAIN)
    assert len(caught) == 1
    assert "; test views: official, val as test" in str(caught[0].message)
    assert [len(scene.train), len(scene.test)] == [6, 3]
    spoil(blender, VAL)
    both = f"{reason.format(TEST)}, {reason.format(VAL)}; test views: every 3rd image"
    with pytest.warns(SceneWarning, match=both) as caught:
        scene = open_scene(blender, PLAIN)
    assert len(caught) == 1
    assert [view.name for view in scene.test] == ["./train/r_0", "./train/r_3"]


def test_a_validation_file_without_photographs_is_not_looked_at_where_there_are_test_views(blender):
    never_rendered(blender, VAL)
    assert open_scene(blender, PLAIN).split == "official"


def test_some_missing_test_views_are_named_and_all_missing_training_views_are_an_error(blender):
    (blender / "test/r_1.png").unlink()
    with pytest.warns(SceneWarning, match=r"test\.json: 1 of 3 images are missing: \./test/r_1"):
        assert len(open_scene(blender, PLAIN).test) == 2
    empty(blender, "transforms_train.json")
    with pytest.raises(SceneError, match=r"train\.json: frames must be a list with one entry per"):
        open_scene(blender, PLAIN)


def test_masks_depth_and_extent_mean_what_they_mean_in_transforms_json(blender, capture, edit):
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:9] = 255
    Image.fromarray(mask).save(blender / "mask.png")
    np.save(blender / "depth.npy", np.full((10, 12), 4.0))

    def add(values):
        values |= {"depth_unit_scale_factor": 0.5, "aabb_scale": 4}
        values["frames"][2] |= {"mask_path": "mask.png", "depth_file_path": "depth.npy"}

    edit(blender / "transforms_train.json", add)
    views = open_scene(blender, PLAIN).train
    kept = torch.from_numpy(mask) == 255
    assert torch.equal(views[2].image[:, :, 3], capture.images[2][:, :, 3] * kept)
    assert [view.name for view in views if view.depth is not None] == ["./train/r_2"]
    config = SceneConfig()
    as_blender = parse_blender(Folder(blender), config)
    as_other = parse_transforms(Folder(blender), blender / "transforms_train.json", config)
    assert as_blender.half_extent == as_other.half_extent == pytest.approx(4 / 0.33 / 2)
    assert as_blender.train[2].depth == as_other.train[1].depth
    assert as_blender.train[2].depth.unit == 0.5


def test_test_views_that_are_training_images_are_named(blender, edit):
    edit(
        blender / TEST,
        lambda values: values["frames"][1].update(file_path="train//r_4.png"),
    )
    with pytest.warns(SceneWarning, match=r"1 of 3 test views are training images too.*r_4"):
        assert len(open_scene(blender, PLAIN).test) == 3


def test_lists_of_file_names_make_no_split_of_a_split(blender, edit):
    names = {"train_filenames": ["./train/r_1"]}
    edit(blender / "transforms_train.json", lambda values: values.update(names))
    with pytest.warns(SceneWarning, match="keys that are not read: train_filenames"):
        assert len(open_scene(blender, PLAIN).train) == 6


def test_all_images_can_be_trained_on(tmp_path, capture):
    write_blender(tmp_path / "toy", "train", [*capture.images], [*capture.poses], 0.7)
    parsed = parse_blender(Folder(tmp_path / "toy"), _holdout(0))
    assert (len(parsed.train), len(parsed.test)) == (9, 0)
    assert parsed.split == "all images, no test views"


def _holdout(every):
    """A configuration with this hold-out; the range of the setting is config's matter."""
    config = SceneConfig()
    object.__setattr__(config, "holdout", every)
    return config
