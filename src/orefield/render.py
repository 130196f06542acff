"""Rays to pixels, without a graph, in short pieces: hidden samples are never evaluated."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, view_rays
from orefield.devices import device_of
from orefield.ops.composite import composite_forward
from orefield.ops.march import ENDED
from orefield.ops.median_depth import median_depth
from orefield.types import Field, Rays, Sampler

DARK = 1e-4
"""A ray ends where less than this share of light is left (Müller et al. 2022, appendix E.2)."""

_RAYS = 16_384
_PIECE = 16


@dataclass(frozen=True)
class Picture:
    """A rendered view, on the CPU."""

    colour: Float[Tensor, "height width 3"]
    """RGB in [0, 1], over the background."""
    opacity: Float[Tensor, "height width"]
    """Share of light stopped, in [0, 1]."""
    depth: Float[Tensor, "height width"]
    """Expected distance along the ray in scene units; 0 where nothing is."""
    median: Float[Tensor, "height width"]
    """Where half of a ray's light has been stopped; 0 where more than that passes. Unlike the mean
    it never lies between two surfaces."""


class Seen(NamedTuple):
    """What a batch of rays sees, without a background."""

    colour: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    """Expected distance times opacity."""
    median: Float[Tensor, " rays"]
    """Where half of the light has been stopped; 0 where more than that passes."""


@torch.no_grad()
def render_rays(field: Field, sampler: Sampler, rays: Rays) -> Seen:
    """Look along rays to where their light ends."""
    colour = torch.zeros_like(rays.origins)
    opacity, depth, median = torch.zeros(3, len(rays), device=colour.device)
    active = torch.arange(len(rays), device=colour.device)
    first = torch.zeros_like(active, dtype=torch.int32)
    codes = field.directions(rays.directions)
    while len(active):
        part = Rays(rays.origins[active], rays.directions[active])
        samples, following = sampler.piece(part, first, _PIECE)
        raw = field(samples.positions, codes[active], samples.ray)
        seen, _ = composite_forward(raw, samples.t, samples.dt, samples.spans)
        left = 1 - opacity[active]
        thick = -left.clamp(min=1e-10).log()
        median[active] += median_depth(raw[:, 0], samples.t, samples.dt, samples.spans, thick)
        colour[active] += left[:, None] * seen.colour
        opacity[active] += left * seen.opacity
        depth[active] += left * seen.depth
        go_on = (following != ENDED) & (1 - opacity[active] > DARK)
        active, first = active[go_on], following[go_on]
    return Seen(colour, opacity, depth, median)


@torch.no_grad()
def render_view(
    field: Field,
    sampler: Sampler,
    camera: Camera,
    pose: Float[Tensor, "3 4"],
    background: float = 1.0,
) -> Picture:
    """A whole view; `background` is 1 for white, 0 for black."""
    rays = view_rays(camera, pose).to(device_of(field))
    parts = [
        render_rays(field, sampler, rays[start : start + _RAYS])
        for start in range(0, len(rays), _RAYS)
    ]
    colour, opacity, depth, median = (torch.cat(v).cpu() for v in zip(*parts, strict=True))
    colour = (colour + (1 - opacity)[:, None] * background).clamp(0, 1)
    depth = depth / opacity.clamp(min=1e-6)
    shape = (camera.height, camera.width)
    return Picture(
        colour.view(*shape, 3), opacity.view(shape), depth.view(shape), median.view(shape)
    )
