"""Settings of the field and of where it is sampled."""

from dataclasses import dataclass
from typing import Literal

from orefield.config.require import require as _require


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
    fog: float = 1.0
    """Density, per scene unit, that the `ngp` field starts with; presets choose it by the scene."""
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
        _require(1e-6 <= self.fog <= 1e3, "field.fog", "in [1e-6, 1000]", self.fog)
        _require(self.nerf_width >= 8, "field.nerf_width", "at least 8", self.nerf_width)


@dataclass(frozen=True)
class SamplerConfig:
    """Where along each ray to look."""

    kind: Literal["occupancy", "proposal"] = "occupancy"
    """`occupancy`: equal steps through the cells of a grid that may hold something. `proposal`: a
    fixed number of samples per ray, where two small density networks expect weight."""
    resolution: int = 64
    """Cells per axis of the occupancy grid."""
    steps: int = 400
    """A ray across the cube's diagonal would take this many steps: dt = sqrt(3) / steps."""
    cone: float = 1 / 256
    """Occupancy, in scenes with surroundings: far from a camera steps are this share of the
    distance, which doubles them at every doubling of it. 0 keeps them equal."""
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
        _require(0 <= self.cone < 1, "sampler.cone", "in [0, 1)", self.cone)
        _require(self.refresh_every >= 1, "sampler.refresh_every", "at least 1", self.refresh_every)
        _require(self.warmup >= 0, "sampler.warmup", "at least 0", self.warmup)
        _require(0 < self.decay <= 1, "sampler.decay", "in (0, 1]", self.decay)
        _require(self.threshold > 0, "sampler.threshold", "positive", self.threshold)
