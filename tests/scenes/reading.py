"""What tests of every format compare with: the capture that `conftest` wrote."""

import numpy as np
import pytest
import torch

from orefield.config import SceneConfig

PLAIN = SceneConfig(holdout=3)


def world_poses(scene, views):
    """OpenCV camera-to-world poses of views."""
    side, corner = scene.to_world[0, 0].float(), scene.to_world[:3, 3:].float()
    return torch.stack(
        [torch.cat((view.pose[:, :3], view.pose[:, 3:] * side + corner), 1) for view in views]
    )


def assert_same(scene, views, capture, picked):
    flip = torch.tensor([1.0, -1.0, -1.0, 1.0])  # OpenGL looks along -z with y up
    expected = capture.poses[picked, :3].float() * flip
    torch.testing.assert_close(world_poses(scene, views), expected, atol=2e-6, rtol=1e-6)
    for view, image in zip(views, capture.images[picked], strict=True):
        assert torch.equal(view.image, image)
        assert (view.camera.width, view.camera.height) == (12, 10)
        assert view.camera.fx == pytest.approx(capture.focal)
        assert (view.camera.cx, view.camera.cy) == pytest.approx((6.0, 5.0))


def quaternion(rotation: np.ndarray) -> np.ndarray:
    """(w, x, y, z) of a rotation: the eigenvector of Bar-Itzhack's matrix (2000, equation 10)."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.tolist()
    k = [
        [xx + yy + zz, zy - yz, xz - zx, yx - xy],
        [zy - yz, xx - yy - zz, xy + yx, xz + zx],
        [xz - zx, xy + yx, yy - xx - zz, yz + zy],
        [yx - xy, xz + zx, yz + zy, zz - xx - yy],
    ]
    return np.linalg.eigh(np.array(k))[1][:, -1]
