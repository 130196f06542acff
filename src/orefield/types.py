"""The words every other module uses.

Lengths are in *scene units*: the scene's box is the unit cube [0, 1]^3, and `Scene.to_world` leads
back to the coordinates of the files. Samples of all rays lie end to end on one axis, `samples`;
`spans[r] = (first, count)` finds the samples of ray r, in order along the ray. Positions are
feature-major, `[3, samples]`, because the CPU kernels read whole rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from orefield.errors import OrefieldError as OrefieldError
from orefield.errors import RunError as RunError
from orefield.errors import SceneError as SceneError


@dataclass(frozen=True)
class Rays:
    """A batch of rays `origin + t * direction`, with `direction` of length one."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]

    def __len__(self) -> int:
        return self.origins.shape[0]

    def __getitem__(self, part: slice) -> "Rays":
        return Rays(self.origins[part], self.directions[part])

    def detached(self) -> "Rays":
        """These rays without a graph."""
        return Rays(self.origins.detach(), self.directions.detach())

    def to(self, device: torch.device) -> "Rays":
        """These rays on another device."""
        return Rays(self.origins.to(device), self.directions.to(device))


@dataclass(frozen=True)
class PackedSamples:
    """Where to look: samples of all rays end to end, each the middle of an interval `dt`."""

    positions: Float[Tensor, "3 samples"]
    """Sample positions in the unit cube."""
    t: Float[Tensor, " samples"]
    """Distance from the ray's origin to the sample."""
    dt: Float[Tensor, " samples"]
    """Length of the sample's interval."""
    ray: Int[Tensor, " samples"]
    """Which ray a sample belongs to."""
    spans: Int[Tensor, "rays 2"]
    """First sample and number of samples of each ray."""

    def __len__(self) -> int:
        return self.t.shape[0]


def some(samples: PackedSamples, index: Int[Tensor, " chosen"]) -> PackedSamples:
    """Chosen samples, in the order of `index`; the spans are still those of all."""
    return PackedSamples(
        samples.positions.index_select(1, index),
        samples.t[index],
        samples.dt[index],
        samples.ray[index],
        samples.spans,
    )


Density = Callable[[Float[Tensor, "3 points"]], Float[Tensor, " points"]]
"""Density per scene unit at positions in the unit cube, evaluated without a graph."""


@runtime_checkable
class Field(Protocol):
    """What is there: raw colour and density at positions, seen along directions."""

    def directions(self, directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays code"]:
        """Encode unit directions once per ray."""
        ...

    def encode(self, positions: Float[Tensor, "3 samples"]) -> Float[Tensor, "features samples"]:
        """Features of positions, without those of directions: the first stage of `__call__`."""
        ...

    def shape(self, features: Float[Tensor, "features samples"]) -> Float[Tensor, "samples code"]:
        """From `encode`'s features: the log density, then whatever `shade` needs."""
        ...

    def shade(
        self,
        shape: Float[Tensor, "samples code"],
        codes: Float[Tensor, "rays directions"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Colour logits from what `shape` returned and what `directions` made of the rays."""
        ...

    def __call__(
        self,
        positions: Float[Tensor, "3 samples"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs before activation: (log density, red, green, blue logits)."""
        ...

    def learn(
        self,
        positions: Float[Tensor, "3 samples"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
        grad: Float[Tensor, "samples 4"],
        features: Float[Tensor, "features samples"] | None = None,
        at_positions: bool = False,
    ) -> Float[Tensor, "3 samples"] | None:
        """Add to every parameter's `.grad` what `(self(...) * grad).sum().backward()` would.

        `features` are those `encode` gave for these positions and the present parameters. Returns
        the gradient at the positions where `at_positions` asks for it.
        """
        ...

    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density alone, without a graph."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Decides where along each ray to look."""

    def __call__(self, rays: Rays, generator: torch.Generator | None) -> PackedSamples:
        """Every sample of a batch of rays; bin centres when no generator is given."""
        ...

    def piece(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """At most `limit` samples per ray from number `first`, and where each ray goes on."""
        ...

    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Learn from the field where matter is."""
        ...

    def learn(self, samples: PackedSamples, weights: Float[Tensor, " samples"]) -> None:
        """Add to the `.grad` of `parameters()`, given the field's weights of this batch's samples.

        `samples` are what the last call returned. A sampler without parameters does nothing.
        """
        ...

    def parameters(self) -> list[torch.nn.Parameter]:
        """What an optimiser moves; empty where the sampler learns otherwise."""
        ...
