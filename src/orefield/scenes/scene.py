"""A scene in memory: photographs with known cameras, in coordinates where the scene's box is the unit cube."""

from dataclasses import dataclass

from jaxtyping import Float, UInt8
from torch import Tensor

from orefield.cameras import Camera


@dataclass(frozen=True)
class View:
    """One photograph and where it was taken."""

    name: str
    camera: Camera
    pose: Float[Tensor, "3 4"]
    """Camera to scene, OpenCV axes, scene units."""
    image: UInt8[Tensor, "height width channels"]
    """RGB, or RGBA with straight alpha; a mask has become alpha."""


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
    """How train and test were told apart, for the protocol: 'official' or 'every 8th image'."""
