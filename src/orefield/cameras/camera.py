"""A camera: its lens, its pixels, and the rays through them.

Pixel (x, y) counts from the image's top left corner; the center of the first pixel is (0.5, 0.5).
Camera axes are OpenCV's: x right, y down, z forward. A pose is camera-to-scene, `[R | c]`, 3 x 4.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras.lenses import Lens, folds, to_directions, to_plane
from orefield.types import Rays


@dataclass(frozen=True)
class Camera:
    """A camera with one of three lenses (see `lenses`): perspective, fisheye, equirectangular.

    Sizes, focal lengths and the principal point are in pixels; the focal lengths of a fisheye and
    of an equirectangular camera are pixels per radian, at the center or everywhere. Raises
    ValueError for a size below one pixel, a focal length that is not positive, numbers that are not
    finite, and a lens that is not one-to-one over the image, so that some of its pixels have no
    ray or several.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0)
    """OpenCV's coefficients: perspective (k1, k2, p1, p2), (.., k3) or (.., k3, k4, k5, k6);
    fisheye (k1, k2, k3, k4); equirectangular four zeros."""
    lens: Lens = "perspective"

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a camera needs a pixel or more, got {self.width} x {self.height}")
        if not all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy, *self.distortion))):
            raise ValueError(f"a camera's numbers must be finite, got {self}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"a focal length must be positive, got {self.fx} and {self.fy} pixels")
        lengths = (4, 5, 8) if self.lens == "perspective" else (4,)
        if len(self.distortion) not in lengths:
            raise ValueError(
                f"a {self.lens} lens takes {' or '.join(map(str, lengths))} coefficients, "
                f"got {self.distortion}"
            )
        if self.lens == "equirectangular" and self.distorted:
            raise ValueError(f"an equirectangular lens has no distortion, got {self.distortion}")
        if not self.straight and _folds(self):
            raise ValueError(
                f"{self.lens} lens with distortion {self.distortion} folds an image of "
                f"{self.width} x {self.height} pixels: some of them have no ray or several"
            )

    @property
    def distorted(self) -> bool:
        """Whether any distortion coefficient differs from zero."""
        return any(self.distortion)

    @property
    def straight(self) -> bool:
        """Whether this is a pinhole camera: a matrix takes its pixels to directions."""
        return self.lens == "perspective" and not self.distorted

    @property
    def coefficients(self) -> tuple[float, ...]:
        """The distortion as `lenses` takes it, eight numbers."""
        return (*self.distortion, *(0.0,) * (8 - len(self.distortion)))

    def rescaled(self, factor: float) -> "Camera":
        """This camera for its image resized by `factor`; pixels covered in part are left out."""
        assert factor > 0
        # The small addend undoes 49 * (1 / 49) < 1.
        width, height = (math.floor(size * factor + 1e-6) for size in (self.width, self.height))
        return self.resized(width, height, factor, factor)

    def resized(self, width: int, height: int, across: float, down: float) -> "Camera":
        """This camera for its image stretched by two factors and cut to so many pixels."""
        focal, center = (self.fx * across, self.fy * down), (self.cx * across, self.cy * down)
        return Camera(width, height, *focal, *center, self.distortion, self.lens)


def panorama(width: int, height: int) -> Camera:
    """The camera of an equirectangular image of all directions."""
    fx, fy = width / (2 * math.pi), height / math.pi
    return Camera(width, height, fx, fy, width / 2, height / 2, lens="equirectangular")


@lru_cache(maxsize=64)  # the photographs of one capture mostly share their camera
def _folds(camera: Camera) -> bool:
    border = _plane(camera, _border(camera, 9))
    coefficients = border.new_tensor(camera.coefficients)
    return folds(camera.lens, border, coefficients, max(camera.fx, camera.fy))


def _border(camera: Camera, per_side: int) -> Float[Tensor, "n 2"]:
    """Pixel positions on the image's border, corners included, float64."""
    along = torch.linspace(0, 1, per_side, dtype=torch.float64)
    zero, one = torch.zeros_like(along), torch.ones_like(along)
    sides = (along, zero), (along, one), (zero, along), (one, along)
    size = torch.tensor([camera.width, camera.height], dtype=torch.float64)
    return torch.cat([torch.stack(side, dim=1) for side in sides]) * size


def _plane(camera: Camera, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Plane coordinates of pixels, in float64 (see lenses.py)."""
    pixels = pixels.double()
    center = pixels.new_tensor([camera.cx, camera.cy])
    return (pixels - center) / pixels.new_tensor([camera.fx, camera.fy])


def pixel_directions(camera: Camera, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Unit direction, in camera axes, of the ray through each pixel position (x, y).

    Camera(4, 4, fx=2, fy=2, cx=2, cy=2): pixel (2, 2) has (0, 0, 1), pixel (4, 2) has (1, 0, 1)
    over its length.
    """
    plane = _plane(camera, pixels)
    directions = to_directions(camera.lens, plane, plane.new_tensor(camera.coefficients))
    return directions.to(pixels.dtype)


def project(camera: Camera, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Pixel position (x, y) of points in camera axes; NaN for points the lens cannot see.

    Those are the points behind a perspective lens, and the one direction straight behind a fisheye.
    Camera(4, 4, fx=2, fy=2, cx=2, cy=2): the point (1, 0, 2) has pixel (3, 2).
    """
    coefficients = points.new_tensor(camera.coefficients, dtype=torch.float64)
    plane = to_plane(camera.lens, points, coefficients)
    center, focal = (
        plane.new_tensor([camera.cx, camera.cy]),
        plane.new_tensor([camera.fx, camera.fy]),
    )
    return (plane * focal + center).to(points.dtype)


def border_directions(camera: Camera, per_side: int) -> Float[Tensor, "n 3"]:
    """Unit directions through the image's border, corners included, float64."""
    return pixel_directions(camera, _border(camera, per_side))


def pixel_centers(camera: Camera) -> Float[Tensor, "pixels 2"]:
    """Positions (x, y) of all pixel centers, row by row from the top left."""
    x = torch.arange(camera.width) + 0.5
    y = torch.arange(camera.height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def view_rays(camera: Camera, pose: Float[Tensor, "3 4"]) -> Rays:
    """Rays through all pixel centers, row by row from the top left, in the axes `pose` leads to."""
    directions = pixel_directions(camera, pixel_centers(camera)).to(pose)
    origins = pose[:, 3].expand(len(directions), 3)
    return Rays(origins, directions @ pose[:, :3].T)
