"""Rays to pixels, without a graph, in short chunks: occluded samples are never evaluated."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, view_rays
from orefield.errors import OrefieldError
from orefield.ops.march import ENDED
from orefield.ops.median_depth import median_depth
from orefield.ops.transmittance import MIN_TRANSMITTANCE
from orefield.ops.volume_rendering import over_background as over_background
from orefield.ops.volume_rendering import volume_rendering_forward
from orefield.system.devices import device_of
from orefield.types import RadianceField, Rays, Sampler

_RAYS = 16_384
"""Rays rendered at once."""
_CHUNK = 16
"""Samples of a ray evaluated before its transmittance is looked at."""


@dataclass(frozen=True)
class RenderedView:
    """A rendered view, on the CPU."""

    color: Float[Tensor, "height width 3"]
    """RGB in [0, 1], over the background."""
    opacity: Float[Tensor, "height width"]
    """Share of light stopped, in [0, 1]."""
    depth: Float[Tensor, "height width"]
    """Expected distance along the ray in scene units, 0 where nothing is; in a frustum, that of the
    mean along the line in the cube, where infinity is a point."""
    median: Float[Tensor, "height width"]
    """Distance at which half of a ray's light has been stopped; 0 where more than half passes.
    Unlike the expected distance it never lies between two surfaces. Or another share than half."""


class RenderedRays(NamedTuple):
    """What a batch of rays sees, without a background."""

    color: Float[Tensor, "rays 3"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    """Expected distance times opacity."""
    median: Float[Tensor, " rays"]
    """Distance at which half of the light has been stopped; 0 where more than half passes."""


@torch.no_grad()
def render_rays(
    field: RadianceField, sampler: Sampler, rays: Rays, stopped: float = 0.5
) -> RenderedRays:
    """Render rays, each until its transmittance is below MIN_TRANSMITTANCE; few or many.

    `stopped`: the share of light at whose distance `median` is. Raises OrefieldError for rays that
    are not finite.
    """
    for name, values in vars(rays).items():
        if not bool(values.isfinite().all()):
            raise OrefieldError(f"{name} of rays must be finite, got {_first_bad(values)}")
    parts = [
        _render_some(field, sampler, rays[start : start + _RAYS], stopped)
        for start in range(0, max(len(rays), 1), _RAYS)
    ]
    return RenderedRays(*(torch.cat(values) for values in zip(*parts, strict=True)))


def _first_bad(values: Float[Tensor, "rays 3"]) -> str:
    row = int((~values.isfinite()).any(1).int().argmax())
    return f"{values[row].tolist()} for ray {row}"


def _render_some(
    field: RadianceField, sampler: Sampler, rays: Rays, stopped: float
) -> RenderedRays:
    color = torch.zeros_like(rays.origins)
    opacity, depth, median = torch.zeros(3, len(rays), device=color.device)
    active = torch.arange(len(rays), device=color.device)
    first = torch.zeros_like(active, dtype=torch.int32)
    encoded_directions, cube = field.encode_directions(rays.directions), sampler.cube_rays(rays)
    while len(active):
        samples, following = sampler.sample_chunk(rays[active], first, _CHUNK)
        raw = field(samples.positions, encoded_directions[active], samples.ray)
        chunk, _ = volume_rendering_forward(raw, samples.t, samples.dt, samples.spans)
        remaining = 1 - opacity[active]
        passed = -remaining.clamp(min=1e-10).log()  # the optical depth so far
        along = samples.t, samples.dt, samples.spans, passed
        median[active] += median_depth(raw[:, 0], *along, stopped)
        color[active] += remaining[:, None] * chunk.color
        opacity[active] += remaining * chunk.opacity
        depth[active] += remaining * chunk.depth
        going = (following != ENDED) & (1 - opacity[active] > MIN_TRANSMITTANCE)
        active, first = active[going], following[going]
    if cube.start is not None:
        depth = opacity * cube.to_scene(depth / opacity.clamp(min=1e-6))
        median = torch.where(median > 0, cube.to_scene(median), 0.0)
    return RenderedRays(color, opacity, depth, median)


@torch.no_grad()
def render_view(
    field: RadianceField,
    sampler: Sampler,
    camera: Camera,
    pose: Float[Tensor, "3 4"],
    background: float = 1.0,
    stopped: float = 0.5,
) -> RenderedView:
    """Render a whole view; `background` is 1 for white, 0 for black.

    `pose` is camera to scene in OpenCV axes, in scene units. `stopped`: the share of light at whose
    distance `median` is. Raises OrefieldError for one that is
    not finite, or not of this shape.
    """
    if pose.shape != (3, 4) or not bool(pose.isfinite().all()):
        got = f"{list(pose.shape)}: {pose.tolist()}"
        raise OrefieldError(f"pose must be finite numbers [3, 4], got {got}")
    rays = view_rays(camera, pose).to(device_of(field))
    color, opacity, depth, median = (v.cpu() for v in render_rays(field, sampler, rays, stopped))
    color = over_background(color, opacity, background).clamp(0, 1)
    depth = depth / opacity.clamp(min=1e-6)
    shape = (camera.height, camera.width)
    return RenderedView(
        color.view(*shape, 3), opacity.view(shape), depth.view(shape), median.view(shape)
    )
