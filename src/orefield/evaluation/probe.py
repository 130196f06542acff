"""Test quality while training, on a fixed set of test pixels."""

import torch

from orefield.evaluation.metrics import psnr
from orefield.evaluation.views import photograph_over
from orefield.rendering.render import over_background, render_rays
from orefield.scenes.pixel_sampler import PixelSampler
from orefield.scenes.scene import Scene
from orefield.system.devices import device_of
from orefield.types import Field, Sampler


class PixelProbe:
    """A fixed random set of test pixels: a cheap estimate of test quality while training."""

    def __init__(self, scene: Scene, background: float, count: int = 8192) -> None:
        """`count` pixels, or all if there are no more; the same in every run on the same scene.

        `scene` must have test views.
        """
        generator, sampler = torch.Generator().manual_seed(0), PixelSampler(scene.test)
        few = len(sampler) <= count
        self.rays, pixels, *_ = sampler.every() if few else sampler.sample(count, generator)
        self.truth, self.background = photograph_over(pixels, background), background

    @torch.no_grad()
    def psnr(self, field: Field, sampler: Sampler) -> float:
        """PSNR in dB of all the pixels taken together; the mean over views is a little higher."""
        rays = self.rays.to(device_of(field))
        color, opacity = (x.cpu() for x in render_rays(field, sampler, rays)[:2])
        render = over_background(color, opacity, self.background)
        return psnr(render.clamp(0, 1), self.truth)
