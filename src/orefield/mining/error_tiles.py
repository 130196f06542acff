"""Which pixels to train on: more where the rendering error is large.

The photographs are cut into small tiles. Each has a running mean of the squared errors of the rays
drawn from it, and is drawn with a probability that is a power of that plus a floor that all tiles
share. Rays are not weighted: the hard ones are meant to count for more.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

POWER = 0.5
"""A tile is drawn in proportion to its mean squared error to this power,"""
FLOOR = 0.25
"""plus this share of that power's mean."""
EVERY = 16
"""Steps between two updates of the probabilities."""
_BLEND = 0.5
"""Share of the new errors in a tile's running mean."""


class ErrorTiles(nn.Module):
    """Running errors of the tiles; nothing here makes the host wait for the device."""

    cdf: Tensor
    errors: Tensor
    known: Tensor
    sums: Tensor
    counts: Tensor

    def __init__(self, tiles: int) -> None:
        """Every tile is as likely as another until errors are known."""
        super().__init__()
        self.register_buffer("cdf", torch.arange(1, tiles + 1, dtype=torch.float64) / tiles)
        for name in ("errors", "known", "sums", "counts"):
            self.register_buffer(name, torch.zeros(tiles))

    def draw(self, n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Indices of n tiles, drawn with replacement."""
        u = torch.rand(n, generator=generator, device=self.cdf.device, dtype=torch.float64)
        return torch.searchsorted(self.cdf, u).clamp(max=len(self.cdf) - 1)

    def record(self, tile: Int[Tensor, " rays"], error: Float[Tensor, " rays"]) -> None:
        """Add squared errors of rays from these tiles; those that are not finite are left out."""
        fine = torch.isfinite(error)
        self.sums.index_add_(0, tile, torch.where(fine, error, 0.0))
        self.counts.index_add_(0, tile, fine.to(self.counts.dtype))

    def update(self, step: int) -> None:
        """Call after each step, counted from 0: updates the probabilities every `EVERY` steps."""
        if (step + 1) % EVERY == 0:
            self.update_probabilities()

    def update_probabilities(self) -> None:
        """Take the recorded errors into the running means, and draw by those from now on.

        Errors 0 and 0.04: square roots 0 and 0.2, floor 0.25 x 0.1, probabilities 0.1 and 0.9.
        """
        recorded = self.counts > 0
        mean = self.sums.sum() / self.counts.sum().clamp(min=1)
        new = self.sums / self.counts.clamp(min=1)
        old = torch.where(self.known > 0, self.errors, torch.where(recorded, new, mean))
        self.errors.copy_(torch.where(recorded, old + _BLEND * (new - old), old))
        self.known.copy_(torch.maximum(self.known, recorded.float()))
        self.sums.zero_()
        self.counts.zero_()
        wanted = self.errors**POWER
        # Where all errors are zero, all tiles are alike.
        probabilities = (wanted + FLOOR * wanted.mean() + 1e-12).double().cumsum(0)
        self.cdf.copy_(probabilities / probabilities[-1])
