"""Opens a scene, given its path or the name of an embedded one."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from orefield.config import SceneConfig
from orefield.scenes import embedded
from orefield.scenes.assemble import assemble
from orefield.scenes.dataparsers.blender import TRAIN, parse_blender
from orefield.scenes.dataparsers.colmap import MODEL_FOLDERS, has_model, parse_colmap
from orefield.scenes.dataparsers.dtu import CAMERAS, has_cameras, parse_dtu
from orefield.scenes.dataparsers.llff import POSES, parse_llff
from orefield.scenes.dataparsers.parsed_scene import Folder, ParsedScene, evenly, is_file
from orefield.scenes.dataparsers.transforms import parse_transforms
from orefield.scenes.images import find_whites, read_frames
from orefield.scenes.memory import check_memory
from orefield.scenes.scene import Scene
from orefield.types import SceneError

TRANSFORMS = "transforms.json"
PREPARED = "prepare.json"
"""What `orefield prepare` made has the same poses twice; its COLMAP model also has points, which
say how far away things are."""
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
    `poses_bounds.npy` (LLFF), a sparse model (COLMAP), `cameras_sphere.npz` (DTU); of a folder that
    `orefield prepare` wrote, the sparse model.
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
        return replace(_read(name, parsed, config), source=where)


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
    if config.format == "auto" and is_file(path / PREPARED):
        wanted.sort(key=lambda name: name != "colmap")
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


def _read(name: str, parsed: ParsedScene, config: SceneConfig) -> Scene:
    """Read the photographs, and move everything into the unit cube."""
    train = evenly(parsed.train, config.max_images)
    test = evenly(parsed.test, config.max_test_views)
    split = parsed.split
    for kind, used, listed in (("training", train, parsed.train), ("test", test, parsed.test)):
        if len(used) < len(listed):
            split += f", {len(used)} of {len(listed)} {kind} views"
    how = check_memory([*train, *test], parsed.downscale, config.masks == "ignore")
    whites = find_whites([*train, *test])
    reading = parsed.downscale, config, whites, how
    parts = (train, read_frames(train, *reading)), (test, read_frames(test, *reading))
    return assemble(name, replace(parsed, split=split), *parts, config)
