"""Small scenes in a temporary folder, in every format, from the same cameras and photographs."""

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.scenes.dataparsers.blender import write_blender
from reading import quaternion

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
        center = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64) + 4 * backward
        upper = torch.stack((right, up, backward, center), dim=1)
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
        right, up, backward, center = pose[:3].unbind(1)
        sizes = torch.tensor([80.0, 96.0, 8 * capture.focal], dtype=torch.float64)
        matrix = torch.stack((-up, right, backward, center, sizes), dim=1)
        rows.append(np.concatenate((matrix.reshape(-1).numpy(), [3.0, 5.0])))
    np.save(folder / "poses_bounds.npy", np.stack(rows))
    return folder


@dataclass
class Sparse:
    """A COLMAP model about to be written."""

    camera: tuple[int, str, tuple[float, ...]]
    """Number and name of the camera model, and its parameters; the size is 12 x 10."""
    images: list[tuple[str, np.ndarray, np.ndarray]]
    """Name, rotation and translation, world to camera."""
    points: np.ndarray

    def write(self, folder: Path, binary: bool) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (self._binary if binary else self._text)(folder)

    def _binary(self, folder: Path) -> None:
        number, _, parameters = self.camera
        camera = struct.pack(f"<QIiQQ{len(parameters)}d", 1, 7, number, 12, 10, *parameters)
        (folder / "cameras.bin").write_bytes(camera)
        images = struct.pack("<Q", len(self.images))
        for i, (name, rotation, translation) in enumerate(self.images):
            images += struct.pack("<I7dI", i + 1, *quaternion(rotation), *translation, 7)
            images += name.encode() + b"\0" + struct.pack("<Q2dq", 1, 3.5, 4.5, -1)
        (folder / "images.bin").write_bytes(images)
        points = struct.pack("<Q", len(self.points))
        for i, point in enumerate(self.points):
            track_length = 2 + i % 3
            points += struct.pack("<Q3d3BdQ", i, *point, 9, 9, 9, 0.5, track_length)
            points += struct.pack("<2I", 1, 0) * track_length
        (folder / "points3D.bin").write_bytes(points)

    def _text(self, folder: Path) -> None:
        def line(*values) -> str:
            return " ".join(map(str, values)) + "\n"

        _, name, parameters = self.camera
        (folder / "cameras.txt").write_text("# cameras\n" + line(7, name, 12, 10, *parameters))
        images = "# images\n"
        for i, (name, rotation, translation) in enumerate(self.images):
            images += line(i + 1, *quaternion(rotation).tolist(), *translation.tolist(), 7, name)
            images += "3.5 4.5 -1\n" if i % 2 else "\n"
        (folder / "images.txt").write_text(images)
        points = "# points\n"
        for i, point in enumerate(self.points):
            points += line(i, *point.tolist(), 9, 9, 9, 0.5, *(1, 0) * (2 + i % 3))
        (folder / "points3D.txt").write_text(points)


@pytest.fixture
def sparse(capture) -> Sparse:
    """The nine as a COLMAP model, unsorted; 60 points in a ball of radius 1 about (1, 2, 3)."""
    images = []
    for i, pose in enumerate(capture.poses):
        pose = pose.numpy() * [1, -1, -1, 1]
        images.append((f"{i}.png", pose[:3, :3].T, -pose[:3, :3].T @ pose[:3, 3]))
    points = np.random.default_rng(0).normal(size=(60, 3))
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1)
    camera = (1, "PINHOLE", (capture.focal, capture.focal, 6.0, 5.0))
    return Sparse(camera, images[::-1], points + np.array([1, 2, 3]))


@pytest.fixture
def colmap(tmp_path, capture, sparse) -> Path:
    """The same nine as a COLMAP scene."""
    folder = tmp_path / "toy"
    (folder / "images").mkdir(parents=True)
    for i, image in enumerate(capture.images):
        Image.fromarray(image.numpy()).save(folder / f"images/{i}.png")
    sparse.write(folder / "sparse/0", binary=True)
    return folder


@pytest.fixture
def dtu(tmp_path, capture) -> Path:
    """The same nine as a DTU scene, its ball of radius 2 about (1, 2, 3), P of any scale."""
    folder = tmp_path / "toy"
    (folder / "image").mkdir(parents=True)
    matrices = {}
    intrinsics = np.array([[capture.focal, 0, 5.5], [0, capture.focal, 4.5], [0, 0, 1]])
    for i, (image, pose) in enumerate(zip(capture.images, capture.poses, strict=True)):
        Image.fromarray(image.numpy()).save(folder / f"image/{i:06d}.png")
        pose = pose.numpy() * [1, -1, -1, 1]
        world = np.eye(4)
        world[:3] = (-1) ** i * (i + 1) * intrinsics @ np.linalg.inv(pose)[:3]
        matrices[f"world_mat_{i}"] = world
        matrices[f"scale_mat_{i}"] = np.diag([2.0, 2, 2, 1])
        matrices[f"scale_mat_{i}"][:3, 3] = [1, 2, 3]
    np.savez(folder / "cameras_sphere.npz", **matrices)
    return folder


@pytest.fixture
def edit():
    """Change a scene's JSON file in place."""

    def change(file: Path, how) -> None:
        values = json.loads(file.read_text())
        how(values)
        file.write_text(json.dumps(values))

    return change
