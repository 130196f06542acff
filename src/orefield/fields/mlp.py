"""The original NeRF: a sine encoding and eight wide layers.

Mildenhall et al. 2020, arXiv 2003.08934. Slow, and made of plain torch throughout. As a field it
differs from the paper in one point: the raw density is its logarithm, as in every field here, where
the paper rectifies.
"""

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from orefield.fields.encodings import frequency_encoding

POSITION_OCTAVES = 10
DIRECTION_OCTAVES = 4
LAYERS = 8
SKIP = 5
"""The encoded position joins the activations of this many layers: those of the fifth."""


def nerf_layers(width: int) -> list[tuple[int, int]]:
    """Inputs and outputs of the layers whose products may be in bf16, each pair once."""
    position, direction = 3 + 6 * POSITION_OCTAVES, 3 + 6 * DIRECTION_OCTAVES
    trunk = [(position, width), (width, width), (width + position, width)]
    return [*trunk, (width + direction, width // 2), (width // 2, 3)]


class MlpField(nn.Module):
    """Raw color and density from an MLP; see `types.Field`."""

    def __init__(
        self, width: int, precision: Literal["fp32", "bf16"], generator: torch.Generator
    ) -> None:
        """Hidden layers of `width`, the color's half as wide.

        `bf16` multiplies matrices in bfloat16; the weights, the encoding and the density output
        stay in float32. The initial weights are a function of the generator's state alone.
        """
        super().__init__()
        self.precision = precision
        position, direction = 3 + 6 * POSITION_OCTAVES, 3 + 6 * DIRECTION_OCTAVES
        sizes = [position] + [width] * (LAYERS - 1)
        sizes[SKIP] += position
        self.trunk = nn.ModuleList(_linear(size, width, generator) for size in sizes)
        self.log_density = _linear(width, 1, generator)
        self.feature = _linear(width, width, generator)
        self.color_hidden = _linear(width + direction, width // 2, generator)
        self.color = _linear(width // 2, 3, generator)

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        """Encode unit directions once per ray."""
        return frequency_encoding(directions, DIRECTION_OCTAVES)

    def encode_positions(
        self, positions: Float[Tensor, "3 samples"]
    ) -> Float[Tensor, "features samples"]:
        """The sine encoding of positions."""
        return frequency_encoding(2 * positions.T - 1, POSITION_OCTAVES).T

    def forward(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs (log density, red, green, blue logits) at positions in the unit cube."""
        geometry = self.density_and_geometry(self.encode_positions(positions))
        return torch.cat(
            [geometry[:, :1], self.color_logits(geometry, encoded_directions, ray)], dim=1
        )

    def density_and_geometry(
        self, features: Float[Tensor, "features samples"]
    ) -> Float[Tensor, "samples geometry"]:
        """Log density and the last hidden activations, for `color_logits`."""
        h = self._activations(features)
        s = self._log_density(h)
        return torch.cat([s, h.to(s.dtype)], dim=1)

    def color_logits(
        self,
        geometry: Float[Tensor, "samples geometry"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Color logits."""
        with self._autocast(geometry):
            feature = self.feature(geometry[:, 1:])
            encoded = encoded_directions[ray].to(feature.dtype)
            hidden = F.relu(self.color_hidden(torch.cat([feature, encoded], dim=1)))
            color: Tensor = self.color(hidden)
        return color.to(geometry.dtype)

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

        Returns the gradient at the positions if `at_positions`.
        """
        if at_positions:
            positions, features = positions.detach().requires_grad_(), None
        with torch.enable_grad():
            geometry = self.density_and_geometry(
                self.encode_positions(positions) if features is None else features
            )
            raw = torch.cat(
                [geometry[:, :1], self.color_logits(geometry, encoded_directions, ray)], dim=1
            )
        raw.backward(grad)
        return positions.grad if at_positions else None

    @torch.no_grad()
    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density per scene unit, without a graph."""
        return (
            self._log_density(self._activations(self.encode_positions(positions))).squeeze(1).exp()
        )

    def _activations(
        self, features: Float[Tensor, "features samples"]
    ) -> Float[Tensor, "samples width"]:
        encoded = features.T
        with self._autocast(encoded):
            if self.precision == "bf16":
                encoded = encoded.bfloat16()
            h = encoded
            for depth, layer in enumerate(self.trunk):
                if depth == SKIP:
                    h = torch.cat([encoded, h], dim=1)
                h = F.relu(layer(h))
        return h

    def _log_density(self, h: Float[Tensor, "samples width"]) -> Float[Tensor, "samples 1"]:
        # A bfloat16 error of 2^-9 |s| in s = log sigma would be a relative error of the density.
        with torch.autocast(h.device.type, enabled=False):
            s: Tensor = self.log_density(h.to(self.log_density.weight.dtype))
        return s

    def _autocast(self, x: Tensor) -> torch.autocast:
        # Without the cache: it would hand weights cast under no_grad to a later pass that needs
        # their gradient.
        on = self.precision == "bf16"
        return torch.autocast(x.device.type, torch.bfloat16, enabled=on, cache_enabled=False)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A layer with Glorot's weights and zero offsets, as in the paper's code."""
    # skip_init: the usual start would draw from the global generator.
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, inputs, outputs)
    nn.init.xavier_uniform_(layer.weight, generator=generator)
    nn.init.zeros_(layer.bias)
    return layer
