"""Laws of the page's cameras: there and back."""

import pytest
import torch

from orefield.cameras import Camera, panorama
from orefield.cameras.path_file import fov_camera
from orefield.viewer.coordinates import pose_of, quaternion_of, vertical_fov


def random_pose(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    rotation = rotation * torch.linalg.det(rotation)
    return torch.cat([rotation, torch.randn(3, 1, generator=generator, dtype=torch.float64)], 1)


def test_quaternions_and_back_half_turns_included() -> None:
    poses = [random_pose(seed) for seed in range(20)]
    half_turns = [
        torch.diag(torch.tensor(d)) for d in ([1.0, -1, -1], [-1.0, 1, -1], [-1.0, -1, 1])
    ]
    poses += [torch.cat([r.double(), torch.zeros(3, 1).double()], 1) for r in half_turns]
    for pose in poses:
        x, y, z = pose[:, 3].tolist()
        torch.testing.assert_close(pose_of(quaternion_of(pose), (x, y, z)), pose)


def test_the_identity_is_the_quaternion_1() -> None:
    assert quaternion_of(torch.eye(3, 4)) in [(1.0, 0.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0)]


def test_fields_of_view() -> None:
    assert vertical_fov(fov_camera(50.0, 30, 20)) == pytest.approx(50)
    assert vertical_fov(panorama(40, 20)) == 120
    assert vertical_fov(Camera(2, 2, 1.0, 1.0, 1.0, 1.0)) == pytest.approx(90)
