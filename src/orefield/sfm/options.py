"""Options of finding poses; imports nothing heavy, for `orefield prepare --help`."""

from dataclasses import dataclass
from typing import Literal

from orefield.errors import ConfigError

MAX_EXHAUSTIVE = 80
"""More photographs than this are assumed to be in the order of a walk round the scene."""


@dataclass(frozen=True)
class PoseOptions:
    """Options of features, matching and mapping."""

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
    """For finding features the longer side is made at most this many pixels."""
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

    def exhaustive(self, count: int, video: bool) -> bool:
        """Whether all pairs of `count` photographs are compared."""
        if self.order == "auto":
            return not video and count <= MAX_EXHAUSTIVE
        return self.order == "exhaustive"
