"""A scene in memory: photographs with known cameras, scaled so that its box is the unit cube."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from statistics import median

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig, SceneFacts
from orefield.errors import one_line
from orefield.ops.frustum import Frustum


class SceneWarning(UserWarning):
    """Something wrong in a scene on disk that is not fatal; the message names file and field."""

    def __str__(self) -> str:
        """The message as one line (see `errors.one_line`)."""
        return one_line(super().__str__())


@dataclass(frozen=True)
class View:
    """One photograph, its camera and its pose."""

    name: str
    camera: Camera
    pose: Float[Tensor, "3 4"]
    """Camera to scene, OpenCV axes, scene units."""
    image: UInt8[Tensor, "height width channels"]
    """RGB, or RGBA with straight alpha; masks become alpha. Views read from disk are RGBA, opaque
    photographs with an alpha of 255."""
    valid: Bool[Tensor, "height width"] | None = None
    """Pixels to train on and to score; None for all. With `scene.masks=ignore` a mask excludes the
    others."""
    depth: Float[Tensor, "height width"] | None = None
    """Distance from the camera along the ray through each pixel's center, in scene units; 0 where
    unknown: the same quantity as `rendering.RenderedView.depth`, converted from the depth along the
    optical axis that files hold. None for views without a depth map."""


@dataclass(frozen=True)
class Scene:
    """Training and test views, and the way back to the coordinates of the files."""

    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    to_world: Float[Tensor, "4 4"]
    """Similarity from scene units to the coordinates of the files, float64: those may lie far from
    their origin, as in maps."""
    near: float
    """Distance from a camera, in scene units, nearer than which nothing is sampled."""
    split: str
    """How the views were divided, for people: 'official' or 'every 8th image', followed by
    ', 25 of 200 test views' where not all are used."""
    background_extent: int = 1
    """Side of the cube that is sampled, in sides of the box: 1 for the box alone, a larger power of
    two for an unbounded scene."""
    frustum: Frustum | None = None
    """Of a forward-facing scene: what is sampled in place of the box."""
    source: str = ""
    """What `open_scene` opened: an absolute path, or the name of an embedded scene."""
    config: SceneConfig = field(default_factory=SceneConfig)
    """How it was opened."""

    @property
    def unbounded(self) -> bool:
        """Whether the scene has a background beyond its box."""
        return self.background_extent > 1

    @property
    def facts(self) -> SceneFacts:
        """What presets choose by."""
        widths = [max(view.image.shape[:2]) for view in self.train]
        width = int(median(widths)) if widths else 0
        return SceneFacts(self.unbounded, self.frustum is not None, width)


def all_opaque(images: Iterable[UInt8[Tensor, "_ _ channels"]]) -> bool:
    """Whether no image, RGB or RGBA, has a transparent pixel."""
    return all(bool((image[..., 3:] == 255).all()) for image in images)


def describe(scene: Scene) -> str:
    """Two lines for people: views, split and image size; box and near distance in file units."""
    sizes = Counter((view.camera.width, view.camera.height) for view in scene.train + scene.test)
    (width, height), _ = sizes.most_common(1)[0]
    more = len(sizes) - 1
    others = f" and {more} other size{'s' * (more > 1)}" if more else ""
    side = float(scene.to_world[0, 0])
    center = (scene.to_world[:3, 3] + side / 2).tolist()
    x, y, z = (f"{value:.{_digits(value, side / 2)}g}" for value in center)
    far = side / 2 * scene.background_extent
    times = scene.background_extent
    background = f"with its background {far:.3g} ({times} times as far), " * scene.unbounded
    head = (
        f"{scene.name}: {len(scene.train)} training and {len(scene.test)} test views "
        f"({scene.split}), {width} x {height} pixels{others}\n"
    )
    if scene.frustum is not None:
        return head + _describe_frustum(scene.frustum, side)
    return (
        f"{head}box: center ({x}, {y}, {z}), half size {side / 2:.3g}, "
        f"{background}nothing nearer than {scene.near * side:.3g} to a camera (units of the files)"
    )


def _describe_frustum(frustum: Frustum, side: float) -> str:
    low, high = frustum.low.tolist(), frustum.high.tolist()
    across, down = (
        math.degrees(math.atan(b) - math.atan(a)) for a, b in zip(low, high, strict=True)
    )
    return (
        "forward-facing, for all cameras look one way: samples are even in disparity, from depth "
        f"{frustum.near * side:.3g} (units of the files) to infinity, {across:.0f} x {down:.0f} "
        "degrees"
    )


def _digits(value: float, half: float) -> int:
    """Three for a coordinate near the origin, more for one that is large beside the box."""
    return 3 + max(0, math.floor(math.log10(max(abs(value) / half, 1.0))))
