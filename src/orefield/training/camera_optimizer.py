"""What is learned about the photographs beside the scene: exposures and camera poses.

Both start at the identity and are only determined up to a change of the whole scene (all pictures
brighter, all cameras moved): gains and offsets are taken relative to their mean over all images,
and poses hold on to the given ones by starting there.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.config import CalibrationConfig
from orefield.ops.contraction import contract
from orefield.ops.volume_rendering import Rendering
from orefield.training.losses import Exposure, PixelLoss
from orefield.types import CubeRays, PackedSamples, Rays

PULL = 1e-3
"""Weight of the squared distance from the identity in the loss of the exposures."""


class ExposureCorrections(nn.Module):
    """A gain and an offset per image and channel: what a camera makes of the light of the scene.

    A pixel is gain * color + offset * opacity, over its background, which no camera has changed.
    """

    def __init__(self, views: int) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.zeros(views, 3))
        self.offsets = nn.Parameter(torch.zeros(views, 3))

    @torch.no_grad()
    def of(self, view: Int[Tensor, " rays"]) -> Exposure:
        """Gain and offset of each ray's image."""
        gains, offsets = (p - p.mean(0) for p in (self.gains, self.offsets))
        return Exposure(1 + gains[view], offsets[view])

    @torch.no_grad()
    def accumulate_grad(
        self, view: Int[Tensor, " rays"], grad: Float[Tensor, "rays 3"], rendering: Rendering
    ) -> None:
        """Add to the gradients, given dL/dpixel of rays of these images."""
        for p, by in ((self.gains, rendering.color), (self.offsets, rendering.opacity[:, None])):
            found = torch.zeros_like(p).index_add(0, view, grad * by) + 2 * PULL * p / p.numel()
            if p.grad is None:
                p.grad = torch.zeros_like(p)
            p.grad += found - found.mean(0)


class PoseCorrections(nn.Module):
    """A small rotation and translation per camera, applied to its rays.

    Rotations are vectors along the axis, in scene axes, as long as the angle in radians;
    translations are in scene units.
    """

    def __init__(self, views: int) -> None:
        super().__init__()
        self.rotations = nn.Parameter(torch.zeros(views, 3))
        self.translations = nn.Parameter(torch.zeros(views, 3))

    def corrected(self, rays: Rays, view: Int[Tensor, " rays"]) -> Rays:
        """These rays as the corrected cameras have them; with a graph, for `accumulate_grad`.

        A rotation vector w rotates a direction d by Rodrigues' formula.
        """
        with torch.enable_grad():
            origins = rays.origins + self.translations[view]
            return Rays(origins, rotated(rays.directions, self.rotations[view]))

    def accumulate_grad(
        self,
        rays: Rays,
        samples: PackedSamples,
        grad: Float[Tensor, "3 samples"],
        contracted: bool,
        cube_rays: Callable[[Rays], CubeRays] = CubeRays,
    ) -> None:
        """Add to the gradients, given dL/dposition of samples of rays that `corrected` returned.

        `cube_rays` is the sampler's. How colors change with the direction they are seen from is
        left out.
        """
        ray = samples.ray.long()
        with torch.enable_grad():
            lines = cube_rays(rays).lines
            positions = (lines.origins[ray] + samples.t[:, None] * lines.directions[ray]).T
            (contract(positions) if contracted else positions).backward(grad)


def rotated(d: Float[Tensor, "n 3"], w: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """d rotated by the rotation vectors w, |w| small: exact, and smooth at zero."""
    square = (w * w).sum(1, keepdim=True)
    angle = (square + 1e-16).sqrt()
    around = torch.linalg.cross(w, d)
    twice = torch.linalg.cross(w, around)
    result: Tensor = (
        d + torch.sin(angle) / angle * around + (1 - torch.cos(angle)) / angle**2 * twice
    )
    return result


class CameraOptimizer(nn.Module):
    """Exposures and poses, as far as they are switched on, for a training step."""

    def __init__(
        self,
        config: CalibrationConfig,
        views: int,
        contracted: bool,
        cube_rays: Callable[[Rays], CubeRays] = CubeRays,
    ) -> None:
        """`views`: number of training images; `contracted`: whether the scene is unbounded.

        `cube_rays` is the sampler's.
        """
        super().__init__()
        self.config, self.contracted, self.cube_rays = config, contracted, cube_rays
        self.exposures = ExposureCorrections(views) if config.exposure else None
        self.poses = PoseCorrections(views) if config.poses else None
        self.moves_rays = False
        """Whether the step needs gradients at the samples' positions."""

    def groups(self) -> list[tuple[list[nn.Parameter], float]]:
        """Parameters and their peak learning rates."""
        kinds = (self.exposures, self.config.exposure_lr), (self.poses, self.config.poses_lr)
        return [(list(kind.parameters()), lr) for kind, lr in kinds if kind is not None]

    def update(self, step: int) -> None:
        """Call before each step, counted from 0: poses are learned from `poses_after` on."""
        self.moves_rays = self.poses is not None and step >= self.config.poses_after

    def corrected(self, rays: Rays, view: Int[Tensor, " rays"]) -> Rays:
        """The rays as the cameras are now thought to have them; with a graph if learned."""
        return rays if self.poses is None else self.poses.corrected(rays, view)

    def exposure(self, view: Int[Tensor, " rays"]) -> Exposure | None:
        """Gain and offset of each ray's image, if they are learned."""
        return None if self.exposures is None else self.exposures.of(view)

    def accumulate_grad(
        self,
        view: Int[Tensor, " rays"],
        rays: Rays,
        samples: PackedSamples,
        at_positions: Float[Tensor, "3 samples"] | None,
        loss: PixelLoss,
    ) -> None:
        """Add to the gradients: `rays` as `corrected` gave them, `at_positions` at `samples`."""
        if self.exposures is not None:
            self.exposures.accumulate_grad(view, loss.at_pixels, loss.rendering)
        if self.poses is not None and at_positions is not None:
            self.poses.accumulate_grad(rays, samples, at_positions, self.contracted, self.cube_rays)
