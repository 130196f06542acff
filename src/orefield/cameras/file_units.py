"""Between scene units and the coordinates of the scene's files: a scale and a shift, no rotation.

`to_world` is the scene's (`scenes.Scene`). All results are float64: files may lie far from zero.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Points = Float[Tensor, "3 points"]
Pose = Float[Tensor, "3 4"]


def points_to_files(points: Points, to_world: Float[Tensor, "4 4"]) -> Points:
    """Points in scene units as points in the coordinates of the files."""
    to_world = to_world.double()
    return points.double() * to_world[0, 0] + to_world[:3, 3:]


def points_to_scene(points: Points, to_world: Float[Tensor, "4 4"]) -> Points:
    """The inverse of `points_to_files`."""
    to_world = to_world.double()
    return (points.double() - to_world[:3, 3:]) / to_world[0, 0]


def pose_to_files(pose: Pose, to_world: Float[Tensor, "4 4"]) -> Pose:
    """A camera's pose in scene units as one in the coordinates of the files; axes stay."""
    return torch.cat([pose[:, :3].double(), points_to_files(pose[:, 3:], to_world)], 1)


def pose_to_scene(pose: Pose, to_world: Float[Tensor, "4 4"]) -> Pose:
    """The inverse of `pose_to_files`."""
    return torch.cat([pose[:, :3].double(), points_to_scene(pose[:, 3:], to_world)], 1)
