"""How a scene is read."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal

from orefield.config.require import require as _require


@dataclass(frozen=True)
class SceneConfig:
    """How the photographs are read."""

    format: Literal["auto", "blender", "transforms", "llff", "colmap", "dtu"] = "auto"
    """Format of the scene; `auto` takes the first, in this order, whose files are in the folder."""
    downscale: int = 1
    """Divide the width and height of the largest images by this: by reading folders such as
    `images_4`, or by averaging areas."""
    holdout: int = 8
    """Scenes without a split of their own: every n-th image, from the first on, is a test view;
    0 trains on all images, and nothing is scored."""
    max_test_views: int = 0
    """Use at most this many test views, evenly spaced; 0 uses all."""
    max_images: int = 0
    """Use at most this many training images, evenly spaced; 0 uses all."""
    box: tuple[float, float, float, float] | None = None
    """The scene box: x, y and z of its center and the length of its side, in the units of the
    files. None: found from the cameras, or from what the files say about depths."""
    box_scale: float = 1.0
    """Enlarge the scene box, found or given, by this factor."""
    near: float = 0.0
    """Distance from a camera, in the units of the files, nearer than which nothing is sampled. 0:
    chosen along with the box."""
    background_extent: int = 0
    """Side of the sampled cube, as a multiple of the scene box: a power of two up to 128. 1: an
    object in its box. More: an unbounded scene. 0: chosen by how the cameras stand."""
    forward_facing: Literal["auto", "on", "off"] = "auto"
    """Sample a frustum from a near plane to infinity, evenly in disparity, in place of the box.
    `auto`: for opaque photographs whose cameras look one way, within about 18 degrees of their mean
    axis, at what has known depths, unless a box or a background is asked for."""
    masks: Literal["alpha", "ignore"] = "alpha"
    """What masks mean. `alpha`: they cut out an object, and there is nothing behind it. `ignore`:
    masked pixels (people, the tripod) are neither trained on nor scored."""
    mask_keeps: Literal["white", "black"] = "white"
    """Which side of a mask is kept; the other becomes transparent, or ignored."""
    allow_outside: bool = False
    """Also read images and masks outside of the scene's folder that its files or links point to."""

    def __post_init__(self) -> None:
        _require(self.downscale >= 1, "scene.downscale", "at least 1", self.downscale)
        _require(
            self.holdout == 0 or self.holdout >= 2,
            "scene.holdout",
            "at least 2, or 0 for no test views",
            self.holdout,
        )
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
        others = self.box is not None or self.background_extent or self.box_scale != 1
        contradicts = self.forward_facing == "on" and others
        expected = "auto or off with a box, box_scale or background_extent"
        _require(not contradicts, "scene.forward_facing", expected, self.forward_facing)
        if (box := self.box) is not None:
            finite = all(map(isfinite, box)) and box[3] > 0
            _require(finite, "scene.box", "finite: x, y, z and a side above 0", box)
        fits = self.box_scale > 0 and isfinite(self.box_scale)
        _require(fits, "scene.box_scale", "positive and finite", self.box_scale)
        fits = self.near >= 0 and isfinite(self.near)
        _require(fits, "scene.near", "positive and finite, or 0 to choose", self.near)
