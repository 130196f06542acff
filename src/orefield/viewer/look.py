"""What a visitor looks at: a camera of the page, and how its picture is made."""

from dataclasses import dataclass
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, view_rays
from orefield.cameras.path_file import fov_camera
from orefield.scenes.scene import View
from orefield.types import Rays

Show = Literal[
    "color", "depth", "opacity", "normals", "photograph | render", "blend", "kept", "hardness"
]
SHOWS: tuple[Show, ...] = get_args(Show)
MINED: tuple[Show, ...] = ("kept", "hardness")
PHOTOGRAPHED: tuple[Show, ...] = ("photograph | render", "blend", *MINED)
"""Pictures made from the camera of the nearest photograph."""
LEAST, LARGEST, USUAL = 64, 2048, 640
"""Pixels on the longer side of a picture at rest."""


@dataclass(frozen=True)
class Eye:
    """A camera of the page."""

    pose: Float[Tensor, "3 4"]
    """Camera to scene, OpenCV axes, scene units, float64."""
    fov: float
    """Vertical field of view in degrees."""
    width: int
    height: int
    """Of the window, in pixels."""

    def camera(self, pixels: float, longest: int = LARGEST) -> Camera:
        """A pinhole camera of the window's shape with about so many pixels, not more than it has.

        No side is longer than `longest`.
        """
        scale = min(
            (pixels / (self.width * self.height)) ** 0.5,
            longest / max(self.width, self.height),
            1.0,
        )
        width, height = (max(round(size * scale), 1) for size in (self.width, self.height))
        return fov_camera(self.fov, width, height)

    def rays(self, camera: Camera) -> Rays:
        """Rays through the pixels of a camera of this eye."""
        return view_rays(camera, self.pose.float())


@dataclass(frozen=True)
class Look:
    """How a visitor wants to see the scene."""

    show: Show = "color"
    background: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """RGB in [0, 1]."""
    blend: float = 0.5
    """Share of the render in a blend with the photograph."""
    longest: int = USUAL
    """Pixels on the longer side of a picture at rest."""


def nearest_view(eye: Eye, views: tuple[View, ...]) -> View:
    """The photograph taken from nearest by, and in the most similar direction."""

    def distance(view: View) -> float:
        pose = view.pose.double()
        away = float((pose[:, 3] - eye.pose[:, 3]).norm())
        turned = 1 - float(pose[:, 2] @ eye.pose[:, 2])
        return away + 0.5 * turned

    return min(views, key=distance)
