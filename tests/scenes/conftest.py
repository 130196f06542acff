"""Small scenes in a temporary folder, in every format, from the same cameras and photographs."""

import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.scenes.blender import write_blender

ANGLE = 0.7


@dataclass(frozen=True)
class Capture:
    """What was written: OpenGL camera-to-world poses and RGBA photographs, 12 x 10 pixels."""

    poses: torch.Tensor
    images: torch.Tensor

    @property
    def focal(self) -> float:
        return 6 / math.tan(ANGLE / 2)


@pytest.fixture
def capture() -> Capture:
    """Nine cameras on a ring of radius 4, all looking at the point (1, 2, 3)."""
    poses = []
    for i in range(9):
        turn = 0.7 * i
        backward = torch.tensor([math.cos(turn), math.sin(turn), 0.4], dtype=torch.float64)
        backward /= backward.norm()
        right = torch.tensor([-math.sin(turn), math.cos(turn), 0.0], dtype=torch.float64)
        up = torch.linalg.cross(backward, right)
        centre = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) + 4 * backward
        upper = torch.stack((right, up, backward, centre), dim=1)
        poses.append(torch.cat((upper, upper.new_tensor([[0.0, 0.0, 0.0, 1.0]]))))
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (9, 10, 12, 4), generator=generator, dtype=torch.uint8)
    return Capture(torch.stack(poses), images)


@pytest.fixture
def blender(tmp_path, capture) -> Path:
    """Six training and three test views."""
    folder = tmp_path / "toy"
    write_blender(folder, "train", [*capture.images[:6]], [*capture.poses[:6]], ANGLE)
    write_blender(folder, "test", [*capture.images[6:]], [*capture.poses[6:]], ANGLE)
    return folder


@pytest.fixture
def transforms(tmp_path, capture) -> Path:
    """The same nine as an instant-ngp `transforms.json`."""
    folder = tmp_path / "toy"
    (folder / "images").mkdir(parents=True)
    frames = []
    for i, (image, pose) in enumerate(zip(capture.images, capture.poses, strict=True)):
        Image.fromarray(image.numpy()).save(folder / f"images/{i}.png")
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": pose.tolist()})
    lens = {"fl_x": capture.focal, "fl_y": capture.focal, "cx": 6.0, "cy": 5.0, "w": 12, "h": 10}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))
    return folder


@pytest.fixture
def llff(tmp_path, capture) -> Path:
    """The same nine as LLFF's `poses_bounds.npy`, for photographs of 8 times the size."""
    folder = tmp_path / "toy"
    (folder / "images_8").mkdir(parents=True)
    rows = []
    for i, (image, pose) in enumerate(zip(capture.images, capture.poses, strict=True)):
        Image.fromarray(image.numpy()).save(folder / f"images_8/{i}.png")
        right, up, backward, centre = pose[:3].unbind(1)
        sizes = torch.tensor([80.0, 96.0, 8 * capture.focal], dtype=torch.float64)
        matrix = torch.stack((-up, right, backward, centre, sizes), dim=1)
        rows.append(np.concatenate((matrix.reshape(-1).numpy(), [3.0, 5.0])))
    np.save(folder / "poses_bounds.npy", np.stack(rows))
    return folder


@pytest.fixture
def edit():
    """Change a scene's JSON file in place."""

    def change(file: Path, how) -> None:
        values = json.loads(file.read_text())
        how(values)
        file.write_text(json.dumps(values))

    return change
