"""Every setting of a run, once: default, help text and checkpoint header in one place.

One frozen dataclass per part, composed by `RunConfig`. Nothing here imports torch, so that `--help`
answers at once. Lengths are in scene units (the scene's box is the unit cube).
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from orefield.errors import ConfigError as ConfigError

Rule = Literal["plain", "pruned", "hsm", "threshold", "chance", "topk", "poisson", "uniform"]
Background = Literal["random", "white", "black"]


def _require(holds: bool, name: str, expected: str, value: object) -> None:
    if not holds:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


@dataclass(frozen=True)
class SceneConfig:
    """How the photographs are read."""

    format: Literal["auto", "blender", "transforms", "llff", "colmap", "dtu"] = "auto"
    """Which of the formats in the scene's folder to read; `auto` takes the first that is there, in
    this order."""
    downscale: int = 1
    """Divide image width and height by this whole number: by folders such as `images_4` where they
    help, else by averaging areas. It counts from the largest images there."""
    holdout: int = 8
    """Scenes without a split: every n-th image, starting with the first, is a test view."""
    max_test_views: int = 0
    """Use at most this many test views, evenly spaced; 0 uses all."""
    max_images: int = 0
    """Use at most this many training images, evenly spaced; 0 uses all."""
    box_scale: float = 1.0
    """Enlarge the scene box found from the cameras by this factor."""
    masks: Literal["alpha", "ignore"] = "alpha"
    """What masks mean. `alpha`: they cut out an object, and nothing is behind it. `ignore`: they
    hide what is not to be learnt (people, the tripod); neither trained on nor scored."""
    mask_keeps: Literal["white", "black"] = "white"
    """Which side of a mask is kept; the other becomes transparent, or ignored."""
    allow_outside: bool = False
    """Read images and masks outside the scene's folder, where its files or links lead there."""

    def __post_init__(self) -> None:
        _require(self.downscale >= 1, "scene.downscale", "at least 1", self.downscale)
        _require(self.holdout >= 2, "scene.holdout", "at least 2", self.holdout)
        _require(
            self.max_test_views >= 0, "scene.max_test_views", "at least 0", self.max_test_views
        )
        _require(self.max_images >= 0, "scene.max_images", "at least 0", self.max_images)
        _require(self.box_scale > 0, "scene.box_scale", "positive", self.box_scale)


@dataclass(frozen=True)
class FieldConfig:
    """The network: where colour and density come from."""

    kind: Literal["ngp", "nerf"] = "ngp"
    """`ngp`: multiresolution hash grid and small MLPs. `nerf`: the original 8-layer MLP (slow)."""
    levels: int = 16
    """Hash grid: number of resolutions."""
    log2_table: int = 16
    """Hash grid: at most 2^this entries per level, two features each."""
    coarsest: int = 16
    """Hash grid: cells per axis at the first level."""
    finest: int = 512
    """Hash grid: cells per axis at the last level."""
    width: int = 64
    """Width of the hidden layers of the `ngp` MLPs."""
    nerf_width: int = 256
    """Width of the hidden layers of the `nerf` MLP."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Of matrix products; `auto` takes bf16 where the processor multiplies it natively."""

    def __post_init__(self) -> None:
        _require(1 <= self.levels <= 32, "field.levels", "in 1..32", self.levels)
        _require(4 <= self.log2_table <= 24, "field.log2_table", "in 4..24", self.log2_table)
        _require(2 <= self.coarsest <= self.finest, "field.coarsest", "in 2..finest", self.coarsest)
        _require(self.finest <= 2**16, "field.finest", "at most 65536", self.finest)
        _require(self.width >= 8, "field.width", "at least 8", self.width)
        _require(self.nerf_width >= 8, "field.nerf_width", "at least 8", self.nerf_width)


