"""The words every other module uses.

Lengths are in *scene units*: the scene's box is the unit cube [0, 1]^3, and `Scene.to_world` leads
back to the coordinates of the files. Samples of all rays lie end to end on one axis, `samples`;
`spans[r] = (first, count)` finds the samples of ray r, in order along the ray. Positions are
feature-major, `[3, samples]`, because the CPU kernels read whole rows.

Two rays, the first with two samples and the second with one, are

    t = [1.0, 1.5, 2.0]    dt = [0.5, 0.5, 0.5]    ray = [0, 0, 1]    spans = [[0, 2], [2, 1]]
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

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

    def __getitem__(self, part: slice | Tensor) -> "Rays":
        return Rays(self.origins[part], self.directions[part])

    def detached(self) -> "Rays":
        """These rays without a graph."""
        return Rays(self.origins.detach(), self.directions.detach())

    def to(self, device: torch.device) -> "Rays":
        """These rays on another device."""
        return Rays(self.origins.to(device), self.directions.to(device))


@dataclass(frozen=True)
class CubeRays:
    """Rays as lines in the cube that is sampled, and the way back to distances in the scene.

    In a box they are the rays themselves. In a frustum (ops/frustum.py) other lines: with share =
    s / length, a distance s along a line is the distance start + pace * share / (1 - share) along
    its ray.
    """

    lines: Rays
    """Origins and unit directions in the cube."""
    start: Float[Tensor, " rays"] | None = None
    """Distance along the ray, in scene units, at which its line begins; None in a box."""
    pace: Float[Tensor, " rays"] | None = None
    """Distance in the scene, from there, of the point halfway to infinity in the cube."""
    length: Float[Tensor, " rays"] | None = None
    """Distance in the cube from the line's origin to the ray's vanishing point."""

    def to_scene(self, s: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        """Distances along the rays, in scene units, of distances along the lines, one each."""
        if self.start is None or self.pace is None or self.length is None:
            return s
        share = (s / self.length).clamp(max=1 - 1e-6)
        return self.start + self.pace * share / (1 - share)

    def from_scene(self, t: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        """The inverse of `to_scene`; 0 for distances before the line begins."""
        if self.start is None or self.pace is None or self.length is None:
            return t
        ahead = ((t - self.start) / self.pace).clamp(min=0)
        return self.length * ahead / (1 + ahead)


@dataclass(frozen=True)
class PackedSamples:
    """Samples of all rays end to end, each the middle of an interval of length `dt`."""

    positions: Float[Tensor, "3 samples"]
    """Sample positions in the unit cube."""
    t: Float[Tensor, " samples"]
    """Distance from the ray's origin to the sample; in a frustum from the origin of its line in the
    cube, along that (`CubeRays`)."""
    dt: Float[Tensor, " samples"]
    """Length of the sample's interval, in the units of `t`."""
    ray: Int[Tensor, " samples"]
    """Which ray a sample belongs to."""
    spans: Int[Tensor, "rays 2"]
    """First sample and number of samples of each ray."""

    def __len__(self) -> int:
        return self.t.shape[0]

    def gather(self, index: Int[Tensor, " chosen"]) -> "PackedSamples":
        """The samples at `index`, in its order; the spans are still those of all."""
        return PackedSamples(
            self.positions.index_select(1, index),
            self.t[index],
            self.dt[index],
            self.ray[index],
            self.spans,
        )


Density = Callable[[Float[Tensor, "3 points"]], Float[Tensor, " points"]]
"""Density per scene unit, in a frustum per length of its cube, at positions in the unit cube.

Evaluated without a graph."""


@runtime_checkable
class RadianceField(Protocol):
    """What rendering asks of a field: `Field` has more, a cropped field has no more than this."""

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        """Encode unit directions, once per ray."""
        ...

    def __call__(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs before activation: (log density, red, green, blue logits)."""
        ...


@runtime_checkable
class Field(RadianceField, Protocol):
    """Raw color and density at positions, seen along directions: a `torch.nn.Module`."""

    def encode_positions(
        self, positions: Float[Tensor, "3 samples"]
    ) -> Float[Tensor, "features samples"]:
        """Features of positions in the unit cube: the first stage of `__call__`."""
        ...

    def density_and_geometry(
        self, features: Float[Tensor, "features samples"]
    ) -> Float[Tensor, "samples geometry"]:
        """From `encode_positions`: the log density, then what `color_logits` needs of a place."""
        ...

    def color_logits(
        self,
        geometry: Float[Tensor, "samples geometry"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Color logits from `density_and_geometry`'s output and the directions of the rays."""
        ...

    def accumulate_grad(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
        grad: Float[Tensor, "samples 4"],
        features: Float[Tensor, "features samples"] | None = None,
        at_positions: bool = False,
    ) -> Float[Tensor, "3 samples"] | None:
        """Add to every parameter's `.grad` what `(self(...) * grad).sum().backward()` would.

        `features` are what `encode_positions` gave for these positions and the present parameters.
        Returns the gradient at the positions where `at_positions` asks for it.
        """
        ...

    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density alone, without a graph."""
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """What the optimizer moves."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Every tensor of the field by its name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """The inverse of `state_dict`."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Decides where along each ray the field is evaluated: a `torch.nn.Module`."""

    def __call__(
        self, rays: Rays, generator: torch.Generator | None, training: bool = False
    ) -> PackedSamples:
        """Every sample of a batch of rays; bin centers when no generator is given.

        `training` announces that `accumulate_grad` follows for these samples.
        """
        ...

    def cube_rays(self, rays: Rays) -> CubeRays:
        """The rays as lines in the cube, along which samples lie."""
        ...

    def sample_chunk(
        self,
        rays: Rays,
        first: Int[Tensor, " rays"],
        limit: int = 2**15 - 1,
        jitter: Float[Tensor, " rays"] | None = None,
    ) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
        """At most `limit` samples per ray from number `first`, and where each ray goes on."""
        ...

    def update(self, step: int, density: Density, generator: torch.Generator) -> None:
        """Take note of the training step, and of where the field is dense when that is due."""
        ...

    def accumulate_grad(
        self, samples: PackedSamples, weights: Float[Tensor, " samples"]
    ) -> Float[Tensor, ""] | None:
        """Add to the `.grad` of `parameters()`, given the field's weights of the last samples.

        `samples` are what the last call with `training` returned. Returns the loss, None from a
        sampler without parameters or in a step in which it learns nothing.
        """
        ...

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """What the optimizer moves; none where the sampler learns otherwise."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """Every tensor of the sampler by its name."""
        ...

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:
        """The inverse of `state_dict`."""
        ...
