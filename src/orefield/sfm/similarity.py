"""The similarity between two sets of points, and how far two sets of poses agree."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation x + shift."""

    scale: float
    rotation: Float[Tensor, "3 3"]
    shift: Float[Tensor, " 3"]


@dataclass(frozen=True)
class Agreement:
    """How far poses are from a reference after the best similarity, one value per camera."""

    similarity: Similarity
    distances: Float[Tensor, " cameras"]
    """Between camera centers, as a share of the root mean square distance of the reference centers
    from their mean."""
    degrees: Float[Tensor, " cameras"]
    """Angle between camera rotations."""


def fit_similarity(
    source: Float[Tensor, "points 3"], target: Float[Tensor, "points 3"]
) -> Similarity:
    """The similarity that takes `source` nearest to `target` in least squares (Umeyama, 1991).

    Float64. Expects three points or more that do not lie on one line.
    """
    source, target = source.double(), target.double()
    from_mean, to_mean = source.mean(0), target.mean(0)
    a, b = source - from_mean, target - to_mean
    u, lengths, vt = torch.linalg.svd(b.T @ a / len(a))
    # A mirror image would fit better than any rotation: turn the weakest axis back.
    signs = torch.tensor([1.0, 1.0, float(torch.linalg.det(u @ vt).sign())], dtype=torch.float64)
    rotation = u @ torch.diag(signs) @ vt
    scale = float((lengths * signs).sum() / a.square().sum(1).mean())
    return Similarity(scale, rotation, to_mean - scale * rotation @ from_mean)


def compare_poses(
    poses: Float[Tensor, "cameras 3 4"], reference: Float[Tensor, "cameras 3 4"]
) -> Agreement:
    """How far camera-to-world poses are from a reference, up to a similarity."""
    poses, reference = poses.double(), reference.double()
    centers, targets = poses[:, :, 3], reference[:, :, 3]
    fit = fit_similarity(centers, targets)
    moved = fit.scale * centers @ fit.rotation.T + fit.shift
    spread = (targets - targets.mean(0)).square().sum(1).mean().sqrt()
    between = (fit.rotation @ poses[:, :, :3]).transpose(1, 2) @ reference[:, :, :3]
    # From the distance of the rotations: the arc cosine of the trace loses small angles.
    chord = (between - torch.eye(3, dtype=torch.float64)).flatten(1).norm(dim=1)
    degrees = torch.rad2deg(2 * torch.asin((chord / 8**0.5).clamp(max=1)))
    return Agreement(fit, (moved - targets).norm(dim=1) / spread, degrees)
