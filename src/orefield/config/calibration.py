"""Settings of what is learned about the cameras: exposure, poses; and of the depth loss."""

from dataclasses import dataclass

from orefield.config.require import require as _require

_RATE = "positive, at most 10"


@dataclass(frozen=True)
class CalibrationConfig:
    """What is learned about the cameras along with the scene, and the use of depth maps."""

    exposure: bool = False
    """Learn exposure and white balance: a gain and an offset per training image and channel. For
    test images they are fitted on the left half, and the right half is scored."""
    exposure_lr: float = 2e-2
    """Learning rate of the gains and offsets."""
    poses: bool = False
    """Learn small corrections to the poses of the training cameras."""
    poses_lr: float = 1e-3
    """Learning rate of the pose corrections, in radians and scene units."""
    poses_after: int = 100
    """Steps before poses are optimized: at first there are no surfaces to align them to."""
    depth: float = 0.0
    """Weight of the depth loss, for scenes with depth maps; 0 leaves it out."""

    def __post_init__(self) -> None:
        _require(0 < self.exposure_lr <= 10, "calibration.exposure_lr", _RATE, self.exposure_lr)
        _require(0 < self.poses_lr <= 10, "calibration.poses_lr", _RATE, self.poses_lr)
        after = self.poses_after
        _require(0 <= after <= 10**9, "calibration.poses_after", "in 0..10^9", after)
        _require(0 <= self.depth <= 1e6, "calibration.depth", "in [0, 1e6]", self.depth)
