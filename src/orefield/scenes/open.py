"""From a path or a name to a scene in memory."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.config import SceneConfig
from orefield.scenes import embedded
from orefield.scenes.blender import TRAIN, list_blender
from orefield.scenes.box import find_box
from orefield.scenes.colmap import PLACES, has_model, list_colmap
from orefield.scenes.dtu import CAMERAS, has_cameras, list_dtu
from orefield.scenes.images import Photograph, read_photographs
from orefield.scenes.llff import POSES, list_llff
from orefield.scenes.memory import check_memory
from orefield.scenes.scene import Scene, SceneWarning, View
from orefield.scenes.shots import Folder, Listing, Shot, evenly, is_file
from orefield.scenes.transforms import list_transforms
from orefield.types import SceneError

TRANSFORMS = "transforms.json"
LOOKED_FOR = {
    "blender": f"{TRAIN} (Blender)",
    "transforms": f"{TRANSFORMS} (instant-ngp, nerfstudio)",
    "llff": f"{POSES} (LLFF)",
    "colmap": f"images.bin or images.txt in {', '.join(PLACES)} (COLMAP)",
    "dtu": f"{' or '.join(CAMERAS)} (DTU as in IDR, NeuS)",
}


def open_scene(source: str | Path, config: SceneConfig) -> Scene:
    """Read a scene: a folder, one of its JSON files, or the name of an embedded scene.

    The format is told by the files that are there: `transforms_train.json` (Blender),
    `transforms.json` (instant-ngp, nerfstudio), `poses_bounds.npy` (LLFF), a sparse model (COLMAP)
    or `cameras_sphere.npz` (DTU), in this order; or it is `config.format`.
    The scene is moved and scaled so that its box becomes the unit cube.
    Raises SceneError, naming file and field, for whatever cannot be used.
    """
    path = _locate(source)
    listing = _list(path, config)
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


def _list(path: Path, config: SceneConfig) -> Listing:
    """What the scene's files say, by the format asked for or the first that fits."""
    if path.is_file():
        return _list_json(path, config)
    folder = Folder(path, config.allow_outside)
    formats: dict[str, tuple[bool, Callable[[], Listing]]] = {
        "blender": (is_file(path / TRAIN), lambda: list_blender(folder, config)),
        "transforms": (
            is_file(path / TRANSFORMS),
            lambda: list_transforms(folder, folder.inside(path / TRANSFORMS), config),
        ),
        "llff": (is_file(path / POSES), lambda: list_llff(folder, config)),
        "colmap": (has_model(path), lambda: list_colmap(folder, config)),
        "dtu": (has_cameras(path), lambda: list_dtu(folder, config)),
    }
    wanted = list(formats) if config.format == "auto" else [config.format]
    for name in wanted:
        there, read = formats[name]
        if there:
            return read()
    known = "of a known format" if config.format == "auto" else f"in format {config.format}"
    looked = "; ".join(LOOKED_FOR[name] for name in wanted)
    raise SceneError(f"{path}: no scene {known} in this folder; looked for {looked}")


def _list_json(path: Path, config: SceneConfig) -> Listing:
    if path.suffix != ".json" or config.format not in ("auto", "blender", "transforms"):
        wanted = "" if config.format == "auto" else f" for format {config.format}"
        raise SceneError(f"{path}: expected a scene folder or a .json file{wanted}")
    folder = Folder(path.parent, config.allow_outside)
    if path.name == TRAIN and config.format != "transforms":
        return list_blender(folder, config)
    return list_transforms(folder, path, config)


def _assemble(name: str, listing: Listing, config: SceneConfig) -> Scene:
    """Read the photographs and move everything into the unit cube."""
    train = evenly(listing.train, config.max_images)
    test = evenly(listing.test, config.max_test_views)
    split = listing.split
    for kind, used, there in (("training", train, listing.train), ("test", test, listing.test)):
        if len(used) < len(there):
            split += f", {len(used)} of {len(there)} {kind} views"
    check_memory([*train, *test], listing.downscale, config.masks == "ignore")
    photographs = read_photographs(train, listing.downscale, config)
    opaque = all(bool((photograph.image[:, :, 3] == 255).all()) for photograph in photographs)
    hints = listing.points, listing.ball, listing.reach
    box = find_box(train, opaque, *hints, config.extent)
    to_world = box.to_world(config.box_scale)
    side = float(to_world[0, 0])

    def views(shots: Sequence[Shot], read: Sequence[Photograph]) -> tuple[View, ...]:
        made = []
        for shot, (image, valid, depth) in zip(shots, read, strict=True):
            if valid is not None and not bool(valid.any()):
                _say_ignored(shot)
                continue
            camera = shot.camera.rescaled(1 / listing.downscale)
            position = (shot.pose[:, 3:] - to_world[:3, 3:]) / side
            pose = torch.cat((shot.pose[:, :3], position), 1).float()
            in_scene = None if depth is None else depth / side
            made.append(View(shot.name, camera, pose, image, valid, in_scene))
        return tuple(made)

    train_views = views(train, photographs)
    if not train_views:
        raise SceneError(f"{train[0].image.parent}: masks ignore every pixel of all {len(train)}")
    test_views = views(test, read_photographs(test, listing.downscale, config))
    points = None if listing.points is None else _moved(listing.points, to_world)
    near = box.near / side
    return Scene(name, train_views, test_views, to_world.float(), near, split, box.extent, points)


def _say_ignored(shot: Shot) -> None:
    warnings.warn(
        f"{shot.mask}: ignores every pixel of {shot.name}, which is left out",
        SceneWarning,
        stacklevel=2,
    )


def _moved(
    points: Float[Tensor, "points 3"], to_world: Float[Tensor, "4 4"]
) -> Float[Tensor, "points 3"]:
    """Points of the files in scene units."""
    return ((points - to_world[:3, 3]) / to_world[0, 0]).float()
