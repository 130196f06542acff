"""Settings of what is learned about the photographs themselves."""

from dataclasses import dataclass

from orefield.config.require import require as _require


@dataclass(frozen=True)
class CalibrationConfig:
    """What differs from photograph to photograph, and is learned with the scene."""

    exposure: bool = False
    """Learn exposure and white balance: a gain and an offset per training image and channel. Test
    images then have theirs fitted on their left half, and are scored on the right."""
    exposure_lr: float = 2e-2
    """Learning rate of gains and offsets."""
    poses: bool = False
    """Learn small corrections of the training cameras' poses."""
    poses_lr: float = 1e-3
    """Learning rate of the corrections, in radians and scene units."""
    poses_after: int = 100
    """Steps before poses move: corrections to a scene that is still fog lead nowhere."""
    depth: float = 0.0
    """Weight of the depth loss, for scenes with depth maps; 0 does not use them."""

    def __post_init__(self) -> None:
        _require(self.exposure_lr > 0, "calibration.exposure_lr", "positive", self.exposure_lr)
        _require(self.poses_lr > 0, "calibration.poses_lr", "positive", self.poses_lr)
        _require(self.poses_after >= 0, "calibration.poses_after", "at least 0", self.poses_after)
        _require(self.depth >= 0, "calibration.depth", "at least 0", self.depth)
