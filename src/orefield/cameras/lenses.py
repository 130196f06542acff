"""Lenses: from directions in camera axes to *plane* coordinates, and back.

Plane coordinates are pixels less the principal point, divided by the focal lengths. By lens:

- `perspective`: x / z and y / z, bent by OpenCV's radial and tangential terms with coefficients
  (k1, k2, p1, p2, k3, k4, k5, k6), of which k4 to k6 divide;
- `fisheye`: OpenCV's: a vector as long as theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 +
  k4 theta^8), theta the angle from the optical axis, in [0, pi];
- `equirectangular`: longitude and latitude in radians, 0 straight ahead, positive right and down.

Coefficients are eight numbers, for all points or one row each. Everything here works in float64.
Source of the formulas: OpenCV's documentation, modules calib3d and calib3d::fisheye.
"""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Lens = Literal["perspective", "fisheye", "equirectangular"]

NEWTON_STEPS = 20
SOLVED = 1e-10


def to_directions(
    lens: Lens, plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 8"]
) -> Float[Tensor, "n 3"]:
    """Unit directions in camera axes of plane coordinates."""
    plane, coefficients = plane.double(), coefficients.double()
    if lens == "equirectangular":
        longitude, latitude = plane.unbind(1)
        level = latitude.cos()
        turned = longitude.sin() * level, latitude.sin(), longitude.cos() * level
        return torch.stack(turned, dim=1)
    if lens == "fisheye":
        length = torch.linalg.vector_norm(plane, dim=1)
        angle = _fisheye_angle(length, coefficients)
        across = angle.sin() / length.clamp(min=1e-300)
        return torch.cat((plane * across[:, None], angle.cos()[:, None]), dim=1)
    ray = torch.cat((undistort(plane, coefficients), torch.ones_like(plane[:, :1])), dim=1)
    unit: Tensor = ray / torch.linalg.vector_norm(ray, dim=1, keepdim=True)
    return unit


def to_plane(
    lens: Lens, points: Float[Tensor, "n 3"], coefficients: Float[Tensor, "*#n 8"]
) -> Float[Tensor, "n 2"]:
    """Plane coordinates of points in camera axes; NaN where a point has none.

    A perspective lens sees nothing behind the camera, a fisheye all but the one direction straight
    behind.
    """
    points, coefficients = points.double(), coefficients.double()
    across, depth = points[:, :2], points[:, 2]
    if lens == "equirectangular":
        latitude = torch.atan2(points[:, 1], torch.hypot(points[:, 0], depth))
        seen = torch.stack((torch.atan2(points[:, 0], depth), latitude), dim=1)
        return torch.where((points != 0).any(1, keepdim=True), seen, torch.nan)
    if lens == "fisheye":
        length = torch.linalg.vector_norm(across, dim=1)
        bent, _ = _fisheye(torch.atan2(length, depth), coefficients)
        off_axis = (length > 0)[:, None]
        outward = across / length.clamp(min=1e-300)[:, None] * bent[:, None]
        ahead = torch.where((depth > 0)[:, None], across, torch.nan)  # (0, 0) or nothing
        return torch.where(off_axis, outward, ahead)
    seen = distort(across / depth[:, None], coefficients)
    return torch.where((depth > 0)[:, None], seen, torch.nan)


def distort(
    plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 8"]
) -> Float[Tensor, "n 2"]:
    """Distorted plane coordinates of a perspective lens, from those of a pinhole."""
    p1, p2 = coefficients[..., 2], coefficients[..., 3]
    x, y = plane.unbind(-1)
    r2 = x * x + y * y
    radial, _ = _radial(r2, coefficients)
    return torch.stack(
        (
            x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
            y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
        ),
        dim=-1,
    )


