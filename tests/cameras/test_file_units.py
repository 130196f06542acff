"""Laws of the files' coordinates: there and back."""

import torch

from orefield.cameras.file_units import (
    points_to_files,
    points_to_scene,
    pose_to_files,
    pose_to_scene,
)


def test_to_the_files_and_back() -> None:
    generator = torch.Generator().manual_seed(0)
    to_world = torch.diag(torch.tensor([7.0, 7.0, 7.0, 1.0], dtype=torch.float64))
    to_world[:3, 3] = torch.tensor([4e5, 5e6, -20.0])
    points = torch.randn(3, 9, generator=generator, dtype=torch.float64)
    moved = to_world @ torch.cat([points, torch.ones(1, 9, dtype=torch.float64)])
    torch.testing.assert_close(points_to_files(points, to_world), moved[:3])
    torch.testing.assert_close(points_to_scene(moved[:3], to_world), points, atol=1e-8, rtol=0)
    axes, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    pose = torch.cat([axes, points[:, :1]], 1)
    there = pose_to_files(pose, to_world)
    torch.testing.assert_close(there, torch.cat([axes, moved[:3, :1]], 1))
    torch.testing.assert_close(pose_to_scene(there, to_world), pose, atol=1e-8, rtol=0)
