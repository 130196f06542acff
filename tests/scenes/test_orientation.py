"""Poses belong to the pixels as they are stored, in every format."""

import pytest
import torch
from PIL import ExifTags, Image

from orefield.scenes import open_scene
from reading import PLAIN

FOLDERS = {
    "blender": "train",
    "transforms": "images",
    "llff": "images_8",
    "colmap": "images",
    "dtu": "image",
}


@pytest.mark.parametrize("orientation", [3, 6])
@pytest.mark.parametrize("form", FOLDERS)
def test_photographs_are_not_turned(form, capture, request, orientation):
    folder = request.getfixturevalue(form)
    before = open_scene(folder, PLAIN).train
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    for path in (folder / FOLDERS[form]).iterdir():
        with Image.open(path) as image:
            image.load()
        image.save(path, exif=exif)
    after = open_scene(folder, PLAIN).train
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one.image, other.image)
        assert one.camera == other.camera
