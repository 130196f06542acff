"""How close a picture is to the photograph. Pictures are `[height, width, 3]` in [0, 1]."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from orefield.errors import OrefieldError

SSIM_WINDOW = 11
"""Pixels along a side of the window."""
_SIGMA = 1.5
_C1, _C2 = 0.01**2, 0.03**2

_SMALLEST_MSE = 1e-10


def mse_to_psnr(mse: float) -> float:
    """Peak signal-to-noise ratio in dB, -10 log10(mse), for signals in [0, 1].

    Capped at 100 dB, so that one perfect view does not make a mean over views infinite. NaN stays.
    """
    return -10 * math.log10(max(mse, _SMALLEST_MSE)) if mse == mse else math.nan


def psnr(picture: Float[Tensor, "*shape 3"], truth: Float[Tensor, "*shape 3"]) -> float:
    """PSNR in dB between pictures, or lists of pixels, of the same shape."""
    return mse_to_psnr(float((picture.double() - truth.double()).square().mean()))


def ssim(picture: Float[Tensor, "height width 3"], truth: Float[Tensor, "height width 3"]) -> float:
    """Structural similarity in [-1, 1]; 1 for equal pictures.

    Wang et al. 2004: Gaussian window 11 x 11 with sigma 1.5, K = (0.01, 0.03), per RGB channel,
    averaged over channels and over every position where the window lies wholly inside the picture.
    Raises OrefieldError for pictures smaller than the window.
    """
    if min(picture.shape[:2]) < SSIM_WINDOW:
        size = "x".join(map(str, reversed(picture.shape[:2])))
        raise OrefieldError(
            f"SSIM needs pictures of at least {SSIM_WINDOW}x{SSIM_WINDOW} pixels, got {size}"
        )
    # float64: the variances below are small differences of large numbers in flat regions.
    x, y = (p.double().permute(2, 0, 1) for p in (picture, truth))
    mean_x, mean_y, xx, yy, xy = map(_blur, (x, y, x * x, y * y, x * y))
    variance_x, variance_y = xx - mean_x**2, yy - mean_y**2
    covariance = xy - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + _C1) / (mean_x**2 + mean_y**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_x + variance_y + _C2)
    return float((luminance * structure).mean())


def _blur(channels: Float[Tensor, "3 height width"]) -> Float[Tensor, "3 inner_height inner_width"]:
    """Gaussian window at every position inside the picture, one axis after the other."""
    offset = torch.arange(SSIM_WINDOW, dtype=torch.float64) - SSIM_WINDOW // 2
    weight = torch.exp(-(offset**2) / (2 * _SIGMA**2))
    weight /= weight.sum()
    rows = conv2d(channels[:, None], weight.view(1, 1, -1, 1))
    return conv2d(rows, weight.view(1, 1, 1, -1))[:, 0]
