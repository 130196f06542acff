import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orefield.evaluation.metrics import mse_to_psnr, psnr, ssim


def pictures(height: int, width: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.rand(height, width, 3, generator=generator)
    noise = 0.2 * torch.randn(height, width, 3, generator=generator)
    return (truth + noise).clamp(0, 1), truth


def slow_ssim(a: torch.Tensor, b: torch.Tensor) -> float:
    """Equations 13 and 14-16 of Wang et al. 2004, window by window."""
    weight = torch.tensor(
        [[math.exp(-(i**2 + j**2) / 4.5) for j in range(-5, 6)] for i in range(-5, 6)],
        dtype=torch.float64,
    )
    weight /= weight.sum()
    values = []
    for row in range(a.shape[0] - 10):
        for column in range(a.shape[1] - 10):
            for c in range(3):
                x = a[row : row + 11, column : column + 11, c].double()
                y = b[row : row + 11, column : column + 11, c].double()
                mx, my = float((weight * x).sum()), float((weight * y).sum())
                vx, vy = (
                    float((weight * (x - mx) ** 2).sum()),
                    float((weight * (y - my) ** 2).sum()),
                )
                cov = float((weight * (x - mx) * (y - my)).sum())
                top = (2 * mx * my + 1e-4) * (2 * cov + 9e-4)
                values.append(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))
    return sum(values) / len(values)


@given(st.floats(1e-9, 10))
def test_psnr_undoes_its_formula(mse: float) -> None:
    assert 10 ** (-mse_to_psnr(mse) / 10) == pytest.approx(mse)


def test_psnr_of_a_constant_error() -> None:
    truth = torch.full((4, 5, 3), 0.5)
    assert psnr(truth + 0.1, truth) == pytest.approx(20.0, abs=1e-5)


def test_psnr_of_equal_pictures_is_the_cap_and_nan_stays_nan() -> None:
    picture, _ = pictures(3, 4)
    assert psnr(picture, picture) == pytest.approx(100.0)
    assert math.isnan(psnr(torch.full((3, 4, 3), math.nan), picture))


def test_ssim_equals_its_definition() -> None:
    picture, truth = pictures(16, 13)
    assert ssim(picture, truth) == pytest.approx(slow_ssim(picture, truth), abs=1e-12)


@settings(max_examples=8)
@given(st.integers(0, 1000))
def test_ssim_is_symmetric_and_at_most_one(seed: int) -> None:
    picture, truth = pictures(14, 12, seed)
    assert ssim(picture, truth) == pytest.approx(ssim(truth, picture), abs=1e-14)
    assert ssim(picture, truth) < 1
    assert ssim(truth, truth) == pytest.approx(1, abs=1e-14)


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = torch.full((12, 12, 3), 0.25), torch.full((12, 12, 3), 0.75)
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)


def test_ssim_refuses_pictures_smaller_than_its_window() -> None:
    with pytest.raises(ValueError, match="at least 11x11 pixels, got 30x10"):
        ssim(torch.rand(10, 30, 3), torch.rand(10, 30, 3))
