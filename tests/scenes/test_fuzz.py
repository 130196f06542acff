"""Damaged scenes of every format end in a scene or in a SceneError that names one of their files.

Never in another exception, in an allocation out of proportion, or in a read outside the folder.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from damage import damage_file, outcome, remove
from orefield.config import SceneConfig

FILES = {
    "blender": ["transforms_train.json", "train/r_3.png"],
    "transforms": ["transforms.json", "depth/3.png", "depth/4.npy", "images/3.png", "mask.png"],
    "llff": ["poses_bounds.npy", "images_8/3.png"],
    "colmap": ["sparse/0/cameras.bin", "sparse/0/images.bin", "sparse/0/points3D.bin"],
    "colmap text": ["sparse/0/cameras.txt", "sparse/0/images.txt", "sparse/0/points3D.txt"],
    "dtu": ["cameras_sphere.npz", "image/000003.png"],
}
MANY = {
    "blender": 5000,
    "transforms": 5000,
    "llff": 2000,
    "colmap": 3000,
    "colmap text": 3000,
    "dtu": 2000,
}
"""Damaged scenes of each format; 20,000 in all."""


@pytest.fixture
def scene_folder(request):
    """A scene of the format that the test is run with."""
    (tmp := request.getfixturevalue("tmp_path")).joinpath("secret.png").write_bytes(b"secret")
    form = request.node.callspec.params["form"]
    folder = request.getfixturevalue(form.split()[0])
    if form == "colmap text":
        for file in (folder / "sparse/0").iterdir():
            file.unlink()
        request.getfixturevalue("sparse").write(folder / "sparse/0", binary=False)
    if form == "transforms":
        add_maps(folder)
    assert tmp in folder.parents
    return folder


def add_maps(folder: Path) -> None:
    (folder / "depth").mkdir()
    Image.fromarray(np.full((10, 12), 4000, np.uint16)).save(folder / "depth/3.png")
    np.save(folder / "depth/4.npy", np.full((10, 12), 4.0))
    Image.fromarray(np.full((10, 12), 255, np.uint8)).save(folder / "mask.png")
    values = json.loads((folder / "transforms.json").read_text())
    values["frames"][3] |= {"depth_file_path": "depth/3.png", "mask_path": "mask.png"}
    values["frames"][4] |= {"depth_file_path": "depth/4.npy"}
    (folder / "transforms.json").write_text(json.dumps(values))


CONFIG = {"transforms": SceneConfig(holdout=3, masks="ignore")}


def counts_of(folder: Path, form: str, number: int, seed: int) -> dict[str, int]:
    """Damage a file, open the scene, mend the file, so many times; how each time ended."""
    config, random = CONFIG.get(form, SceneConfig(holdout=3)), np.random.default_rng(seed)
    assert outcome(folder, config) == ""
    files = [folder / file for file in FILES[form]]
    counts = {"opened": 0, "refused": 0}
    for _ in range(number):
        file = files[random.integers(len(files))]
        sound = file.read_bytes()
        damage_file(file, random)
        counts["refused" if outcome(folder, config) else "opened"] += 1
        remove(file)
        file.write_bytes(sound)
    return counts


@pytest.mark.parametrize("form", FILES)
def test_damaged_files_end_in_a_scene_or_a_scene_error(form, scene_folder) -> None:
    counts = counts_of(scene_folder, form, 60, seed=0)
    assert counts["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("form", FILES)
def test_thousands_of_damaged_scenes(form, scene_folder, record_property) -> None:
    counts = counts_of(scene_folder, form, MANY[form], seed=1)
    assert min(counts.values()) > 0  # else nothing was damaged, or everything
    record_property("counts", f"{form}: {MANY[form]} damaged scenes, {counts}")
