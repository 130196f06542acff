"""A field of which only a box is seen."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.ops.contraction import uncontract
from orefield.ops.frustum import Frustum
from orefield.types import Field

_NOTHING = -1e4
"""Log density outside."""


class CroppedField(nn.Module):
    """A field whose density is zero outside of a box; for rendering alone."""

    def __init__(
        self,
        field: Field,
        low: Float[Tensor, " 3"],
        high: Float[Tensor, " 3"],
        background_extent: int = 1,
        frustum: Frustum | None = None,
    ) -> None:
        """`low` and `high`: corners in scene units; where the field lies, as a scene has it."""
        super().__init__()
        self.field, self.background_extent, self.frustum = field, background_extent, frustum
        self.low, self.high = low, high

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        """As the field does."""
        return self.field.encode_directions(directions)

    def forward(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs as the field's, with no density outside."""
        raw = self.field(positions, encoded_directions, ray)
        low, high = self.low.to(positions)[:, None], self.high.to(positions)[:, None]
        points = positions
        if self.frustum is not None:
            points = self.frustum.to(positions.device).to_scene(positions.clamp(max=1 - 1e-6))
        elif self.background_extent > 1:
            points = uncontract(positions)
        outside = ((points < low) | (points > high)).any(0)
        return torch.cat([raw[:, :1].masked_fill(outside[:, None], _NOTHING), raw[:, 1:]], 1)
