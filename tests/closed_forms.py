"""A field known in closed form: a ball, to tell what samplers and renderers should find."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass
class Ball:
    """Implements `types.Field`: of one density inside and none outside, colored by direction."""

    center: tuple[float, float, float] = (0.5, 0.5, 0.5)
    radius: float = 0.25
    sigma: float = 1000.0

    def directions(self, directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays code"]:
        return directions

    def encode(self, positions: Float[Tensor, "3 samples"]) -> Float[Tensor, "3 samples"]:
        return positions

    def __call__(
        self,
        positions: Float[Tensor, "3 samples"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        return torch.cat([self.density(positions).log()[:, None], codes[ray.long()]], 1)

    def shape(self, features: Float[Tensor, "3 samples"]) -> Float[Tensor, "samples 1"]:
        return self.density(features).log()[:, None]

    def shade(
        self,
        shape: Float[Tensor, "samples 1"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        return codes[ray.long()]

    def accumulate_grad(
        self,
        positions: Float[Tensor, "3 samples"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
        grad: Float[Tensor, "samples 4"],
        features: Float[Tensor, "3 samples"] | None = None,
    ) -> None:
        """A closed form has no parameters."""

    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        away = positions.T - torch.tensor(self.center)
        return self.sigma * (away.norm(dim=1) < self.radius).float()

    def crossing(
        self, origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
        """Distance at which each ray enters the ball, infinite where it misses, and path inside."""
        away = torch.tensor(self.center) - origins
        nearest = (away * directions).sum(1)
        half = (self.radius**2 - (away.square().sum(1) - nearest**2)).clamp(min=0).sqrt()
        return torch.where(half > 0, nearest - half, torch.inf), 2 * half
