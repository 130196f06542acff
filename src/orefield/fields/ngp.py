"""The Instant-NGP field (Müller et al. 2022, section 5.4): hash grid, density MLP, color MLP.

    features = hash grid(position)                                  [32]
    geometry = W2 relu(W1 features) + (log init_density, 0, ...)    [16], [0] the log density
    logits = V3 relu(V2 relu(V1 [geometry, harmonics(direction)]))  [3]
With `dtype` bf16 matrix products run in bf16; master weights, the density's last layer and its
output stay fp32, because an error in the log density is a relative error of the density. The field
starts with a nearly constant density, `init_density`.

A call works under autograd. Training does without: `accumulate_grad` propagates gradients at the
outputs back by hand (ops/mlp.py).
"""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.fields.encodings import spherical_harmonics
from orefield.ops.density_network import DensityNet, density_network
from orefield.ops.hash_grid import GridLayout, hash_grid, hash_grid_backward
from orefield.ops.hash_grid_positions import hash_grid_positions_backward
from orefield.ops.mlp import (
    GEOMETRY,
    Layers,
    color_definition,
    color_mlp,
    density_definition,
    density_mlp,
    mlp_backward,
)
from orefield.ops.sparse_adam import half_copy
from orefield.ops.volume_rendering import MAX_LOG_DENSITY


def ngp_layers(features: int, width: int) -> list[tuple[int, int]]:
    """Inputs and outputs of the layers whose products may be in bf16."""
    return [(features, width), (2 * GEOMETRY, width), (width, width), (width, 3)]


class NgpField(nn.Module):
    """Hash grid and two small MLPs; implements `types.Field`."""

    def __init__(
        self,
        layout: GridLayout,
        width: int,
        dtype: torch.dtype,
        generator: torch.Generator,
        init_density: float = 1.0,
    ) -> None:
        """`init_density`: the density, per scene unit, that the field starts with."""
        super().__init__()
        self.layout, self.dtype, self.log_init_density = layout, dtype, math.log(init_density)

        def weights(rows: int, columns: int) -> nn.Parameter:
            bound = (6 / (rows + columns)) ** 0.5  # Glorot and Bengio 2010, equation 16
            return nn.Parameter((torch.rand(rows, columns, generator=generator) * 2 - 1) * bound)

        self.table_half: Tensor | None = None
        """A copy of the table in fp16 that is read instead, where there is one; its optimizer keeps
        it up to date. Not part of the field's state."""
        self.table = nn.Parameter((torch.rand(layout.shape, generator=generator) * 2 - 1) * 1e-4)
        self.density1, self.density2 = weights(width, layout.features), weights(GEOMETRY, width)
        self.color1, self.color2 = weights(width, 2 * GEOMETRY), weights(width, width)
        self.color3 = weights(3, width)

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        """Spherical harmonics, 16 per ray."""
        return spherical_harmonics(directions)

    def encode_positions(
        self, positions: Float[Tensor, "3 samples"]
    ) -> Float[Tensor, "features samples"]:
        """Hash-grid features."""
        return hash_grid(self.table, positions, self.layout, self.dtype, self.table_half)

    @property
    def density_net(self) -> DensityNet:
        """Hash grid and density MLP, for the ops."""
        w1, w2 = self.density1, self.density2
        return DensityNet(self.table, self.layout, w1, w2, self.log_init_density)

    @torch.no_grad()
    def copy_in_half(self) -> None:
        """Make, or renew, the fp16 copy; what fp16 cannot hold becomes its largest number."""
        self.table_half = half_copy(self.table)

    def forward(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs (log density, three color logits), fp32."""
        geometry = self.density_and_geometry(self.encode_positions(positions))
        return torch.cat([geometry[:, :1], self.color_logits(geometry, encoded_directions, ray)], 1)

    def density_and_geometry(
        self, features: Float[Tensor, "features samples"]
    ) -> Float[Tensor, "samples geometry"]:
        """Log density and 15 numbers for `color_logits`, fp32."""
        inputs = features, self.layers, self.log_init_density, self.dtype
        return density_definition(*inputs) if torch.is_grad_enabled() else density_mlp(*inputs)

    def color_logits(
        self,
        geometry: Float[Tensor, "samples geometry"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Color logits, fp32."""
        inputs = geometry, encoded_directions, ray, self.layers, self.dtype
        return color_definition(*inputs) if torch.is_grad_enabled() else color_mlp(*inputs)

    @torch.no_grad()
    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density per scene unit."""
        if positions.device.type == "cpu":
            net = self.density_net
            log = density_network(positions, net._replace(out=net.out[:1]))[:, 0]
        else:
            log = self.density_and_geometry(self.encode_positions(positions))[:, 0]
        return log.clamp(max=MAX_LOG_DENSITY).exp_()

    @torch.no_grad()
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
        features = self.encode_positions(positions) if features is None else features
        for parameter in self.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        layers, start = self.layers, self.log_init_density
        at_layers, at_features = mlp_backward(
            features, encoded_directions, ray, grad, layers, start, self.dtype
        )
        for weights, found in zip(layers, at_layers, strict=True):
            assert weights.grad is not None
            weights.grad += found
        assert self.table.grad is not None
        hash_grid_backward(at_features, positions, self.layout, self.table.grad)
        if not at_positions:
            return None
        return hash_grid_positions_backward(at_features, self.table, positions, self.layout)

    @property
    def layers(self) -> Layers:
        """The weights of both networks."""
        return Layers(self.density1, self.density2, self.color1, self.color2, self.color3)
