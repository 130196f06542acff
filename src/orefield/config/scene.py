"""Settings of reading a scene."""

from dataclasses import dataclass
from typing import Literal

from orefield.config.require import require as _require


@dataclass(frozen=True)
class SceneConfig:
    """How the photographs are read."""

    format: Literal["auto", "blender", "transforms", "llff", "colmap", "dtu"] = "auto"
    """Which of the formats in the scene's folder to read; `auto` takes the first that is there, in
    this order."""
    downscale: int = 1
    """Divide image width and height by this whole number: by folders such as `images_4` where they
    help, else by averaging areas. It counts from the largest images there."""
    holdout: int = 8
    """Scenes without a split: every n-th image, starting with the first, is a test view."""
    max_test_views: int = 0
    """Use at most this many test views, evenly spaced; 0 uses all."""
    max_images: int = 0
    """Use at most this many training images, evenly spaced; 0 uses all."""
    box_scale: float = 1.0
    """Enlarge the scene box found from the cameras by this factor."""
    background_extent: int = 0
    """How many times as wide as the box what is sampled is: a power of two up to 128. 1: the box
    and nothing round it; more: its surroundings too; 0: as the capture suggests."""
    masks: Literal["alpha", "ignore"] = "alpha"
    """What masks mean. `alpha`: they cut out an object, and nothing is behind it. `ignore`: they
    hide what is not to be learned (people, the tripod); neither trained on nor scored."""
    mask_keeps: Literal["white", "black"] = "white"
    """Which side of a mask is kept; the other becomes transparent, or ignored."""
    allow_outside: bool = False
    """Read images and masks outside the scene's folder, where its files or links lead there."""

    def __post_init__(self) -> None:
        _require(self.downscale >= 1, "scene.downscale", "at least 1", self.downscale)
        _require(self.holdout >= 2, "scene.holdout", "at least 2", self.holdout)
        _require(
            self.max_test_views >= 0, "scene.max_test_views", "at least 0", self.max_test_views
        )
        _require(self.max_images >= 0, "scene.max_images", "at least 0", self.max_images)
        extents = [0, *(2**k for k in range(8))]
        _require(
            self.background_extent in extents,
            "scene.background_extent",
            f"one of {extents}",
            self.background_extent,
        )
        _require(self.box_scale > 0, "scene.box_scale", "positive", self.box_scale)
