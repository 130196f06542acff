import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.sfm.similarity import compare_poses, fit_similarity


def rotation(generator: torch.Generator) -> torch.Tensor:
    q, r = torch.linalg.qr(torch.randn((3, 3), generator=generator, dtype=torch.float64))
    q = q * r.diagonal().sign()
    return q * torch.linalg.det(q).sign()


def cameras(number: int, generator: torch.Generator) -> torch.Tensor:
    turns = torch.stack([rotation(generator) for _ in range(number)])
    centers = torch.randn((number, 3, 1), generator=generator, dtype=torch.float64)
    return torch.cat((turns, centers), dim=2)


@given(st.integers(0, 2**31), st.integers(3, 12), st.floats(0.01, 100))
def test_a_known_similarity_is_recovered(seed, number, scale):
    generator = torch.Generator().manual_seed(seed)
    turn = rotation(generator)
    points, shift = torch.randn((number + 1, 3), generator=generator).double().split((number, 1))
    fit = fit_similarity(points, scale * points @ turn.T + shift)
    assert fit.scale == pytest.approx(scale, rel=1e-6)
    torch.testing.assert_close(fit.rotation, turn, atol=1e-6, rtol=0)
    torch.testing.assert_close(fit.shift, shift[0], atol=1e-6 * scale + 1e-9, rtol=1e-6)


@given(st.integers(0, 2**31))
def test_a_mirror_image_is_fitted_by_a_rotation_all_the_same(seed):
    points = torch.randn((8, 3), generator=torch.Generator().manual_seed(seed)).double()
    fit = fit_similarity(points, points * torch.tensor([1.0, 1.0, -1.0]))
    assert float(torch.linalg.det(fit.rotation)) == pytest.approx(1)


@given(st.integers(0, 2**31))
def test_no_similarity_nearby_fits_better(seed):
    generator = torch.Generator().manual_seed(seed)
    a, b = torch.randn((2, 6, 3), generator=generator, dtype=torch.float64)
    fit = fit_similarity(a, b)

    def residual(scale, turn, shift):
        return float((scale * a @ turn.T + shift - b).square().sum())

    least = residual(fit.scale, fit.rotation, fit.shift)
    nudge = torch.linalg.matrix_exp(1e-3 * torch.tensor([[0.0, -1, 2], [1, 0, -3], [-2, 3, 0]]))
    assert least <= residual(fit.scale, nudge.double() @ fit.rotation, fit.shift)
    assert least <= residual(1.001 * fit.scale, fit.rotation, fit.shift)
    assert least <= residual(fit.scale, fit.rotation, fit.shift + 1e-3)


def test_poses_agree_with_themselves_moved_and_tell_a_known_angle_and_distance():
    generator = torch.Generator().manual_seed(0)
    poses, turn = cameras(9, generator), rotation(generator)
    moved = turn @ poses
    moved[:, :, 3] = 3 * moved[:, :, 3] + 5
    same = compare_poses(moved, poses)
    assert same.distances.max() < 1e-9
    assert same.degrees.max() < 1e-6
    angle = torch.deg2rad(torch.tensor(2.0, dtype=torch.float64))
    c, s = angle.cos(), angle.sin()
    tilt = torch.tensor([[1.0, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)
    tilted = moved.clone()
    tilted[4, :, :3] = tilted[4, :, :3] @ tilt
    degrees = compare_poses(tilted, poses).degrees
    assert float(degrees[4]) == pytest.approx(2)
    assert degrees[:4].max() < 1e-6
