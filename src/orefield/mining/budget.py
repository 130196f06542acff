"""How many samples to keep: the paper's b = B / tau, with a slow running mean of tau."""

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor

from orefield.mining.hardness import imbalance


def initial_tau(device: torch.device | None = None) -> Float64[Tensor, ""]:
    """Where the running mean of tau starts: at 1, so that b sits on its upper clamp at first."""
    return torch.ones((), dtype=torch.float64, device=device)


def paper_budget(
    tau: Float64[Tensor, ""] | None,
    g: Float[Tensor, " samples"],
    min_budget: float,
    max_budget: float,
    number: Int[Tensor, ""] | None = None,
) -> tuple[Float64[Tensor, ""], Int[Tensor, ""]]:
    """The running tau after this batch, and the number b of samples to keep of its B.

    `tau <- 0.99 tau + 0.01 tau_new` when `tau_new > 1`; then `b = B / tau`, clamped to
    `[min_budget B, max_budget B]` and cut to a whole number, at least 1 (Korhonen et al. 2024).
    `None` has no memory: the batch's own tau is used. Nothing is read from the device.

        g = (3, 1, 0, ..., 0) of 16, tau = 3:   tau_new = 3.162, tau = 3.0016, b = 5
    """
    new = imbalance(g)
    if number is not None:  # g is a buffer whose first so many slots are samples
        new = (new * (number / len(g)).double().sqrt()).clamp(min=1)
    tau = new if tau is None else tau
    tau = torch.where(new > 1, 0.99 * tau + 0.01 * new, tau)
    share = (1 / tau).clamp(min_budget, max_budget)
    if number is not None:
        return tau, torch.minimum((share * number).long().clamp(min=1), number)
    return tau, (share * len(g)).long().clamp(min=1).clamp(max=len(g))


def whole_budget(share: float, samples: int) -> int:
    """A share of the samples as a whole number, at least 1 (0 of 0 samples)."""
    return min(samples, max(1, int(share * samples)))
