"""Settings of mining, of the optimizer, and of training steps of fixed shapes."""

from dataclasses import dataclass
from typing import Literal

from orefield.config.require import require as _require

Rule = Literal["plain", "pruned", "hsm", "threshold", "importance", "topk", "poisson", "uniform"]
Background = Literal["random", "white", "black"]


@dataclass(frozen=True)
class MiningConfig:
    """Which samples earn a backward pass."""

    rule: Rule = "importance"
    """`plain`: all. `pruned`: the visible ones (T >= 1e-4). `hsm`: the paper's draw. `importance`:
    each with a probability that grows with its hardness. `threshold`: those harder than a multiple
    of the mean. Of a fixed share: `topk` the hardest, `poisson` a draw by hardness, `uniform` a
    blind draw."""
    saturation: float = 4.0
    """importance: samples this many times as hard as the batch's mean are always kept, others with
    a probability proportional to their hardness."""
    threshold: float = 0.5
    """threshold: samples harder than this many times the batch's mean are kept."""
    budget: float = 0.0
    """topk, poisson, uniform: share of B samples kept; 0 keeps the paper's b = B / tau."""
    alpha: float = 0.5
    """importance, poisson: kept samples weigh p^-alpha; 1 is unbiased, 0 leaves them unweighted."""
    min_budget: float = 0.05
    """hsm, topk, poisson, uniform: b is never below this share of B."""
    max_budget: float = 0.5
    """hsm, topk, poisson, uniform: b is never above this share of B."""
    early_termination: Literal["auto", "off", "on"] = "auto"
    """Stop a ray once T < 1e-4, and evaluate colors only where the rendering weight is at least
    `min_weight`. `auto`: off for plain, pruned and hsm, as published; for the other rules on once a
    third of the samples is occluded."""
    pixel_sampling: Literal["auto", "uniform", "error"] = "auto"
    """Which pixels to train on. `uniform`: all equally often. `error`: more from the tiles of the
    photographs with larger errors. `auto`: uniform for plain, pruned and hsm, as published, else
    error."""
    min_weight: float = 1e-4
    """Early termination: samples of a smaller rendering weight are left out."""

    def __post_init__(self) -> None:
        _require(0 < self.min_weight < 1, "mining.min_weight", "between 0 and 1", self.min_weight)
        times = self.saturation
        _require(0 < times <= 1e9, "mining.saturation", "positive, at most 1e9", times)
        times = self.threshold
        _require(0 <= times <= 1e9, "mining.threshold", "at least 0, at most 1e9", times)
        _require(0 <= self.budget <= 1, "mining.budget", "in [0, 1]", self.budget)
        _require(0 <= self.alpha <= 1, "mining.alpha", "in [0, 1]", self.alpha)
        _require(
            0 < self.min_budget <= self.max_budget <= 1,
            "mining.min_budget",
            "in (0, max_budget]",
            self.min_budget,
        )

    @property
    def published(self) -> bool:
        """Whether the rule was published by others, so that `auto` means as published."""
        return self.rule in ("plain", "pruned", "hsm")

    @property
    def terminates_early(self) -> bool:
        """Whether rays are stopped early in the density pass, now or later in the run."""
        auto = self.early_termination == "auto"
        return not self.published if auto else self.early_termination == "on"

    @property
    def samples_pixels_by_error(self) -> bool:
        """Whether training pixels are drawn by the errors of their tiles."""
        auto = self.pixel_sampling == "auto"
        return not self.published if auto else self.pixel_sampling == "error"


@dataclass(frozen=True)
class OptimConfig:
    """Loss, optimizer and schedule."""

    target_samples: int | None = None
    """Samples per step, to which the number of rays adapts. None: by the budget, 2^14 to 2^16
    (config/budget.py)."""
    lr: float = 2e-2
    """Peak learning rate of Adam."""
    lr_final: float = 0.1
    """Learning rate at the end of the budget, as a share of the peak."""
    decay_from: float = 0.75
    """Share of the budget after which the learning rate falls, by equal factors for equal times. A
    run that goes on with a larger budget is back at the peak until then."""
    warmup: int = 20
    """Steps over which the learning rate rises linearly from zero."""
    background: Background = "random"
    """Background of training rays: a new random color for each, white, or black."""

    def __post_init__(self) -> None:
        if (samples := self.target_samples) is not None:
            fits = 256 <= samples <= 2**24
            _require(fits, "optim.target_samples", "in 256..2^24", samples)
        _require(0 < self.lr <= 10, "optim.lr", "positive, at most 10", self.lr)
        _require(0 < self.lr_final <= 1, "optim.lr_final", "in (0, 1]", self.lr_final)
        _require(0 <= self.decay_from < 1, "optim.decay_from", "in [0, 1)", self.decay_from)
        _require(0 <= self.warmup <= 10**9, "optim.warmup", "in 0..10^9", self.warmup)


@dataclass(frozen=True)
class FixedShapesConfig:
    """Training steps of fixed shapes, for GPUs: the host never waits for the device in between."""

    use: Literal["auto", "always", "never"] = "auto"
    """`auto`: on CUDA with Triton, where the settings allow it."""
    kept_capacity: float = 0.5
    """Size of the buffer for kept samples, as a share of optim.target_samples; what does not fit is
    left out."""
    adapt_every: int = 32
    """Steps between two reads of the loss, after which the number of rays adapts."""

    def __post_init__(self) -> None:
        fits = 0 < self.kept_capacity <= 1
        _require(fits, "fixed_shapes.kept_capacity", "in (0, 1]", self.kept_capacity)
        every = self.adapt_every
        _require(1 <= every <= 10**9, "fixed_shapes.adapt_every", "in 1..10^9", every)
