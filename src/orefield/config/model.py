"""Settings of the field and of the sampler. A preset chooses what is None."""

from dataclasses import dataclass
from typing import Literal

from orefield.config.require import require as _require


@dataclass(frozen=True)
class FieldConfig:
    """The network that gives color and density."""

    kind: Literal["ngp", "nerf"] = "ngp"
    """`ngp`: multiresolution hash grid and small MLPs. `nerf`: the original 8-layer MLP (slow)."""
    levels: int = 8
    """Hash grid: number of resolutions."""
    features_per_level: int = 4
    """Hash grid: numbers in an entry, 2 or 4. 16 levels of 2 cost about twice as much as 8 of 4 and
    are 0.2 dB better after as many steps (docs/log.md)."""
    log2_hashmap_size: int | None = None
    """Hash grid: at most 2^this entries per level. None: by the budget and the
    kind of scene (config/budget.py)."""
    base_resolution: int = 16
    """Hash grid: cells per axis at the first level."""
    max_resolution: int | None = None
    """Hash grid: cells per axis at the last level. None: by the width
    of the photographs (config/budget.py)."""
    width: int = 64
    """Width of the hidden layers of the `ngp` MLPs."""
    init_density: float = 3.0
    """Density, per scene unit, that the `ngp` field starts with; in a frustum, per length of its
    cube. Where all photographs are opaque, density rises on all rays at once until no background
    shows through, and Adam's momentum carries it on to an opaque wall before the cameras: from 1
    runs recover slowly, from 3 there is less to rise; other scenes come out alike (docs/log.md)."""
    nerf_width: int = 256
    """Width of the hidden layers of the `nerf` MLP."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """Precision of matrix products; `auto` takes bf16 where the hardware multiplies it."""

    def __post_init__(self) -> None:
        _require(1 <= self.levels <= 32, "field.levels", "in 1..32", self.levels)
        features = self.features_per_level
        _require(features in (2, 4), "field.features_per_level", "2 or 4", features)
        if (size := self.log2_hashmap_size) is not None:
            _require(4 <= size <= 24, "field.log2_hashmap_size", "in 4..24", size)
        base, finest = self.base_resolution, self.max_resolution
        fits = 2 <= base <= (2**16 if finest is None else finest)
        _require(fits, "field.base_resolution", "in 2..max_resolution", base)
        if finest is not None:
            _require(finest <= 2**16, "field.max_resolution", "at most 65536", finest)
        _require(8 <= self.width <= 1024, "field.width", "in 8..1024", self.width)
        density = self.init_density
        _require(1e-6 <= density <= 1e3, "field.init_density", "in [1e-6, 1000]", density)
        width = self.nerf_width
        _require(8 <= width <= 1024, "field.nerf_width", "in 8..1024", width)


@dataclass(frozen=True)
class SamplerConfig:
    """Where along each ray the field is evaluated."""

    kind: Literal["occupancy", "proposal"] | None = None
    """`occupancy`: steps through the occupied cells of a grid. `proposal`: a fixed number of
    samples per ray, placed by two small density networks. None: by the preset."""
    resolution: int = 64
    """Cells per axis of the occupancy grid."""
    steps_per_diagonal: int | None = None
    """Occupancy: steps along the unit cube's diagonal, so dt = sqrt(3) / this. None: 400, or 100
    for unbounded and forward-facing scenes."""
    cone_angle: float | None = None
    """Occupancy, unbounded scenes: far from the camera a step is this share of its distance. 0
    keeps all steps equal. None: 1/32 for unbounded scenes; bounded ones always have equal steps."""
    refresh_every: int = 16
    """Training steps between two refreshes of the grid."""
    warmup: int = 256
    """Training steps during which a refresh covers every cell; later it covers a random quarter,
    and as many of the occupied cells."""
    ema_decay: float = 0.9
    """A refreshed cell holds max(its density times this, its new density)."""
    occ_threshold: float = 0.03
    """A cell is occupied where its optical depth over one step exceeds the smaller of this and the
    mean."""

    def __post_init__(self) -> None:
        _require(4 <= self.resolution <= 512, "sampler.resolution", "in 4..512", self.resolution)
        if (steps := self.steps_per_diagonal) is not None:
            fits = 8 <= steps <= 2**16
            _require(fits, "sampler.steps_per_diagonal", "in 8..65536", steps)
        if (cone := self.cone_angle) is not None:
            _require(0 <= cone < 1, "sampler.cone_angle", "in [0, 1)", cone)
        for name, least in (("refresh_every", 1), ("warmup", 0)):
            number = getattr(self, name)
            _require(least <= number <= 10**9, f"sampler.{name}", f"in {least}..10^9", number)
        _require(0 < self.ema_decay <= 1, "sampler.ema_decay", "in (0, 1]", self.ema_decay)
        depth = self.occ_threshold
        _require(0 < depth <= 1e6, "sampler.occ_threshold", "positive, at most 1e6", depth)
