"""Which samples earn a backward pass: eight rules behind one function, `keep_mask`.

`g[i]` is the hardness of sample i (hardness.py), B the number of samples and b the budget
(budget.py). The rules that depend on g never keep a sample of zero hardness: its gradient is zero
whatever is recomputed. So where nothing is hard nothing is kept, and where fewer than b samples
are, all of those are.

A sample whose hardness is not finite (an overflow under a loss scale, a NaN of the model) is always
kept, and counts as zero in sums and means: it must reach the parameters' gradients, where a
gradient scaler sees it and skips the step.

A rule gives a mask and weights and reads nothing from the device, so that it can be part of a CUDA
graph; `kept_indices`, which must know how many are kept, is a function of its own.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Float64, Int, Int64
from torch import Tensor

from orefield.config import MiningConfig
from orefield.mining.budget import paper_budget, whole_budget


class Choice(NamedTuple):
    """Which samples are kept, and by how much to multiply each kept one's gradient."""

    keep: Bool[Tensor, " samples"]
    weight: Float[Tensor, " samples"] | None
    """`None` where every weight is one; of no meaning where a sample is not kept."""


class Selection(NamedTuple):
    """The kept samples, in ascending order, and by how much to multiply each one's gradient."""

    kept: Int64[Tensor, " kept"]
    weight: Float[Tensor, " kept"] | None
    """`None` where every weight is one."""


def keep_mask(
    config: MiningConfig,
    g: Float[Tensor, " samples"],
    generator: torch.Generator | None = None,
    tau: Float64[Tensor, ""] | None = None,
    evaluated: int | Int[Tensor, ""] | None = None,
    number: Int[Tensor, ""] | None = None,
) -> tuple[Choice, Float64[Tensor, ""] | None]:
    """Choose the samples to back-propagate through, by the configured rule.

    `number` is B where g is a buffer: the samples are its first so many, the rest is zero.

    `evaluated` is the number of samples that means are taken over, where g lacks some that are not
    hard at all or holds padding; by default len(g). Only `hsm`, and `topk`, `poisson` and `uniform`
    without a share of their own, use and return the running `tau`; the others hand it back as it
    came. `pruned` keeps what has a gradient. The generator lives on g's device.
    """
    if config.rule == "plain" or len(g) == 0:
        return Choice(torch.ones_like(g, dtype=torch.bool), None), tau
    finite = torch.nan_to_num(g, nan=0.0, posinf=0.0)
    broken, p, weight = g != finite, None, None
    if config.rule == "pruned":
        keep = finite > 0
    elif config.rule == "threshold":
        keep = threshold(finite, config.threshold, evaluated)
    elif config.rule == "importance":
        p = importance(finite, config.saturation, evaluated)
        keep = _drawn(p, generator)
    else:
        tau, b, most = _budget(config, finite, tau, number)
        if config.rule == "hsm":
            keep = hsm(finite, b, most, generator)
        elif config.rule == "topk":
            keep = topk(finite, b, most)
        elif config.rule == "poisson":
            p = poisson_probability(finite, b, number=number)
            keep = _drawn(p, generator)
        else:
            keep = uniform(finite, b, generator, number)
            whole = len(g) if number is None else number
            weight = (whole / b.to(g.dtype)).expand(len(g))
    if p is not None and config.alpha > 0:
        weight = torch.where(keep & ~broken, p, 1.0) ** -config.alpha
    return Choice(keep | broken, weight), tau


def kept_indices(choice: Choice) -> Selection:
    """The kept samples' indices and weights; waits for the device, to know how many there are."""
    kept = choice.keep.nonzero()[:, 0]
    return Selection(kept, None if choice.weight is None else choice.weight[kept])


def select(
    config: MiningConfig,
    g: Float[Tensor, " samples"],
    generator: torch.Generator | None = None,
    tau: Float64[Tensor, ""] | None = None,
    evaluated: int | Int[Tensor, ""] | None = None,
) -> tuple[Selection, Float64[Tensor, ""] | None]:
    """`kept_indices` of `keep_mask`.

    With the rule `threshold` at 0.5: g = [4, 0, 1, 3] has mean 2, so kept = [0, 3].
    """
    choice, tau = keep_mask(config, g, generator, tau, evaluated)
    return kept_indices(choice), tau


def threshold(
    g: Float[Tensor, " samples"], factor: float, evaluated: int | Tensor | None = None
) -> Bool[Tensor, " samples"]:
    """Harder than `factor` times the mean; a factor of 0 keeps whatever has a gradient."""
    return g > factor * _mean(g, evaluated)


def importance(
    g: Float[Tensor, " samples"], saturation: float, evaluated: int | Tensor | None = None
) -> Float[Tensor, " samples"]:
    """Each on its own with probability min(1, g / (saturation mean)): a threshold that is drawn.

    Where all are alike it keeps 1 / saturation of them, where few carry all of g hardly more than
    those.
    """
    limit = saturation * _mean(g, evaluated)
    return torch.where(g > 0, g / limit, 0.0).clamp(max=1.0)


