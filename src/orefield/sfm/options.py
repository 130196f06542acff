"""What steers the search for poses; imports nothing heavy, for `orefield prepare --help`."""

from dataclasses import dataclass
from typing import Literal

from orefield.errors import ConfigError

MANY = 80
"""More photographs than this are taken for a walk round the scene and matched in their order."""


@dataclass(frozen=True)
class PoseOptions:
    """Features, matching and mapping."""

    order: Literal["auto", "sequential", "exhaustive"] = "auto"
    """Which photographs are compared: each with its neighbors in the order of their names, or all
    with all; auto takes sequential for a video and for more than 80 photographs."""
    camera: Literal["single", "per-image"] = "single"
    """One camera for all photographs of one size, or one for each."""
    model: Literal["OPENCV", "RADIAL", "SIMPLE_RADIAL", "PINHOLE", "SIMPLE_PINHOLE"] = "OPENCV"
    """Camera model, in COLMAP's names: OPENCV has two radial and two tangential terms."""
    features: int = 4096
    """Most features of one photograph."""
    feature_size: int = 1600
    """Features are sought at this length of the longer side, in pixels, or the picture's own."""
    threads: int = 0
    """CPU threads; 0 takes every core this process may use."""
    seed: int = 0
    """Seed of the random choices while matching and mapping."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("features", 64), ("feature_size", 64), ("threads", 0), ("seed", 0)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise ConfigError(f"{flag} must be at least {least}, got {getattr(self, name)}")

    def exhaustive(self, pictures: int, video: bool) -> bool:
        """Whether all pairs are compared."""
        if self.order == "auto":
            return not video and pictures <= MANY
        return self.order == "exhaustive"
