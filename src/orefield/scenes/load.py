"""Opens a scene, given its path or the name of an embedded one."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from orefield.config import SceneConfig
from orefield.scenes import embedded
from orefield.scenes.dataparsers.blender import TRAIN, parse_blender
from orefield.scenes.dataparsers.colmap import MODEL_FOLDERS, has_model, parse_colmap
from orefield.scenes.dataparsers.dtu import CAMERAS, has_cameras, parse_dtu
from orefield.scenes.dataparsers.llff import POSES, parse_llff
from orefield.scenes.dataparsers.parsed_scene import Folder, Frame, ParsedScene, evenly, is_file
from orefield.scenes.dataparsers.transforms import parse_transforms
from orefield.scenes.images import LoadedFrame, find_whites, read_frames
from orefield.scenes.memory import check_memory
from orefield.scenes.scene import Scene, SceneWarning, View, all_opaque
from orefield.scenes.scene_box import find_box
from orefield.scenes.scene_frustum import find_frustum, in_scene_units
from orefield.scenes.shown import check_shown
from orefield.types import SceneError

TRANSFORMS = "transforms.json"
LOOKED_FOR = {
    "blender": f"{TRAIN} (Blender)",
    "transforms": f"{TRANSFORMS} (instant-ngp, nerfstudio)",
    "llff": f"{POSES} (LLFF)",
    "colmap": f"images.bin or images.txt in {', '.join(MODEL_FOLDERS)} (COLMAP)",
    "dtu": f"{' or '.join(CAMERAS)} (DTU as in IDR, NeuS)",
}


def open_scene(source: str | Path, config: SceneConfig | None = None) -> Scene:
    """Read a scene: a folder, one of its JSON files, or the name of an embedded scene.

    The format is `config.format`, or found by the first of these that exists:
    `transforms_train.json` (Blender), `transforms.json` (instant-ngp, nerfstudio),
    `poses_bounds.npy` (LLFF), a sparse model (COLMAP), `cameras_sphere.npz` (DTU).
    The scene is moved and scaled so that its box becomes the unit cube.
    Raises SceneError, naming file and field, for whatever cannot be used.
    """
    config = config or SceneConfig()
    path = _locate(source)
    name = path.parent.name if path.is_file() else path.name
    where = str(Path(source).resolve()) if Path(source).exists() else str(source)
    with warnings.catch_warnings():
        # Of many pixels `check_memory` warns, in bytes; damaged metadata do not matter here.
        warnings.filterwarnings("ignore", module=r"PIL\.")
        parsed = _parse(path, config)
        if not parsed.train:
            raise SceneError(
                f"{path}: no training views; split: {parsed.split}; test views: {len(parsed.test)}"
            )
        return replace(_assemble(name, parsed, config), source=where)


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


def _parse(path: Path, config: SceneConfig) -> ParsedScene:
    """Run the dataparser of the format asked for, or of the first that is found."""
    if path.is_file():
        return _parse_json(path, config)
    folder = Folder(path, config.allow_outside)
    formats: dict[str, tuple[bool, Callable[[], ParsedScene]]] = {
        "blender": (is_file(path / TRAIN), lambda: parse_blender(folder, config)),
        "transforms": (
            is_file(path / TRANSFORMS),
            lambda: parse_transforms(folder, folder.inside(path / TRANSFORMS), config),
        ),
        "llff": (is_file(path / POSES), lambda: parse_llff(folder, config)),
        "colmap": (has_model(path), lambda: parse_colmap(folder, config)),
        "dtu": (has_cameras(path), lambda: parse_dtu(folder, config)),
    }
    wanted = list(formats) if config.format == "auto" else [config.format]
    for name in wanted:
        exists, parse = formats[name]
        if exists:
            return parse()
    known = "of a known format" if config.format == "auto" else f"in format {config.format}"
    looked = "; ".join(LOOKED_FOR[name] for name in wanted)
    raise SceneError(f"{path}: no scene {known} in this folder; looked for {looked}")


def _parse_json(path: Path, config: SceneConfig) -> ParsedScene:
    if path.suffix != ".json" or config.format not in ("auto", "blender", "transforms"):
        wanted = "" if config.format == "auto" else f" for format {config.format}"
        raise SceneError(f"{path}: expected a scene folder or a .json file{wanted}")
    folder = Folder(path.parent, config.allow_outside)
    if path.name == TRAIN and config.format != "transforms":
        return parse_blender(folder, config)
    return parse_transforms(folder, path, config)


def _assemble(name: str, parsed: ParsedScene, config: SceneConfig) -> Scene:
    """Read the photographs and move everything into the unit cube."""
    train = evenly(parsed.train, config.max_images)
    test = evenly(parsed.test, config.max_test_views)
    split = parsed.split
    for kind, used, listed in (("training", train, parsed.train), ("test", test, parsed.test)):
        if len(used) < len(listed):
            split += f", {len(used)} of {len(listed)} {kind} views"
    how = check_memory([*train, *test], parsed.downscale, config.masks == "ignore")
    whites = find_whites([*train, *test])
    reading = parsed.downscale, config, whites, how
    loaded = read_frames(train, *reading)
    opaque = all_opaque(frame.image for frame in loaded)
    hints = parsed.points, parsed.ball, parsed.half_extent
    frustum = None
    if (found := find_frustum(train, opaque, parsed.points, config)) is not None:
        frustum, box = found
    else:
        box = find_box(train, opaque, *hints, config.background_extent, config.box, config.near)
    to_world = box.to_world(config.box_scale)
    side = float(to_world[0, 0])

    def views(frames: Sequence[Frame], loaded: Sequence[LoadedFrame]) -> tuple[View, ...]:
        made, ignored = [], []
        for frame, (image, valid, depth) in zip(frames, loaded, strict=True):
            if valid is not None and not bool(valid.any()):
                ignored.append(frame)
                continue
            camera = frame.camera.rescaled(1 / parsed.downscale)
            position = (frame.pose[:, 3:] - to_world[:3, 3:]) / side
            pose = torch.cat((frame.pose[:, :3], position), 1).float()
            scaled = None if depth is None else depth / side
            made.append(View(frame.name, camera, pose, image, valid, scaled))
        if ignored:
            _warn_of_ignored(ignored, len(frames))
        return tuple(made)

    train_views = views(train, loaded)
    if not train_views:
        raise SceneError(f"{train[0].image.parent}: masks ignore every pixel of all {len(train)}")
    test_views = views(test, read_frames(test, *reading))
    check_shown(train[0].image.parent, train_views, test_views)
    return Scene(
        name,
        train_views,
        test_views,
        to_world,
        box.near / side,
        split,
        box.background_extent,
        None if frustum is None else in_scene_units(frustum, to_world),
        config=config,
    )


def _warn_of_ignored(frames: Sequence[Frame], used: int) -> None:
    names = ", ".join(frame.name for frame in frames)
    warnings.warn(
        f"{frames[0].mask}: the mask ignores every pixel; {len(frames)} of {used} photographs are "
        f"left out because of such masks: {names}",
        SceneWarning,
        stacklevel=2,
    )
