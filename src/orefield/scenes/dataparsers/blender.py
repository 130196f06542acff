"""The original NeRF's Blender format: `transforms_train.json`, `transforms_test.json`, RGBA images.

Each file holds `camera_angle_x`, the horizontal field of view in radians, and `frames` with
`file_path` (often without its ending) and `transform_matrix`, camera-to-world in OpenGL axes.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.json_fields import read_record
from orefield.scenes.dataparsers.json_frames import (
    focal_length,
    frame_pose,
    present_frames,
    refuse_mixed_sizes,
)
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    hold_out,
    is_file,
    naming,
)
from orefield.scenes.image_files import image_size
from orefield.system.files import write_json

TRAIN = "transforms_train.json"
TESTS = ("transforms_test.json", "transforms_val.json")


def parse_blender(folder: Folder, config: SceneConfig) -> ParsedScene:
    """The official split.

    Without test views the validation views are used, without either every n-th training view.
    Raises SceneError naming file and field.
    """
    train = _parse_split(folder, TRAIN)
    for name in TESTS:
        if is_file(folder.path / name):
            split = "official" if name == TESTS[0] else "official, val as test"
            return ParsedScene(train, _parse_split(folder, name), split, config.downscale)
    held_out = hold_out(train, config.holdout)
    return replace(held_out, downscale=config.downscale)


def _parse_split(folder: Folder, name: str) -> list[Frame]:
    """The frames of one file, which share one camera."""
    file = folder.inside(folder.path / name)
    root = read_record(file)
    frames: list[Frame] = []
    for entry, path in present_frames(folder, file, root.records("frames")):
        width, height = image_size(path)
        focal = focal_length(root, "camera_angle_x", width)
        with naming(f"{root.where}: camera_angle_x"):
            camera = Camera(width, height, focal, focal, width / 2, height / 2)
        frames.append(Frame(entry.text("file_path"), path, None, camera, frame_pose(entry)))
    refuse_mixed_sizes(file, frames)
    return frames


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
