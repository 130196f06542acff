"""The original NeRF's Blender format: `transforms_train.json`, `transforms_test.json`, RGBA images.

Each file holds `frames` with `file_path` (often without its ending) and `transform_matrix`,
camera-to-world in OpenGL axes, and intrinsics: `camera_angle_x`, the horizontal field of view in
radians, or all that a `transforms.json` may state, as BlenderNeRF writes it. Masks, depth maps and
`aabb_scale` mean what they mean there. The keys of the training file hold for the scene.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from orefield.config import SceneConfig
from orefield.scenes.dataparsers.json_fields import read_record
from orefield.scenes.dataparsers.json_frames import FrameReader
from orefield.scenes.dataparsers.json_keys import warn_of_unread
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    few,
    hold_out,
    is_file,
)
from orefield.scenes.scene import SceneWarning
from orefield.system.files import write_json

TRAIN = "transforms_train.json"
TESTS = ("transforms_test.json", "transforms_val.json")


def parse_blender(folder: Folder, config: SceneConfig) -> ParsedScene:
    """The official split.

    Without test views the validation views are used, without either every n-th training view. A
    file whose photographs are all missing (poses of a camera path that was never rendered) counts
    as absent, with a warning. Raises SceneError naming file and field.
    """
    reader = _open(folder, TRAIN)
    train = reader.read(reader.entries)
    half_extent = reader.half_extent()
    unused: list[str] = []
    for name in TESTS:
        test = _test_views(folder, name, unused)
        if test:
            split = "official" if name == TESTS[0] else "official, val as test"
            parsed = ParsedScene(train, test, split)
            _warn_of_training_images(folder.path / name, parsed)
            break
    else:
        parsed = hold_out(train, config.holdout)
    if unused:
        warnings.warn(
            f"{folder.path}: {', '.join(unused)}; test views: {parsed.split}", SceneWarning, 2
        )
    return replace(parsed, downscale=config.downscale, half_extent=half_extent)


def _open(folder: Folder, name: str) -> FrameReader:
    reader = FrameReader(folder, read_record(folder.inside(folder.path / name)))
    warn_of_unread(reader.root, reader.entries, splits=False)
    return reader


def _test_views(folder: Folder, name: str, unused: list[str]) -> list[Frame]:
    """The frames of one file, if it is there; says in `unused` why a file has none."""
    if not is_file(folder.path / name):
        return []
    root = read_record(folder.inside(folder.path / name))
    if root.values.get("frames") == []:
        unused.append(f"{name} lists no images")
        return []
    reader = _open(folder, name)
    if not any(map(reader.exists, reader.entries)):
        unused.append(f"none of the {len(reader.entries)} images of {name} is there")
        return []
    return reader.read(reader.entries)


def _warn_of_training_images(file: Path, parsed: ParsedScene) -> None:
    """Warn where views are scored on photographs that are trained on."""
    trained = {frame.image for frame in parsed.train}
    if seen := [frame.name for frame in parsed.test if frame.image in trained]:
        warnings.warn(
            f"{file}: {len(seen)} of {len(parsed.test)} test views are training images too, so "
            f"their scores say little: {few(seen)}",
            SceneWarning,
            stacklevel=2,
        )


def write_blender(
    folder: Path,
    split: str,
    images: Sequence[UInt8[Tensor, "height width 4"]],
    poses: Sequence[Float[Tensor, "4 4"]],
    camera_angle_x: float,
) -> None:
    """Write a split (`train`, `test`, `val`): `SPLIT/r_*.png` and `transforms_SPLIT.json`.

    Images are RGBA with straight alpha; poses are camera-to-world in OpenGL axes; `camera_angle_x`
    is the horizontal field of view in radians.
    """
    (folder / split).mkdir(parents=True, exist_ok=True)
    frames = []
    for i, (image, pose) in enumerate(zip(images, poses, strict=True)):
        Image.fromarray(image.cpu().numpy()).save(folder / split / f"r_{i}.png")
        frames.append({"file_path": f"./{split}/r_{i}", "transform_matrix": pose.tolist()})
    scene = {"camera_angle_x": camera_angle_x, "frames": frames}
    write_json(folder / f"transforms_{split}.json", scene, indent=1)
