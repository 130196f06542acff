"""From a path or a name to a scene in memory."""

from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from orefield.config import SceneConfig
from orefield.scenes import embedded
from orefield.scenes.blender import TRAIN, list_blender
from orefield.scenes.box import find_box
from orefield.scenes.images import read_images
from orefield.scenes.llff import POSES, list_llff
from orefield.scenes.scene import Scene, View
from orefield.scenes.shots import Listing, Shot, evenly, is_file
from orefield.scenes.transforms import list_transforms
from orefield.types import SceneError

TRANSFORMS = "transforms.json"


def open_scene(source: str | Path, config: SceneConfig) -> Scene:
    """Read a scene: a folder, one of its JSON files, or the name of an embedded scene.

    The format is told by the files that are there: `transforms_train.json` (Blender),
    `transforms.json` (instant-ngp, nerfstudio) or `poses_bounds.npy` (LLFF), in this order.
    The scene is moved and scaled so that its box becomes the unit cube.
    Raises SceneError, naming file and field, for whatever cannot be used.
    """
    path = _locate(source)
    listing = _list(path, config.holdout)
    if not listing.train:
        raise SceneError(
            f"{path}: no training views: {listing.split} is a test view, of {len(listing.test)}"
        )
    name = path.parent.name if path.is_file() else path.name
    return _assemble(name, listing, config)


def _locate(source: str | Path) -> Path:
    path = Path(source)
    if path.exists():
        return path.resolve()
    names = embedded.names()
    if str(source) in names:
        return embedded.folder(str(source))
    raise SceneError(
        f"{source}: no such file or folder, nor an embedded scene ({', '.join(sorted(names))})"
    )


def _list(path: Path, holdout: int) -> Listing:
    """What the scene's files say, by the first format that fits."""
    if path.is_file():
        if path.suffix != ".json":
            raise SceneError(f"{path}: expected a scene folder or a .json file")
        if path.name == TRAIN:
            return list_blender(path.parent, holdout)
        return list_transforms(path, holdout)
    if is_file(path / TRAIN):
        return list_blender(path, holdout)
    if is_file(path / TRANSFORMS):
        return list_transforms(path / TRANSFORMS, holdout)
    if is_file(path / POSES):
        return list_llff(path, holdout)
    looked = f"{TRAIN} (Blender), {TRANSFORMS} (instant-ngp, nerfstudio), {POSES} (LLFF)"
    raise SceneError(f"{path}: no scene of a known format in this folder; looked for {looked}")


def _assemble(name: str, listing: Listing, config: SceneConfig) -> Scene:
    """Read the photographs and move everything into the unit cube."""
    test = evenly(listing.test, config.max_test_views)
    split = listing.split
    if len(test) < len(listing.test):
        split += f", {len(test)} of {len(listing.test)} test views"
    images = read_images(listing.train, config.downscale)
    opaque = all(bool((image[:, :, 3] == 255).all()) for image in images)
    box = find_box(listing.train, opaque)
    to_world = box.to_world(config.box_scale)
    side = float(to_world[0, 0])

    def view(shot: Shot, image: UInt8[Tensor, "height width 4"]) -> View:
        camera = shot.camera.rescaled(1 / config.downscale)
        position = (shot.pose[:, 3:] - to_world[:3, 3:]) / side
        return View(shot.name, camera, torch.cat((shot.pose[:, :3], position), 1).float(), image)

    train_views = tuple(map(view, listing.train, images))
    test_views = tuple(map(view, test, read_images(test, config.downscale)))
    return Scene(name, train_views, test_views, to_world.float(), box.near / side, split)
