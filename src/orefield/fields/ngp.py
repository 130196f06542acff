"""The Instant-NGP field (Müller et al. 2022, section 5.4): hash grid, density MLP, colour MLP.

    features = hash grid(position)                        [2 levels]
    out = W2 relu(W1 features)                            [16], out[0] is the log density
    rgb = V3 relu(V2 relu(V1 [out, harmonics(direction)]))
Matrix products run in bf16 where asked for; master weights, the density's last layer and its output
stay fp32, because an error in the log density is a relative error of the density.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from orefield.fields.directions import spherical_harmonics
from orefield.ops.composite import LARGEST_LOG_DENSITY
from orefield.ops.hash_grid import GridLayout, hash_grid

_CODE = 16
_ROWS = 2048
"""Batches are padded to a multiple of this, larger ones to coarser multiples."""


class NgpField(nn.Module):
    """Hash grid and two small MLPs; implements `types.Field`."""

    sink: Float[Tensor, "rows 2"] | None = None
    """Where the table's gradient accumulates; None leaves it to autograd (see `hash_grid`)."""

    def __init__(
        self, layout: GridLayout, width: int, dtype: torch.dtype, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.layout, self.dtype = layout, dtype

        def weights(rows: int, columns: int) -> nn.Parameter:
            bound = (6 / (rows + columns)) ** 0.5  # Glorot and Bengio 2010, equation 16
            return nn.Parameter((torch.rand(rows, columns, generator=generator) * 2 - 1) * bound)

        self.table = nn.Parameter((torch.rand(layout.rows, 2, generator=generator) * 2 - 1) * 1e-4)
        self.density1, self.density2 = weights(width, layout.features), weights(_CODE, width)
        self.colour1, self.colour2 = weights(width, 2 * _CODE), weights(width, width)
        self.colour3 = weights(3, width)

    def directions(self, directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays code"]:
        """Spherical harmonics, 16 per ray."""
        return spherical_harmonics(directions).to(self.dtype)

    def encode(self, positions: Float[Tensor, "3 samples"]) -> Float[Tensor, "features samples"]:
        """Hash-grid features, which `forward` takes back as `known`."""
        return hash_grid(self.table, positions, self.layout, self.dtype)

    def forward(
        self,
        positions: Float[Tensor, "3 samples"],
        codes: Float[Tensor, "rays code"],
        ray: Int[Tensor, " samples"],
        known: Float[Tensor, "features samples"] | None = None,
    ) -> Float[Tensor, "samples 4"]:
        """Raw outputs (log density, three colour logits), fp32."""
        features = hash_grid(self.table, positions, self.layout, self.dtype, self.sink, known)
        shape = self._shape(features)
        return torch.cat([shape[:, :1], self._shade(shape, codes, ray)], 1)[: len(ray)]

    def shape(self, features: Float[Tensor, "features samples"]) -> Float[Tensor, "samples code"]:
        """Log density and 15 numbers for `shade`, fp32."""
        return self._shape(features)[: features.shape[1]]

    def shade(
        self,
        shape: Float[Tensor, "samples code"],
        codes: Float[Tensor, "rays directions"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 3"]:
        """Colour logits, fp32."""
        return self._shade(padded(shape.T).T, codes, ray)[: len(ray)]

    @torch.no_grad()
    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        """Density per scene unit."""
        log = self._hidden(self.encode(positions)).float() @ self.density2[0]
        return log[: positions.shape[1]].clamp_(max=LARGEST_LOG_DENSITY).exp_()

    def _shape(self, features: Tensor) -> Tensor:
        return linear(self._hidden(features).float(), self.density2)

    def _shade(self, shape: Tensor, codes: Tensor, ray: Tensor) -> Tensor:
        x = torch.cat([shape.to(self.dtype), codes.index_select(0, padded(ray))], 1)
        x = linear(x, self.colour1.to(self.dtype)).relu_()
        x = linear(x, self.colour2.to(self.dtype)).relu_()
        return linear(x, self.colour3.to(self.dtype)).float()

    def _hidden(self, features: Tensor) -> Tensor:
        return linear(padded(features).T, self.density1.to(self.dtype)).relu_()


def padded(x: Tensor) -> Tensor:
    """x with zeros along its last axis, so that few lengths occur: at most 16 between n and 2 n.

    oneDNN builds a kernel for every new shape of a matrix product. While the number of samples
    changed with each step, that took longer than the products themselves.
    """
    samples = x.shape[-1]
    multiple = max(_ROWS, 2 ** (samples.bit_length() - 1) // 16)
    return pad(x, (0, -samples % multiple))
