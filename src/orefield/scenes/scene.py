"""A scene in memory: photographs with known cameras, moved so that its box is the unit cube."""

from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from jaxtyping import Bool, Float, UInt8
from torch import Tensor

from orefield.cameras import Camera
from orefield.config import SceneConfig


class SceneWarning(UserWarning):
    """Something in a scene on disk that can be lived with; the message names file and field."""


@dataclass(frozen=True)
class View:
    """One photograph and where it was taken."""

    name: str
    camera: Camera
    pose: Float[Tensor, "3 4"]
    """Camera to scene, OpenCV axes, scene units."""
    image: UInt8[Tensor, "height width channels"]
    """RGB, or RGBA with straight alpha, which a mask becomes. Views read from disk are RGBA, opaque
    photographs with an alpha of 255."""
    valid: Bool[Tensor, "height width"] | None = None
    """Pixels to learn from and to be scored on; None where all are. `scene.masks=ignore` makes the
    others of a mask."""
    depth: Float[Tensor, "height width"] | None = None
    """Distance from the camera along the ray through each pixel's center, in scene units; 0 where
    unknown. Files hold depth along the optical axis, which is converted; `render.Picture.depth` is
    the same kind of distance. None for views without a depth map."""


@dataclass(frozen=True)
class Scene:
    """Training and test views, and how to get back to the coordinates of the files."""

    name: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    to_world: Float[Tensor, "4 4"]
    """Similarity from scene units to the coordinates of the files."""
    near: float
    """Distance from a camera, in scene units, before which nothing is sampled."""
    split: str
    """How train and test were told apart, for the protocol: 'official', 'every 8th image'; followed
    by ', 25 of 200 test views' where not all are used."""
    background_extent: int = 1
    """Side of the cube round the box that is sampled: 1 is the box, more, a power of two, its
    surroundings too."""
    source: str = ""
    """Where `open_scene` found it: an absolute path, or an embedded scene's name."""
    config: SceneConfig = SceneConfig()
    """How it was opened."""

    @property
    def unbounded(self) -> bool:
        """Whether there is a background beyond the scene's box."""
        return self.background_extent > 1

    @cached_property
    def opaque(self) -> bool:
        """Whether there are training photographs, none with a transparent pixel."""
        images = [view.image for view in self.train]
        return bool(images) and all(bool((image[..., 3:] == 255).all()) for image in images)


def describe(scene: Scene) -> str:
    """Two lines for people: views, split and size; box and near distance in units of the files."""
    sizes = Counter((view.camera.width, view.camera.height) for view in scene.train + scene.test)
    (width, height), _ = sizes.most_common(1)[0]
    more = len(sizes) - 1
    others = f" and {more} other size{'s' * (more > 1)}" if more else ""
    side = float(scene.to_world[0, 0])
    center = scene.to_world[:3, 3] + side / 2
    x, y, z = (f"{value:.3g}" for value in center.tolist())
    far = side / 2 * scene.background_extent
    around = f"with surroundings {far:.3g} ({scene.background_extent} times as far), " * (
        scene.background_extent > 1
    )
    return (
        f"{scene.name}: {len(scene.train)} training and {len(scene.test)} test views "
        f"({scene.split}), {width} x {height} pixels{others}\n"
        f"box: center ({x}, {y}, {z}), half size {side / 2:.3g}, "
        f"{around}nothing nearer than {scene.near * side:.3g} to a camera (units of the files)"
    )
