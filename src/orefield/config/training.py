"""Settings of mining, of loss and optimizer, and of steps of fixed shapes."""

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
    of the mean. `topk`, `poisson`, `uniform`: the budget's hardest, a weighted draw, a blind
    draw."""
    saturation: float = 4.0
    """importance: samples this many times as hard as the batch's mean are always kept, the others
    with a probability in proportion to their hardness."""
    threshold: float = 0.5
    """threshold: keep samples whose hardness exceeds this many times the batch's mean."""
    budget: float = 0.0
    """topk, poisson, uniform: share of samples kept, in (0, 1]; 0 takes the paper's b = B / tau."""
    alpha: float = 0.5
    """importance, poisson: weight kept samples by p^-alpha; 1 is unbiased, 0 the biased draw."""
    min_budget: float = 0.05
    """hsm and budget rules: b is never below this share of B."""
    max_budget: float = 0.5
    """hsm and budget rules: b is never above this share of B."""
    early_termination: Literal["auto", "off", "on"] = "auto"
    """Whether rays end where T < 1e-4 in the forward pass without a graph, and colors are evaluated
    only at samples of some weight. `off`: every marched sample, as published for pruned and hsm.
    `auto`: off for the published rules; for the others on once a third of the samples is occluded.
    (plain has no such pass.)"""
    pixel_sampling: Literal["auto", "uniform", "error"] = "auto"
    """Which pixels to train on. `uniform`: all alike. `error`: more from the tiles of the
    photographs that are still rendered badly. `auto`: uniform for plain, pruned and hsm, which are
    published so, else by error."""
    min_weight: float = 1e-4
    """With early termination, samples with less than this share of their pixel are left out."""

    def __post_init__(self) -> None:
        _require(0 < self.min_weight < 1, "mining.min_weight", "between 0 and 1", self.min_weight)
        _require(self.saturation > 0, "mining.saturation", "positive", self.saturation)
        _require(self.threshold >= 0, "mining.threshold", "at least 0", self.threshold)
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
        """Whether the rule is somebody else's, and `auto` means their way."""
        return self.rule in ("plain", "pruned", "hsm")

    @property
    def terminates_early(self) -> bool:
        """Whether rays end early in the density pass, at once or later."""
        auto = self.early_termination == "auto"
        return not self.published if auto else self.early_termination == "on"

    @property
    def samples_pixels_by_error(self) -> bool:
        """Whether pixels are drawn by the errors of their tiles."""
        auto = self.pixel_sampling == "auto"
        return not self.published if auto else self.pixel_sampling == "error"


@dataclass(frozen=True)
class OptimConfig:
    """Loss, optimizer and schedule."""

    target_samples: int = 65_536
    """Samples per step; the number of rays adapts to it."""
    lr: float = 2e-2
    """Peak learning rate of Adam."""
    lr_final: float = 0.1
    """Learning rate at the end of the budget, as a share of the peak."""
    warmup: int = 20
    """Steps over which the learning rate rises linearly from zero."""
    background: Background = "random"
    """Behind training rays: a new random color per ray, white, or black."""

    def __post_init__(self) -> None:
        least = self.target_samples >= 256
        _require(least, "optim.target_samples", "at least 256", self.target_samples)
        _require(self.lr > 0, "optim.lr", "positive", self.lr)
        _require(0 < self.lr_final <= 1, "optim.lr_final", "in (0, 1]", self.lr_final)
        _require(self.warmup >= 0, "optim.warmup", "at least 0", self.warmup)


@dataclass(frozen=True)
class FixedShapesConfig:
    """Training steps of fixed shapes, made for GPUs: the host waits for nothing on the way."""

    use: Literal["auto", "always", "never"] = "auto"
    """`auto`: on CUDA with Triton's kernels, for settings that can be had without a host read."""
    kept_capacity: float = 0.5
    """Buffer for kept samples as a share of optim.target_samples, in (0, 1]; what is chosen beyond
    it is left out."""
    adapt_every: int = 32
    """Steps between two reads of the loss and of how many rays fill a batch."""

    def __post_init__(self) -> None:
        fits = 0 < self.kept_capacity <= 1
        _require(fits, "fixed_shapes.kept_capacity", "in (0, 1]", self.kept_capacity)
        every = self.adapt_every
        _require(every >= 1, "fixed_shapes.adapt_every", "at least 1", every)
