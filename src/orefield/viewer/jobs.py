"""Views in the making, a piece at a time, so that training goes on between the pieces."""

from collections.abc import Callable
from time import perf_counter

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.evaluation.mining_maps import MiningMap, ProbeView
from orefield.rendering.render import RenderedRays, RenderedView, over_background, render_rays
from orefield.system.devices import device_of
from orefield.types import RadianceField, Rays, Sampler

_PIECE = 0.03
"""Seconds that a piece should take."""
_FEWEST, _MOST = 512, 16_384
"""Rays in a piece."""

Mapping = Callable[[ProbeView], MiningMap]
"""Makes the mining map of a view, changing nothing of the run."""


class Speed:
    """Rays rendered per second, a moving average; a guess at first."""

    def __init__(self, rays: float = 50_000.0) -> None:
        self.rays = rays
        self.mapped = rays / 4
        """Rays of mining maps per second."""

    def note(self, rays: int, seconds: float) -> None:
        """Take in that so many rays were rendered in so many seconds."""
        self.rays = 0.7 * self.rays + 0.3 * rays / max(seconds, 1e-6)

    def note_map(self, rays: int, seconds: float) -> None:
        """The same of a mining map."""
        self.mapped = 0.5 * self.mapped + 0.5 * rays / max(seconds, 1e-6)

    def piece(self) -> int:
        """Rays to render at once."""
        return int(min(max(self.rays * _PIECE, _FEWEST), _MOST))


class RenderJob:
    """A view, rendered some rays at a time."""

    def __init__(self, sampler: Sampler, rays: Rays, shape: tuple[int, int], speed: Speed) -> None:
        """`rays`: one for each pixel of a picture of `shape` = (height, width), row by row."""
        assert len(rays) == shape[0] * shape[1]
        self.sampler, self.rays, self.shape, self.speed = sampler, rays, shape, speed
        self.first, self.parts = 0, list[RenderedRays]()

    @property
    def done(self) -> bool:
        """Whether all rays are rendered."""
        return self.first >= len(self.rays)

    def expected(self) -> float:
        """Seconds that the next piece will take."""
        return min(self.speed.piece(), len(self.rays) - self.first) / self.speed.rays

    def advance(self, field: RadianceField) -> None:
        """Render the next rays; the field may have learned since the last."""
        begun, count = perf_counter(), self.speed.piece()
        rays = self.rays[self.first : self.first + count].to(device_of(field))
        part = render_rays(field, self.sampler, rays)
        self.parts.append(RenderedRays(*(values.cpu() for values in part)))
        self.first += len(rays)
        self.speed.note(len(rays), perf_counter() - begun)

    def view(self, background: Float[Tensor, " 3"]) -> RenderedView:
        """What was rendered, over a background color in [0, 1]."""
        color, opacity, depth, median = (
            torch.cat(values) for values in zip(*self.parts, strict=True)
        )
        color = over_background(color, opacity, background.expand(len(opacity), 3)).clamp(0, 1)
        depth = depth / opacity.clamp(min=1e-6)
        return RenderedView(
            color.view(*self.shape, 3),
            opacity.view(self.shape),
            depth.view(self.shape),
            median.view(self.shape),
        )
