"""Which samples earn a backward pass: eight rules behind one function, `select`.

`g[i]` is the hardness of sample i (hardness.py), B the number of samples and b the budget
(budget.py). The rules that look at g never keep a sample of zero hardness: its gradient is zero
whatever is recomputed. So where nothing is hard nothing is kept, and where fewer than b samples
are, all of those are.

A hardness that is not finite (an overflow under a loss scale, a NaN of the model) is always kept
and otherwise counts as zero: the damage must reach the parameters' gradients, where a gradient
scaler sees it and skips the step.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from orefield.config import MiningConfig
from orefield.mining.budget import Budget, paper_budget, whole_budget


class Selection(NamedTuple):
    """The kept samples, in ascending order, and by how much to multiply each one's gradient."""

    kept: Int64[Tensor, " kept"]
    weight: Float[Tensor, " kept"] | None
    """`None` where every weight is one."""


def select(
    config: MiningConfig,
    g: Float[Tensor, " samples"],
    budget: Budget | None = None,
    generator: torch.Generator | None = None,
    visible: Bool[Tensor, " samples"] | None = None,
    of: int = 0,
) -> tuple[Selection, Budget | None]:
    """Choose the samples to back-propagate through, by the configured rule.

    `visible` marks the samples that light reaches (transmittance >= 1e-4), for the rule `pruned`;
    without it, those with a non-zero gradient are taken. Only `hsm`, and `topk`, `poisson` and
    `uniform` without a share of their own, use and return the running budget; the others hand it
    back as it came. The generator lives on g's device.
    """
    if config.rule == "plain" or len(g) == 0:
        return Selection(torch.arange(len(g), device=g.device), None), budget
    finite = torch.nan_to_num(g, nan=0.0, posinf=0.0)
    keep, p = finite > 0, None
    if config.rule == "pruned":
        keep = keep if visible is None else visible
    elif config.rule == "threshold":
        keep = threshold(finite, config.c, of)
    elif config.rule == "chance":
        p = chance(finite, config.sure, of)
        keep = _drawn(p, generator)
    else:
        budget, b = _budget(config, finite, budget)
        if config.rule == "hsm":
            keep = hsm(finite, b, generator)
        elif config.rule == "topk":
            keep = topk(finite, b)
        elif config.rule == "poisson":
            p = poisson_probability(finite, b)
            keep = _drawn(p, generator)
        else:
            keep = uniform(finite, b, generator)
    kept = (keep | (g != finite)).nonzero().squeeze(1)
    weight = None
    if p is not None and config.alpha > 0:
        weight = torch.where(g != finite, 1.0, p)[kept] ** -config.alpha
    elif config.rule == "uniform":
        weight = g.new_full(kept.shape, len(g) / b)
    return Selection(kept, weight), budget


def threshold(g: Float[Tensor, " samples"], c: float, of: int = 0) -> Bool[Tensor, " samples"]:
    """Harder than c times the mean; c = 0 keeps whatever has a gradient.

    The mean is over `of` samples where g lacks some that are not hard at all.
    """
    return g > c * (g.mean() * (len(g) / max(of, len(g))))


def chance(g: Float[Tensor, " samples"], sure: float, of: int = 0) -> Float[Tensor, " samples"]:
    """Each on its own with probability min(1, g / (sure mean)): a threshold that is drawn.

    Where all are alike it keeps 1 / sure of them, where few carry all of g hardly more than those.
    The mean is that of `threshold`.
    """
    limit = sure * (g.mean() * (len(g) / max(of, len(g))))
    return torch.where(g > 0, g / limit, 0.0).clamp(max=1.0)


def _drawn(
    p: Float[Tensor, " samples"], generator: torch.Generator | None
) -> Bool[Tensor, " samples"]:
    return torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p


def hsm(
    g: Float[Tensor, " samples"], b: int, generator: torch.Generator | None
) -> Bool[Tensor, " samples"]:
    """The paper's draw: b samples without replacement, each with probability proportional to g.

    Drawn as an exponential race (the b smallest of `E_i / g_i` with `E_i ~ Exp(1)`), which is what
    `torch.multinomial` does, at half its time and without its limit of 2^24 samples.
    """
    u = torch.rand(g.shape, generator=generator, device=g.device, dtype=g.dtype)
    return topk(g / u.log_().neg_(), b)


def topk(g: Float[Tensor, " samples"], b: int) -> Bool[Tensor, " samples"]:
    """The b hardest."""
    hardest = torch.topk(g, min(b, len(g)), sorted=False).indices
    return torch.zeros_like(g, dtype=torch.bool).index_fill_(0, hardest, True) & (g > 0)


def uniform(
    g: Float[Tensor, " samples"], b: int, generator: torch.Generator | None
) -> Bool[Tensor, " samples"]:
    """The control: b of all samples drawn blindly; unbiased under the weight B / b."""
    drawn = torch.randperm(len(g), generator=generator, device=g.device)[:b]
    return torch.zeros_like(g, dtype=torch.bool).index_fill_(0, drawn, True)


def poisson_probability(
    g: Float[Tensor, " samples"], b: int, passes: int = 8
) -> Float[Tensor, " samples"]:
    """`p = min(1, g / lambda)` with `sum p = b`: samples kept independently, b on average.

    Of all p with that sum, this one has the least variance under the weight 1 / p (Wangni et al.
    2017, arXiv 1710.09854). lambda solves a piecewise linear equation. Newton's steps from lambda =
    sum g / b descend to it and end there: the samples above lambda cost one each, the others share
    what is left of b. Few steps are needed (3 to 6 for the long tails of a NeRF batch); ended
    early, sum p is below b and the weights 1 / p are still right. Fewer than b samples with a
    gradient: lambda tends to 0, and p to 1 for those.
    """
    if b >= len(g):
        return (g > 0).to(g.dtype)
    limit = g.sum() / b
    for _ in range(passes):
        below = g < limit
        left = (b - (len(g) - below.sum())).clamp_min(1)  # 0 only when nothing below has a gradient
        limit = torch.where(below, g, 0.0).sum() / left
    return torch.where(g > 0, (g / limit).clamp(max=1.0), 0.0)


def _budget(
    config: MiningConfig, g: Float[Tensor, " samples"], budget: Budget | None
) -> tuple[Budget | None, int]:
    """A fixed share where one is set (never for `hsm`, the paper's draw), else the paper's b."""
    if config.budget > 0 and config.rule != "hsm":
        return budget, whole_budget(config.budget, len(g))
    return paper_budget(budget, g, config.smallest, config.largest)
