"""Settings of what is learnt about the photographs themselves."""

from dataclasses import dataclass

from orefield.config.require import require as _require


@dataclass(frozen=True)
class CalibrationConfig:
    """What differs from photograph to photograph, and is learnt with the scene."""

    exposure: bool = False
    """Learn exposure and white balance: a gain and an offset per training image and channel."""
    poses: bool = False
    """Learn small corrections of the training cameras' poses."""
    depth: float = 0.0
    """Weight of the depth loss, for scenes with depth maps; 0 does not use them."""

    def __post_init__(self) -> None:
        _require(self.depth >= 0, "calibration.depth", "at least 0", self.depth)
