"""A mining map over its photograph: samples kept on each pixel's ray, and how hard they are."""

from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.evaluation.mining_maps import MiningMap
from orefield.rendering.pixels import Pixels, color_mapped, to_pixels

_FEWEST, _MOST = 0.25, 64.0
"""Ends of the color scales: samples kept on a pixel's ray, and times the mean hardness."""


def kept_pixels(photograph: Float[Tensor, "height width 3"], one: MiningMap) -> Pixels:
    """Samples kept on each pixel's ray, 1/4 dark to 64 bright, over the photograph in gray."""
    return _over_gray(photograph, _logarithmic(one.kept), (one.kept >= _FEWEST).float())


def hardness_pixels(photograph: Float[Tensor, "height width 3"], one: MiningMap) -> Pixels:
    """Hardness along each pixel's ray, over the mean pixel's, over the photograph in gray.

    1/4 of the mean is transparent, 64 times the mean bright and opaque.
    """
    heat = _logarithmic(one.hardness / one.hardness.mean().clamp(min=1e-30))
    return _over_gray(photograph, heat, (2 * heat).clamp(max=1))


def _over_gray(
    photograph: Float[Tensor, "height width 3"],
    heat: Float[Tensor, "height width"],
    over: Float[Tensor, "height width"],
) -> Pixels:
    gray = (0.55 * photograph.mean(-1, keepdim=True) + 0.2).expand(-1, -1, 3)
    return to_pixels(torch.lerp(gray, color_mapped("inferno", heat), over[..., None]))


def _logarithmic(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    scaled = (values.clamp(min=1e-30) / _FEWEST).log() / log(_MOST / _FEWEST)
    return scaled.clamp(0, 1)
