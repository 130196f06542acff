"""The original NeRF's Blender format: `transforms_train.json`, `transforms_test.json`, RGBA images.

Each file holds `camera_angle_x`, the horizontal field of view in radians, and `frames` with
`file_path` (often without its ending) and `transform_matrix`, camera-to-world in OpenGL axes.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes.frames import focal_length, frame_pose, present_frames, refuse_mixed_sizes
from orefield.scenes.images import image_size
from orefield.scenes.record import read_json
from orefield.scenes.shots import Folder, Listing, Shot, hold_out, is_file, naming

TRAIN = "transforms_train.json"
TESTS = ("transforms_test.json", "transforms_val.json")


def list_blender(folder: Folder, config: SceneConfig) -> Listing:
    """The official split; validation views stand in for missing test views, held-out ones for both.

    Raises SceneError naming file and field.
    """
    train = _list_split(folder, TRAIN)
    for name in TESTS:
        if is_file(folder.path / name):
            split = "official" if name == TESTS[0] else "official, val as test"
            return Listing(train, _list_split(folder, name), split, config.downscale)
    held_out = hold_out(train, config.holdout)
    return replace(held_out, downscale=config.downscale)


def _list_split(folder: Folder, name: str) -> list[Shot]:
    """The photographs of one file, which share one camera."""
    file = folder.inside(folder.path / name)
    root = read_json(file)
    shots: list[Shot] = []
    for frame, path in present_frames(folder, file, root.records("frames")):
        width, height = image_size(path)
        focal = focal_length(root, "camera_angle_x", width)
        with naming(f"{root.where}: camera_angle_x"):
            camera = Camera(width, height, focal, focal, width / 2, height / 2)
        shots.append(Shot(frame.text("file_path"), path, None, camera, frame_pose(frame)))
    refuse_mixed_sizes(file, shots)
    return shots


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
    text = json.dumps(scene, indent=1, allow_nan=False)
    (folder / f"transforms_{split}.json").write_text(text, encoding="utf-8")
