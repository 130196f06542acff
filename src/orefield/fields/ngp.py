"""The Instant-NGP field (Müller et al. 2022, section 5.4): hash grid, density MLP, color MLP.

    features = hash grid(position)                                  [32]
    geometry = W2 relu(W1 features) + (log init_density, 0, ...)    [16], [0] the log density
    logits = V3 relu(V2 relu(V1 [geometry, harmonics(direction)]))  [3]
With `dtype` bf16 matrix products run in bf16; master weights, the density's last layer and its
output stay fp32, because an error in the log density is a relative error of the density. The field
starts with a nearly constant density, `init_density`.

A call works under autograd. Training does without: `accumulate_grad` propagates gradients at the
outputs back by hand, block by block, so that on a CPU a block's activations never leave the cache
and no graph is held. For the same products that takes two thirds of autograd's time.
"""

import math
from collections.abc import Iterator

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from orefield.fields.encodings import spherical_harmonics
from orefield.ops.density_network import DensityNet, density_network
from orefield.ops.hash_grid import GridLayout, hash_grid, hash_grid_backward
from orefield.ops.hash_grid_positions import hash_grid_positions_backward
from orefield.ops.sparse_adam import half_copy
from orefield.ops.volume_rendering import MAX_LOG_DENSITY

_GEOMETRY = 16
"""Outputs of the density MLP; spherical harmonics of a direction are as many."""
_BLOCK = 4096
"""Samples whose activations fit the cache of a core."""
_ROWS = 512
"""In bf16, what is left over is padded to a multiple of this, so that few shapes occur: oneDNN
builds a kernel for every new one, which takes longer than the product."""
_relu_backward = torch.ops.aten.threshold_backward


def ngp_layers(features: int, width: int) -> list[tuple[int, int]]:
    """Inputs and outputs of the layers whose products may be in bf16."""
    return [(features, width), (2 * _GEOMETRY, width), (width, width), (width, 3)]


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
        self.density1, self.density2 = weights(width, layout.features), weights(_GEOMETRY, width)
        self.color1, self.color2 = weights(width, 2 * _GEOMETRY), weights(width, width)
        self.color3 = weights(3, width)

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        """Spherical harmonics, 16 per ray."""
        return spherical_harmonics(directions).to(self.dtype)

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

        def block(part: slice) -> Tensor:
            here = features[:, part]
            return linear(self._hidden(here).float(), self.density2)[: here.shape[1]]

        return self._add_init_density(torch.cat([block(part) for part in _blocks(features)]))

    def color_logits(
        self,
        geometry: Float[Tensor, "samples geometry"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Color logits, fp32."""

        def block(part: slice) -> Tensor:
            x = torch.cat(
                [geometry[part].to(self.dtype), encoded_directions.index_select(0, ray[part])], 1
            )
            x = linear(self._filled(x.T).T, self.color1.to(self.dtype)).relu_()
            x = linear(x, self.color2.to(self.dtype)).relu_()
            return linear(x, self.color3.to(self.dtype))[: len(geometry[part])].float()

        return torch.cat([block(part) for part in _blocks(ray)])

    @torch.no_grad()
    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density per scene unit."""
        if positions.device.type == "cpu":
            net = self.density_net
            found = density_network(positions, net._replace(out=net.out[:1]))[:, 0]
            return found.clamp_(max=MAX_LOG_DENSITY).exp_()
        features = self.encode_positions(positions)
        parts = [features[:, part] for part in _blocks(features)]
        log = [(self._hidden(x).float() @ self.density2[0])[: x.shape[1]] for x in parts]
        return torch.cat(log).add_(self.log_init_density).clamp_(max=MAX_LOG_DENSITY).exp_()

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
        weights = (self.density1, self.color1, self.color2, self.color3)
        w1, v1, v2, v3 = (w.to(self.dtype) for w in weights)
        back = torch.empty(len(ray), self.layout.features, dtype=self.dtype, device=ray.device)
        for part in _blocks(ray):
            n = len(ray[part])
            f, g = self._filled(features[:, part]).T, self._filled(grad[part].T).T
            hidden = linear(f, w1).relu_()
            geometry = self._add_init_density(linear(hidden.float(), self.density2))
            x = torch.cat(
                [
                    geometry.to(self.dtype),
                    encoded_directions.index_select(0, self._filled(ray[part])),
                ],
                1,
            )
            first = linear(x, v1).relu_()
            second = linear(first, v2).relu_()
            g3 = g[:, 1:].to(self.dtype)
            g2 = _relu_backward(g3 @ v3, second, 0)
            g1 = _relu_backward(g2 @ v2, first, 0)
            g_geometry = (g1 @ v1[:, :_GEOMETRY]).float()
            g_geometry[:, 0] += g[:, 0]
            g_hidden = _relu_backward((g_geometry @ self.density2).to(self.dtype), hidden, 0)
            back[part] = (g_hidden @ w1)[:n]
            _add(self.color3, g3, second)
            _add(self.color2, g2, first)
            _add(self.color1, g1, x)
            _add(self.density2, g_geometry, hidden.float())
            _add(self.density1, g_hidden, f)
        assert self.table.grad is not None
        hash_grid_backward(back.T, positions, self.layout, self.table.grad)
        if not at_positions:
            return None
        return hash_grid_positions_backward(back.T, self.table, positions, self.layout)

    def _add_init_density(self, geometry: Tensor) -> Tensor:
        geometry[:, 0] += self.log_init_density
        return geometry

    def _hidden(self, features: Tensor) -> Tensor:
        return linear(self._filled(features).T, self.density1.to(self.dtype)).relu_()

    def _filled(self, x: Tensor) -> Tensor:
        """x with zeros along its last axis, up to `_ROWS`; as it is without products in bf16."""
        return pad(x, (0, -x.shape[-1] % _ROWS)) if self.dtype == torch.bfloat16 else x


def _add(weights: nn.Parameter, grad: Tensor, inputs: Tensor) -> None:
    """Add the gradient of a layer's weights, given that at its outputs."""
    assert weights.grad is not None
    weights.grad += grad.T @ inputs


def _blocks(x: Tensor) -> Iterator[slice]:
    """The last axis of x in parts; on a GPU, in one."""
    samples = x.shape[-1]
    size = _BLOCK if x.device.type == "cpu" else max(samples, 1)
    for start in range(0, max(samples, 1), size):
        yield slice(start, min(start + size, samples))
