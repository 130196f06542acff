"""Settings of what is learned about the cameras: exposure, poses; and of the depth loss."""

from dataclasses import dataclass

from orefield.config.require import require as _require


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
        _require(self.exposure_lr > 0, "calibration.exposure_lr", "positive", self.exposure_lr)
        _require(self.poses_lr > 0, "calibration.poses_lr", "positive", self.poses_lr)
        _require(self.poses_after >= 0, "calibration.poses_after", "at least 0", self.poses_after)
        _require(self.depth >= 0, "calibration.depth", "at least 0", self.depth)
