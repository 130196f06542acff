"""All settings of a run."""

import dataclasses
from dataclasses import dataclass
from typing import Literal

from orefield.config.calibration import CalibrationConfig
from orefield.config.model import FieldConfig, SamplerConfig
from orefield.config.proposal import ProposalConfig
from orefield.config.require import require as _require
from orefield.config.scene import SceneConfig
from orefield.config.training import FixedShapesConfig, MiningConfig, OptimConfig


@dataclass(frozen=True)
class RunConfig:
    """A whole run; with the scene's files it determines the result of a run counted in steps."""

    preset: Literal["auto", "ngp", "nerfacto"] = "auto"
    """Settings that go together, applied to those that are None. `ngp`: occupancy grid. `nerfacto`:
    proposal networks. `auto`: by the scene, which is said."""
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
    eval_every: float = 0.0
    """Seconds of training between two evaluations on fixed test pixels; 0 evaluates after 1/32,
    1/16, 1/8, 1/4, 1/2 and all of the budget. The training clock stands still meanwhile."""
    save_every: float = 30.0
    """Seconds between two saves while training, outside of the training clock."""
    scene: SceneConfig = dataclasses.field(default_factory=SceneConfig)
    field: FieldConfig = dataclasses.field(default_factory=FieldConfig)
    sampler: SamplerConfig = dataclasses.field(default_factory=SamplerConfig)
    proposal: ProposalConfig = dataclasses.field(default_factory=ProposalConfig)
    calibration: CalibrationConfig = dataclasses.field(default_factory=CalibrationConfig)
    mining: MiningConfig = dataclasses.field(default_factory=MiningConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    fixed_shapes: FixedShapesConfig = dataclasses.field(default_factory=FixedShapesConfig)

    def __post_init__(self) -> None:
        _require(self.seconds > 0, "seconds", "positive", self.seconds)
        _require(self.steps >= 0, "steps", "at least 0", self.steps)
        _require(self.eval_every >= 0, "eval_every", "at least 0", self.eval_every)
        _require(self.save_every > 0, "save_every", "positive", self.save_every)
        _require(0 <= self.seed < 2**31, "seed", "in 0..2^31-1", self.seed)
        _require(self.threads >= 0, "threads", "at least 0", self.threads)
        known = self.device in ("auto", "cpu", "cuda", "mps") or self.device[:5] == "cuda:"
        _require(known, "device", "auto, cpu, cuda, cuda:1 or mps", self.device)