def _mean(g: Float[Tensor, " samples"], evaluated: int | Tensor | None) -> Float[Tensor, ""]:
    """Mean over `evaluated` samples, those that g lacks being zero."""
    if evaluated is None:
        return g.mean()
    if isinstance(evaluated, int):
        return g.mean() * (len(g) / max(evaluated, len(g)))
    return g.sum() / evaluated.clamp(min=1)  # g is padded with zeros


def _drawn(
    p: Float[Tensor, " samples"], generator: torch.Generator | None
) -> Bool[Tensor, " samples"]:
    return torch.rand(p.shape, generator=generator, device=p.device, dtype=p.dtype) < p


def hsm(
    g: Float[Tensor, " samples"],
    b: Int[Tensor, ""],
    most: int,
    generator: torch.Generator | None,
) -> Bool[Tensor, " samples"]:
    """The paper's draw: b samples without replacement, each with probability proportional to g.

    Drawn as an exponential race (the b smallest of `E_i / g_i` with `E_i ~ Exp(1)`), which is what
    `torch.multinomial` does, at half its time and without its limit of 2^24 samples.
    """
    u = torch.rand(g.shape, generator=generator, device=g.device, dtype=g.dtype)
    return topk(g / u.log_().neg_(), b, most)


def topk(g: Float[Tensor, " samples"], b: Int[Tensor, ""], most: int) -> Bool[Tensor, " samples"]:
    """The b hardest; `most` is what b can be at most.

    On a CPU b is read. On other devices the `most` hardest are sorted, of which b are taken.
    """
    on_cpu = b.device.type == "cpu"
    number = int(b) if on_cpu else min(most, len(g))
    hardest = torch.topk(g, number, sorted=not on_cpu).indices
    taken = torch.arange(number, device=g.device) < b
    return torch.zeros_like(g, dtype=torch.bool).scatter_(0, hardest, taken) & (g > 0)


def uniform(
    g: Float[Tensor, " samples"],
    b: Int[Tensor, ""],
    generator: torch.Generator | None,
    number: Int[Tensor, ""] | None = None,
) -> Bool[Tensor, " samples"]:
    """The control: b of all samples drawn blindly; unbiased under the weight B / b."""
    drawn = torch.randperm(len(g), generator=generator, device=g.device)
    taken = torch.arange(len(g), device=g.device) < b
    if number is not None:  # the first b of those drawn that are samples
        real = drawn < number
        taken = real & (real.cumsum(0) <= b)
    return torch.zeros_like(g, dtype=torch.bool).scatter_(0, drawn, taken)


def poisson_probability(
    g: Float[Tensor, " samples"],
    b: Int[Tensor, ""],
    passes: int = 8,
    number: Int[Tensor, ""] | None = None,
) -> Float[Tensor, " samples"]:
    """`p = min(1, g / lambda)` with `sum p = b`: samples kept independently, b on average.

    Of all p with that sum, this one has the least variance under the weight 1 / p (Wangni et al.
    2017, arXiv 1710.09854). lambda solves a piecewise linear equation. Newton's steps from lambda =
    sum g / b descend to it and end there: the samples above lambda cost one each, the others share
    what is left of b. Few steps are needed (3 to 6 for the long tails of a NeRF batch); ended
    early, sum p is below b and the weights 1 / p are still right. Fewer than b samples with a
    gradient: lambda tends to 0, and p to 1 for those.
    """
    limit = g.sum() / b
    for _ in range(passes):
        below = g < limit
        left = (b - (len(g) - below.sum())).clamp_min(1)  # 0 only when nothing below has a gradient
        limit = torch.where(below, g, 0.0).sum() / left
    p = torch.where(g > 0, (g / limit).clamp(max=1.0), 0.0)
    return torch.where(b >= (len(g) if number is None else number), (g > 0).to(g.dtype), p)


def _budget(
    config: MiningConfig,
    g: Float[Tensor, " samples"],
    tau: Float64[Tensor, ""] | None,
    number: Int[Tensor, ""] | None,
) -> tuple[Float64[Tensor, ""] | None, Int[Tensor, ""], int]:
    """tau, b and the most that b can be.

    b is a fixed share where one is set (never for `hsm`, the paper's draw), else the paper's.
    """
    if config.budget > 0 and config.rule != "hsm":
        most = whole_budget(config.budget, len(g))
        if number is None:
            return tau, torch.full((), most, dtype=torch.int64, device=g.device), most
        b = (config.budget * number.double()).long().clamp(min=1)
        return tau, torch.minimum(b, number), most
    tau, b = paper_budget(tau, g, config.min_budget, config.max_budget, number)
    return tau, b, whole_budget(config.max_budget, len(g))