@dataclass(frozen=True)
class SamplerConfig:
    """Where along each ray to look: an occupancy grid over the unit cube."""

    resolution: int = 64
    """Cells per axis of the occupancy grid."""
    steps: int = 400
    """A ray across the cube's diagonal would take this many steps: dt = sqrt(3) / steps."""
    refresh_every: int = 16
    """Training steps between two refreshes of the grid."""
    warmup: int = 256
    """Refresh every cell for this many training steps, then a quarter drawn at random and as many
    of the occupied."""
    decay: float = 0.9
    """A cell's density decays by this factor at each refresh, before the maximum with the new."""
    threshold: float = 0.03
    """A cell is occupied when its optical thickness over a step exceeds this or the mean."""

    def __post_init__(self) -> None:
        _require(4 <= self.resolution <= 512, "sampler.resolution", "in 4..512", self.resolution)
        _require(self.steps >= 8, "sampler.steps", "at least 8", self.steps)
        _require(self.refresh_every >= 1, "sampler.refresh_every", "at least 1", self.refresh_every)
        _require(self.warmup >= 0, "sampler.warmup", "at least 0", self.warmup)
        _require(0 < self.decay <= 1, "sampler.decay", "in (0, 1]", self.decay)
        _require(self.threshold > 0, "sampler.threshold", "positive", self.threshold)


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
    """poisson: weight kept samples by p^-alpha; 1 is unbiased, 0 the plain biased draw."""
    smallest: float = 0.05
    """hsm and budget rules: b is never below this share of B."""
    largest: float = 0.5
    """hsm and budget rules: b is never above this share of B."""
    first_forward: Literal["auto", "all", "seen"] = "auto"
    """What the forward without a graph covers. `all`: every marched sample. `seen`: those before
    the grid expects a ray to be dark, and colours only where they matter. `auto`: all for pruned
    and hsm, which are published so, else seen. (plain has no such forward.)"""
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
    def looks_ahead(self) -> bool:
        """Whether the first forward covers only what is likely seen."""
        published = self.rule in ("plain", "pruned", "hsm")
        return not published if self.first_forward == "auto" else self.first_forward == "seen"


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


@dataclass(frozen=True)
class RunConfig:
    """A whole run; with the scene's files it determines the result of a run counted in steps."""

    seconds: float = 60.0
    """Training time, without evaluation, reading and compiling. Ignored when steps is given."""
    steps: int = 0
    """Number of training steps; 0 trains by the clock."""
    seed: int = 0
    """Seed of every random choice."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1, mps. `auto` takes CUDA where there is one, else the
    CPU."""
    deterministic: bool = False
    """The same seed on the same device gives the same run, to the last bit. On the CPU that always
    holds; on a GPU the hash grid's gradient is then summed in a fixed order, which is slower."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Replay the step of fixed shapes as one CUDA graph. `auto`: where it proves faster."""
    threads: int = 0
    """CPU threads; 0 takes every core this process may use."""
    eval_background: Literal["white", "black"] = "white"
    """Behind test renders and test photographs with alpha."""
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    mining: MiningConfig = dataclasses.field(default_factory=MiningConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    static: StaticConfig = dataclasses.field(default_factory=StaticConfig)

    def __post_init__(self) -> None:
        _require(self.seconds > 0, "seconds", "positive", self.seconds)
        _require(self.steps >= 0, "steps", "at least 0", self.steps)
        _require(0 <= self.seed < 2**31, "seed", "in 0..2^31-1", self.seed)
        _require(self.threads >= 0, "threads", "at least 0", self.threads)
        known = self.device in ("auto", "cpu", "cuda", "mps") or self.device[:5] == "cuda:"
        _require(known, "device", "auto, cpu, cuda, cuda:1 or mps", self.device)


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> RunConfig:
    """The inverse of `to_dict`; unknown or ill-typed fields raise ConfigError naming the field."""
    return typing.cast(RunConfig, _build(RunConfig, values, ""))


def changed(config: RunConfig, changes: str) -> RunConfig:
    """The configuration with settings changed, as in `mining.c=0.3,optim.lr=0.01`.

    Raises ConfigError naming the setting that is unknown or does not fit.
    """
    values = to_dict(config)
    for change in filter(None, changes.split(",")):
        name, _, text = change.partition("=")
        part, *path = values, *name.strip().split(".")
        for step in path[:-1]:
            part = part.get(step, {}) if isinstance(part.get(step), dict) else {}
        _require(path[-1] in part, "setting", "one of the configuration's, such as mining.c", name)
        try:
            kind = type(part[path[-1]])
            part[path[-1]] = {"true": True, "false": False}[text] if kind is bool else kind(text)
        except (KeyError, TypeError, ValueError):
            raise ConfigError(f"{name} must be like {part[path[-1]]!r}, got {text!r}") from None
    return from_dict(values)


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        raise ConfigError(f"{path or 'configuration'} must be an object, got {values!r}")
    kinds = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ConfigError(f"unknown setting {path}{unknown[0]!s}; known here: {', '.join(kinds)}")
    return cls(**{name: _value(kinds[name], given, path + name) for name, given in values.items()})


def _value(kind: Any, given: Any, name: str) -> Any:
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), given, name + ".")
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        _require(given in choices, name, f"one of {', '.join(map(str, choices))}", given)
        return given
    if kind in (bool, str):
        expected = "true or false" if kind is bool else "a text"
        _require(isinstance(given, kind), name, expected, given)
        return given
    number = isinstance(given, int) and not isinstance(given, bool)
    fits = number if kind is int else number or isinstance(given, float)
    assert kind in (int, float) or isinstance(kind, types.GenericAlias)
    _require(fits, name, "a whole number" if kind is int else "a number", given)
    return kind(given)
