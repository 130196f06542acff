"""Settings of mining, of the optimiser and of steps of fixed shapes."""

from dataclasses import dataclass
from typing import Literal

from orefield.config.require import require as _require

Rule = Literal["plain", "pruned", "hsm", "threshold", "chance", "topk", "poisson", "uniform"]
Background = Literal["random", "white", "black"]


@dataclass(frozen=True)
class MiningConfig:
    """Which samples earn a backward pass."""

    rule: Rule = "chance"
    """`plain`: all. `pruned`: those light reaches (T >= 1e-4). `hsm`: the paper's draw. `chance`:
    each with a probability that grows with its hardness. `threshold`: hardness above c times the
    mean. `topk`, `poisson`, `uniform`: the budget's hardest, a weighted draw, a blind draw."""
    sure: float = 4.0
    """chance: samples this many times as hard as the batch's mean are kept for sure, the others
    with a probability in proportion to their hardness."""
    c: float = 0.5
    """threshold: keep samples whose hardness exceeds c times the batch's mean."""
    budget: float = 0.0
    """topk, poisson, uniform: share of samples kept, in (0, 1]; 0 takes the paper's b = B / tau."""
    alpha: float = 0.5
    """chance, poisson: weight kept samples by p^-alpha; 1 is unbiased, 0 the plain biased draw."""
    smallest: float = 0.05
    """hsm and budget rules: b is never below this share of B."""
    largest: float = 0.5
    """hsm and budget rules: b is never above this share of B."""
    first_forward: Literal["auto", "all", "seen"] = "auto"
    """What the forward without a graph covers. `all`: every marched sample. `seen`: those that
    light reaches, and colours only where they matter. `auto`: all for pruned and hsm, which are
    published so; else all in the fog of the first steps, and seen once a third of the samples lies
    in the dark. (plain has no such forward.)"""
    rays: Literal["auto", "even", "errors"] = "auto"
    """Which rays to train on. `even`: all pixels alike. `errors`: more from the tiles of the
    photographs that are still rendered badly. `auto`: even for plain, pruned and hsm, which are
    published so, else by errors."""
    faintest: float = 1e-4
    """first_forward seen: samples with less than this share of a pixel are left out."""

    def __post_init__(self) -> None:
        _require(0 < self.faintest < 1, "mining.faintest", "between 0 and 1", self.faintest)
        _require(self.sure > 0, "mining.sure", "positive", self.sure)
        _require(self.c >= 0, "mining.c", "at least 0", self.c)
        _require(0 <= self.budget <= 1, "mining.budget", "in [0, 1]", self.budget)
        _require(0 <= self.alpha <= 1, "mining.alpha", "in [0, 1]", self.alpha)
        _require(
            0 < self.smallest <= self.largest <= 1,
            "mining.smallest",
            "in (0, largest]",
            self.smallest,
        )

    @property
    def published(self) -> bool:
        """Whether the rule is somebody else's, and `auto` means their way."""
        return self.rule in ("plain", "pruned", "hsm")

    @property
    def looks_ahead(self) -> bool:
        """Whether the first forward covers only what is seen, at once or later."""
        auto = self.first_forward == "auto"
        return not self.published if auto else self.first_forward == "seen"

    @property
    def draws_by_error(self) -> bool:
        """Whether rays are drawn by the errors of their tiles."""
        return not self.published if self.rays == "auto" else self.rays == "errors"


@dataclass(frozen=True)
class OptimConfig:
    """Loss, optimiser and schedule."""

    samples: int = 65_536
    """Samples marched per step; the number of rays adapts to it."""
    lr: float = 2e-2
    """Peak learning rate of Adam."""
    lr_final: float = 0.1
    """Learning rate at the end of the budget, as a share of the peak."""
    warmup: int = 20
    """Steps over which the learning rate rises linearly from zero."""
    background: Background = "random"
    """Behind training rays: a new random colour per ray, white, or black."""

    def __post_init__(self) -> None:
        _require(self.samples >= 256, "optim.samples", "at least 256", self.samples)
        _require(self.lr > 0, "optim.lr", "positive", self.lr)
        _require(0 < self.lr_final <= 1, "optim.lr_final", "in (0, 1]", self.lr_final)
        _require(self.warmup >= 0, "optim.warmup", "at least 0", self.warmup)


@dataclass(frozen=True)
class StaticConfig:
    """The training step of fixed shapes, made for GPUs: the host asks it nothing on the way."""

    use: Literal["auto", "always", "never"] = "auto"
    """`auto`: on CUDA with Triton's kernels, where the rule has such a step (plain, threshold)."""
    room: float = 0.5
    """Room for kept samples as a share of optim.samples, in (0, 1]; what is chosen beyond it is
    left out."""
    adapt_every: int = 32
    """Steps between two looks at the loss and at how many rays fill a batch."""

    def __post_init__(self) -> None:
        _require(0 < self.room <= 1, "static.room", "in (0, 1]", self.room)
        _require(self.adapt_every >= 1, "static.adapt_every", "at least 1", self.adapt_every)
