"""A trained field in the units of its scene: density and color at points, and the way to files.

A field is defined on the unit cube, which is the scene's box, the contracted whole of space, or a
frustum (`Frustum`); here points are given in scene units, whose box is the unit cube.
"""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.file_units import points_to_files, points_to_scene
from orefield.ops.contraction import contract
from orefield.ops.frustum import Frustum
from orefield.samplers import OccupancySampler
from orefield.system.devices import device_of
from orefield.types import RadianceField, Sampler

_CHUNK = 2**18
"""Points evaluated at once."""


@runtime_checkable
class DenseField(RadianceField, Protocol):
    """What exporting asks of a field."""

    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """As `Field.density`."""
        ...


@dataclass(frozen=True)
class FieldInSpace:
    """A field with its sampler, which knows where nothing is rendered, and where both lie."""

    field: DenseField
    sampler: Sampler
    to_world: Float[Tensor, "4 4"]
    """Scene units to the coordinates of the files, float64: a scale and a shift."""
    background_extent: int = 1
    frustum: Frustum | None = None

    @property
    def scale(self) -> float:
        """Side of the scene's box in the units of the files."""
        return float(self.to_world[0, 0])

    def to_files(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Scene units to the coordinates of the files, float64."""
        return points_to_files(points, self.to_world)

    def from_files(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """The inverse of `to_files`, float64."""
        return points_to_scene(points, self.to_world)

    @torch.no_grad()
    def density(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density at points in scene units, on the CPU: 0 where no sample is ever taken.

        Per scene unit; in a frustum per length of its cube.
        """
        device, found = device_of(self.field), []
        for part in points.split(_CHUNK, 1):
            density = self.field.density(self._in_cube(part).to(device)).cpu()
            density[~self._sampled(part)] = 0.0
            found.append(density)
        return torch.cat(found) if found else points.new_zeros(0)

    @torch.no_grad()
    def color(
        self, points: Float[Tensor, "3 points"], directions: Float[Tensor, "3 points"]
    ) -> Float[Tensor, "points 3"]:
        """RGB in [0, 1] at points, seen along unit directions, on the CPU."""
        device, found = device_of(self.field), []
        for part, seen in zip(points.split(_CHUNK, 1), directions.split(_CHUNK, 1), strict=True):
            encoded = self.field.encode_directions(seen.T.contiguous().to(device))
            ray = torch.arange(part.shape[1], dtype=torch.int32, device=device)
            raw = self.field(self._in_cube(part).to(device), encoded, ray)
            found.append(raw[:, 1:].sigmoid().cpu())
        return torch.cat(found) if found else points.new_zeros(0, 3)

    def _in_cube(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        if self.frustum is not None:
            return self.frustum.to_cube(points)
        return contract(points) if self.background_extent > 1 else points.clamp(0, 1)

    def _sampled(self, points: Float[Tensor, "3 points"]) -> Tensor:
        """Which points the sampler may ever look at."""
        inside = points if self.frustum is None else self.frustum.to_cube(points)
        half = self.background_extent / 2
        within = ((inside - 0.5).abs() <= half).all(0)
        if isinstance(self.sampler, OccupancySampler):
            within &= self.sampler.is_occupied(inside.to(device_of(self.field))).cpu()
        return within
