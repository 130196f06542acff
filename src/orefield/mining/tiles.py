"""Which rays to train on: more where the photographs are still rendered badly.

The photographs are cut into small tiles. Each remembers the error of the rays drawn from it, and is
drawn in proportion to a power of that, on top of a share that every tile has. Rays are not
weighted: the hard ones are meant to count for more.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

POWER = 0.5
"""A tile is drawn in proportion to its mean squared error to this power,"""
FLOOR = 0.25
"""plus this share of that power's mean."""
EVERY = 16
"""Batches between two updates of the tiles' chances."""
_BLEND = 0.5
"""Share of the new errors in a tile's running mean."""


class TileErrors:
    """Running errors of the tiles; nothing here makes the host wait for the device."""

    def __init__(self, tiles: int, device: torch.device | str = "cpu") -> None:
        """Every tile is as likely as another until errors are known."""
        even = torch.arange(1, tiles + 1, dtype=torch.float64, device=device) / tiles
        self.cdf = even
        self.errors, self.known, self.sums, self.counts = torch.zeros(4, tiles, device=device)
        self.batches = torch.zeros((), dtype=torch.int64)

    def draw(self, n: int, generator: torch.Generator) -> Int[Tensor, " n"]:
        """Numbers of n tiles, with replacement."""
        u = torch.rand(n, generator=generator, device=self.cdf.device, dtype=torch.float64)
        return torch.searchsorted(self.cdf, u).clamp(max=len(self.cdf) - 1)

    def note(self, tile: Int[Tensor, " rays"], error: Float[Tensor, " rays"]) -> None:
        """Squared errors of rays from these tiles; those that are not numbers are not noted."""
        fine = torch.isfinite(error)
        self.sums.index_add_(0, tile, torch.where(fine, error, 0.0))
        self.counts.index_add_(0, tile, fine.to(self.counts.dtype))

    def settle(self) -> None:
        """Call after each batch: now and then what was noted changes the tiles' chances."""
        self.batches += 1
        if self.batches % EVERY:
            return
        seen = self.counts > 0
        mean = self.sums.sum() / self.counts.sum().clamp(min=1)
        new = self.sums / self.counts.clamp(min=1)
        old = torch.where(self.known > 0, self.errors, torch.where(seen, new, mean))
        self.errors.copy_(torch.where(seen, old + _BLEND * (new - old), old))
        self.known.copy_(torch.maximum(self.known, seen.float()))
        self.sums.zero_()
        self.counts.zero_()
        wanted = self.errors**POWER
        # Where nothing is wrong anywhere, all are alike.
        chances = (wanted + FLOOR * wanted.mean() + 1e-12).double().cumsum(0)
        self.cdf.copy_(chances / chances[-1])

    def state(self) -> dict[str, Tensor]:
        """Every tensor, by name; `restore` copies them back."""
        names = "cdf", "errors", "known", "sums", "counts", "batches"
        return {name: getattr(self, name) for name in names}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a saved state; raises KeyError or RuntimeError where it does not fit."""
        for name, own in self.state().items():
            own.copy_(tensors[name])