def undistort(
    bent: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 8"]
) -> Float[Tensor, "n 2"]:
    """The inverse of `distort`, by Newton's method, to 1e-10."""
    plane = bent
    if not coefficients.any():
        return plane
    for _ in range(NEWTON_STEPS):
        xx, xy, yy = _jacobian(plane, coefficients)
        ex, ey = (distort(plane, coefficients) - bent).unbind(-1)
        determinant = xx * yy - xy * xy
        step = torch.stack((yy * ex - xy * ey, xx * ey - xy * ex), -1) / determinant[:, None]
        plane = plane - step
        if not (step.abs() > SOLVED).any():
            break
    return plane


def folds(
    lens: Lens, border: Float[Tensor, "n 2"], coefficients: Float[Tensor, "8"], focal: float
) -> bool:
    """Whether the lens fails to be one-to-one out to the image's border.

    `border` are plane coordinates, `focal` the longer focal length in pixels.
    """
    if lens == "equirectangular":
        return bool((border.abs() > border.new_tensor([math.pi, math.pi / 2]) + SOLVED).any())
    if lens == "fisheye":
        length = torch.linalg.vector_norm(border, dim=1).amax()[None]
        angle = _fisheye_angle(length, coefficients)
        bent, _ = _fisheye(angle, coefficients)
        _, slope = _fisheye(torch.linspace(0, 1, 65).double() * angle, coefficients)
        solved = float((bent - length).abs().max()) * focal < 1e-4
        return not (solved and bool((slope > 0).all()))
    plane = undistort(border, coefficients)
    # On the way out from the axis, where it is 1, the determinant sinks to 0 at a fold.
    way = torch.linspace(0, 1, 17, dtype=torch.float64)[:, None, None] * plane
    xx, xy, yy = _jacobian(way.reshape(-1, 2), coefficients)
    solved = float((distort(plane, coefficients) - border).abs().max()) * focal < 1e-4
    return not (solved and bool((xx * yy > xy * xy).all()))


def _radial(
    r2: Float[Tensor, " n"], coefficients: Float[Tensor, "*#n 8"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The radial factor at squared radii, and its derivative by them."""
    k1, k2, _, _, k3, k4, k5, k6 = coefficients.unbind(-1)
    above, below = (1 + r2 * (a + r2 * (b + r2 * c)) for a, b, c in ((k1, k2, k3), (k4, k5, k6)))
    rises = [a + r2 * (2 * b + r2 * 3 * c) for a, b, c in ((k1, k2, k3), (k4, k5, k6))]
    radial = above / below
    return radial, (rises[0] - radial * rises[1]) / below


def _jacobian(
    plane: Float[Tensor, "n 2"], coefficients: Float[Tensor, "*#n 8"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Derivative of `distort`: a symmetric 2 x 2 matrix as (xx, xy, yy)."""
    p1, p2 = coefficients[..., 2], coefficients[..., 3]
    x, y = plane.unbind(-1)
    radial, rise = _radial(x * x + y * y, coefficients)
    slope = 2 * rise  # the gradient of `radial` is slope * (x, y)
    return (
        radial + slope * x * x + 2 * p1 * y + 6 * p2 * x,
        slope * x * y + 2 * p1 * x + 2 * p2 * y,
        radial + slope * y * y + 6 * p1 * y + 2 * p2 * x,
    )


def _fisheye(
    angle: Float[Tensor, " n"], coefficients: Float[Tensor, "*#n 8"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Distance from the principal point at an angle from the axis, and its derivative."""
    k1, k2, k3, k4 = coefficients[..., :4].unbind(-1)
    s = angle * angle
    bent = angle * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4))))
    return bent, 1 + s * (3 * k1 + s * (5 * k2 + s * (7 * k3 + s * 9 * k4)))


def _fisheye_angle(
    bent: Float[Tensor, " n"], coefficients: Float[Tensor, "*#n 8"]
) -> Float[Tensor, " n"]:
    """The inverse of `_fisheye`, by Newton's method, to 1e-10; never beyond half a turn."""
    angle = bent.clamp(max=math.pi)
    for _ in range(NEWTON_STEPS):
        value, slope = _fisheye(angle, coefficients)
        following = (angle - (value - bent) / slope).clamp(0, math.pi)
        done = not ((following - angle).abs() > SOLVED).any()
        angle = following
        if done:
            break
    return angle
