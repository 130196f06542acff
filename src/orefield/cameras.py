"""Cameras: pixel to ray and ray to pixel.

Pixel (x, y) counts from the image's top left corner; the centre of the first pixel is (0.5, 0.5).
Camera axes are OpenCV's: x right, y down, z forward. A pose is camera-to-scene, `[R | c]`, 3 x 4.
A point's *plane* coordinates are (x / z, y / z): where its ray meets the plane z = 1.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.types import Rays


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, with OpenCV's radial-tangential lens distortion where it has any.

    Sizes, focal lengths and the principal point are in pixels. Raises ValueError for a size below
    one pixel, a focal length that is not positive, numbers that are not finite, and a distortion
    that folds the picture over, so that some of its pixels have no ray or several.
    """

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """(k1, k2, p1, p2) as in OpenCV: two radial and two tangential coefficients."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.width < 1 or self.height < 1:
            raise ValueError(f"a camera needs a pixel or more, got {self.width} x {self.height}")
        if not all(map(math.isfinite, (self.fx, self.fy, self.cx, self.cy, *self.distortion))):
            raise ValueError(f"a camera's numbers must be finite, got {self}")
        if self.fx <= 0 or self.fy <= 0:
            raise ValueError(f"a focal length must be positive, got {self.fx} and {self.fy} pixels")
        if self.distorted and _folds(self):
            raise ValueError(
                f"distortion {self.distortion} folds a picture of {self.width} x {self.height} "
                "pixels: some of them have no ray or several"
            )

    @property
    def distorted(self) -> bool:
        """Whether any distortion coefficient differs from zero."""
        return any(self.distortion)

    def rescaled(self, factor: float) -> "Camera":
        """This camera for its picture resized by `factor`, less pixels that are covered in part."""
        assert factor > 0
        # The small addend undoes 49 * (1 / 49) < 1.
        width, height = (math.floor(size * factor + 1e-6) for size in (self.width, self.height))
        focal = self.fx * factor, self.fy * factor
        return Camera(width, height, *focal, self.cx * factor, self.cy * factor, self.distortion)


def distort(
    plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 4"]
) -> Float[Tensor, "n 2"]:
    """Plane coordinates behind the lens: OpenCV's model with two radial and two tangential terms.

    `coefficients` are (k1, k2, p1, p2), for all points or one row each.
    Source: OpenCV's documentation, module calib3d.
    """
    k1, k2, p1, p2 = coefficients.unbind(-1)
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    return torch.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ),
        dim=-1,
    )


def undistort(
    bent: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 4"]
) -> Float[Tensor, "n 2"]:
    """The inverse of `distort`, by Newton's method in float64, to 1e-10."""
    target, coefficients = bent.double(), coefficients.double()
    plane = target
    for _ in range(20):
        xx, xy, yy = _jacobian(plane, coefficients)
        ex, ey = (distort(plane, coefficients) - target).unbind(-1)
        determinant = xx * yy - xy * xy
        step = torch.stack((yy * ex - xy * ey, xx * ey - xy * ex), -1) / determinant[:, None]
        plane = plane - step
        if not (step.abs() > 1e-10).any():
            break
    return plane.to(bent.dtype)


def _jacobian(
    plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 4"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Derivative of `distort`: a symmetric 2 x 2 matrix as (xx, xy, yy)."""
    k1, k2, p1, p2 = coefficients.unbind(-1)
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    radial = 1 + r2 * (k1 + r2 * k2)
    slope = 2 * k1 + 4 * k2 * r2  # the gradient of `radial` is slope * (x, y)
    return (
        radial + slope * x * x + 2 * p1 * y + 6 * p2 * x,
        slope * x * y + 2 * p1 * x + 2 * p2 * y,
        radial + slope * y * y + 6 * p1 * y + 2 * p2 * x,
    )


@lru_cache(maxsize=64)  # the photographs of one capture mostly share their camera
def _folds(camera: Camera) -> bool:
    """Whether the distortion fails to be one-to-one out to the picture's border."""
    along = torch.linspace(0, 1, 9, dtype=torch.float64)
    zero, one = torch.zeros_like(along), torch.ones_like(along)
    sides = (along, zero), (along, one), (zero, along), (one, along)
    border = torch.cat([torch.stack(side, dim=1) for side in sides])
    bent = _plane(camera, border * torch.tensor([camera.width, camera.height]))
    coefficients = _coefficients(camera, bent)
    plane = undistort(bent, coefficients)
    # On the way out from the axis, where it is 1, the determinant sinks to 0 at a fold.
    way = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None, None] * plane
    xx, xy, yy = _jacobian(way.reshape(-1, 2), coefficients)
    solved = (distort(plane, coefficients) - bent).abs().max() * max(camera.fx, camera.fy) < 1e-4
    return not (bool(solved) and bool((xx * yy > xy * xy).all()))


def _plane(camera: Camera, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 2"]:
    """Plane coordinates of pixels before the lens distortion is taken off, in float64."""
    pixels = pixels.double()
    centre, focal = (
        pixels.new_tensor([camera.cx, camera.cy]),
        pixels.new_tensor([camera.fx, camera.fy]),
    )
    return (pixels - centre) / focal


def _coefficients(camera: Camera, like: Float[Tensor, "n 2"]) -> Float[Tensor, "4"]:
    return like.new_tensor(camera.distortion)


def pixel_directions(camera: Camera, pixels: Float[Tensor, "n 2"]) -> Float[Tensor, "n 3"]:
    """Unit direction, in camera axes, of the ray through each pixel position (x, y)."""
    plane = _plane(camera, pixels)
    if camera.distorted:
        plane = undistort(plane, _coefficients(camera, plane))
    ray = torch.cat((plane, torch.ones_like(plane[:, :1])), dim=1)
    unit: Tensor = ray / torch.linalg.vector_norm(ray, dim=1, keepdim=True)
    return unit.to(pixels.dtype)


def project(camera: Camera, points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 2"]:
    """Pixel position (x, y) of points in camera axes; NaN for points not in front of the camera."""
    depth = points[:, 2:].double()
    plane = points[:, :2].double() / depth
    if camera.distorted:
        plane = distort(plane, _coefficients(camera, plane))
    centre, focal = (
        plane.new_tensor([camera.cx, camera.cy]),
        plane.new_tensor([camera.fx, camera.fy]),
    )
    return torch.where(depth > 0, plane * focal + centre, torch.nan).to(points.dtype)


def pixel_centres(camera: Camera) -> Float[Tensor, "pixels 2"]:
    """Positions (x, y) of all pixel centres, row by row from the top left."""
    x = torch.arange(camera.width) + 0.5
    y = torch.arange(camera.height) + 0.5
    return torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1).reshape(-1, 2)


def view_rays(camera: Camera, pose: Float[Tensor, "3 4"]) -> Rays:
    """Rays through all pixel centres, row by row from the top left, where `pose` leads to."""
    directions = pixel_directions(camera, pixel_centres(camera)).to(pose)
    origins = pose[:, 3].expand(len(directions), 3)
    return Rays(origins, directions @ pose[:, :3].T)
