"""Projective coordinates for captures that look one way (Mildenhall et al. 2020, appendix C).

The space in front of the cameras, from a near plane to infinity, is a cube: with a point (x, y, z)
in the axes of a reference camera, near plane z = n,

    cube = ((x / z - low_x) / (high_x - low_x),  (y / z - low_y) / (high_y - low_y),  1 - n / z),

so that equal steps in depth are equal steps in disparity, as photographs resolve them. The map is
projective: a ray is a straight line in the cube too, on which marching and rendering work as in any
box. Only distances have to be taken back. The paper's cube has the symmetric range -1 to 1; here it
is just as wide as the cameras see.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.types import CubeRays, Rays

_LEAST_SLOPE = 1e-6
"""Rays whose direction is less along the reference axis than this see nothing in the cube."""


@dataclass(frozen=True)
class Frustum:
    """The space before a reference camera, from its near plane to infinity."""

    pose: Float[Tensor, "3 4"]
    """Reference camera to scene, OpenCV axes, scene units."""
    low: Float[Tensor, "2"]
    """x / z and y / z at which the cube begins."""
    high: Float[Tensor, "2"]
    """And ends."""
    near: float
    """Depth of the near plane, in scene units."""

    def to(self, device: torch.device) -> "Frustum":
        """The same on another device."""
        return Frustum(self.pose.to(device), self.low.to(device), self.high.to(device), self.near)

    def numbers(self) -> tuple[float, ...]:
        """17 numbers: the pose by rows, `low`, `high`, `near`; see `from_numbers`."""
        parts = self.pose.flatten(), self.low, self.high
        return (*torch.cat(parts).tolist(), self.near)

    @staticmethod
    def from_numbers(numbers: Sequence[float]) -> "Frustum":
        """The inverse of `numbers`, to float32."""
        pose, low, high = torch.tensor(numbers[:16]).split((12, 2, 2))
        return Frustum(pose.view(3, 4), low, high, numbers[16])

    def to_cube(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """Positions in scene units to positions in the cube.

        Points nearer than half of the near plane, or behind, are treated as if they were there.
        """
        local = self.pose[:, :3].T @ (points - self.pose[:, 3:])
        z = local[2].clamp(min=self.near / 2)
        across = (local[:2] / z - self.low[:, None]) / (self.high - self.low)[:, None]
        return torch.cat((across, (1 - self.near / z)[None]))

    def to_scene(self, points: Float[Tensor, "3 points"]) -> Float[Tensor, "3 points"]:
        """The inverse of `to_cube` for z < 1, where space ends."""
        z = self.near / (1 - points[2])
        across = (points[:2] * (self.high - self.low)[:, None] + self.low[:, None]) * z
        return self.pose[:, :3] @ torch.cat((across, z[None])) + self.pose[:, 3:]

    def cube_rays(self, rays: Rays, near: float) -> CubeRays:
        """The rays in the cube, from the near plane on, or from a distance `near`, if that is more.

        A ray that does not run forward becomes one that misses the cube.
        """
        axes = self.pose[:, :3]
        origins, directions = (rays.origins - self.pose[:, 3]) @ axes, rays.directions @ axes
        slope = directions[:, 2].clamp(min=_LEAST_SLOPE)
        start = ((self.near - origins[:, 2]) / slope).clamp(min=near)
        local = origins + start[:, None] * directions
        z = local[:, 2:].clamp(min=self.near)
        size = self.high - self.low
        begin = torch.cat(((local[:, :2] / z - self.low) / size, 1 - self.near / z), 1)
        vanishing = torch.cat(
            ((directions[:, :2] / slope[:, None] - self.low) / size, torch.ones_like(z)), 1
        )
        along = vanishing - begin
        length = along.norm(dim=1)
        forward = directions[:, 2:] > _LEAST_SLOPE
        # Away from the cube, from a point beyond it.
        begin = torch.where(forward, begin, 2.0)
        along = torch.where(forward, along / length[:, None], 3**-0.5)
        return CubeRays(Rays(begin, along), start, z[:, 0] / slope, length)
