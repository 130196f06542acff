"""Every setting of a run, once: default, help text and checkpoint header in one place.

One frozen dataclass per part, composed by `RunConfig`. Nothing here imports torch, so that `--help`
answers at once. Lengths are in scene units (the scene's box is the unit cube).
"""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, Literal

from orefield.config.calibration import CalibrationConfig as CalibrationConfig
from orefield.config.learning import Background as Background
from orefield.config.learning import MiningConfig as MiningConfig
from orefield.config.learning import OptimConfig as OptimConfig
from orefield.config.learning import Rule as Rule
from orefield.config.learning import StaticConfig as StaticConfig
from orefield.config.model import FieldConfig as FieldConfig
from orefield.config.model import SamplerConfig as SamplerConfig
from orefield.config.proposal import ProposalConfig as ProposalConfig
from orefield.config.require import require as _require
from orefield.config.scene import SceneConfig as SceneConfig
from orefield.errors import ConfigError as ConfigError


@dataclass(frozen=True)
class RunConfig:
    """A whole run; with the scene's files it determines the result of a run counted in steps."""

    preset: Literal["auto", "ngp", "nerfacto"] = "auto"
    """Settings that go together, applied to what is left at its default. `ngp`: occupancy grid.
    `nerfacto`: proposal networks. `auto`: by the scene, which is said."""
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
    proposal: ProposalConfig = dataclasses.field(default_factory=ProposalConfig)
    calibration: CalibrationConfig = dataclasses.field(default_factory=CalibrationConfig)
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
