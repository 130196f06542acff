"""How many samples to keep: the paper's b = B / tau, with a slow running mean of tau."""

from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

from orefield.mining.hardness import imbalance


class Budget(NamedTuple):
    """What the budget remembers from step to step.

    `_asdict()` is JSON, and `Budget(**that)` goes on exactly.
    """

    tau: float = 1.0
    """Running mean of the batches' tau. Starts at 1, so that b sits on its upper clamp for the
    first steps."""


def paper_budget(
    budget: Budget | None, g: Float[Tensor, " samples"], smallest: float, largest: float
) -> tuple[Budget, int]:
    """Take the batch's tau into the running mean, and the number b of samples to keep of its B.

    `tau <- 0.99 tau + 0.01 tau_new` when `tau_new > 1`; then `b = B / tau`, clamped to `[smallest
    B, largest B]` and cut to a whole number, at least 1 (Korhonen et al. 2024). `None` has no
    memory: the batch's own tau is used.
    """
    new = imbalance(g)
    tau = new if budget is None else budget.tau
    if new > 1:
        tau = 0.99 * tau + 0.01 * new
    share = min(max(1 / tau, smallest), largest)
    return Budget(tau), whole_budget(share, len(g))


def whole_budget(share: float, samples: int) -> int:
    """A share of the samples as a whole number, at least 1 (0 of 0 samples)."""
    return min(samples, max(1, int(share * samples)))
