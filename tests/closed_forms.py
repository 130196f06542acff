"""Known in closed form: a field that is a ball, and the inverse of the contraction."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor


def uncontract(contracted: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
    """The inverse of `ops.contraction.contract`, for positions in the open unit cube."""
    c = 4 * contracted - 2
    m = c.abs().amax(0).clamp(min=1)
    return (c / (m * (2 - m)) + 1) / 2


@dataclass
class Ball:
    """Implements `types.Field`: of one density inside and none outside, colored by direction."""

    center: tuple[float, float, float] = (0.5, 0.5, 0.5)
    radius: float = 0.25
    sigma: float = 1000.0

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        return directions

    def encode_positions(self, positions: Float[Tensor, "3 samples"]) -> Float[Tensor, "3 samples"]:
        return positions

    def __call__(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        log_density = self.density(positions).log()[:, None]
        return torch.cat([log_density, encoded_directions[ray.long()]], 1)

    def density_and_geometry(
        self, features: Float[Tensor, "3 samples"]
    ) -> Float[Tensor, "samples 1"]:
        return self.density(features).log()[:, None]

    def color_logits(
        self,
        geometry: Float[Tensor, "samples 1"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        return encoded_directions[ray.long()]

    def accumulate_grad(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
        grad: Float[Tensor, "samples 4"],
        features: Float[Tensor, "3 samples"] | None = None,
        at_positions: bool = False,
    ) -> None:
        """A closed form has no parameters."""

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        return iter(())

    def state_dict(self) -> dict[str, Any]:
        return {}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """A closed form has no state."""

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
