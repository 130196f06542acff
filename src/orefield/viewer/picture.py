"""A picture for one visitor in the making: what it takes, and what comes out."""

import dataclasses
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float

from orefield.evaluation.mining_maps import MiningMap, ProbeView, probe_view
from orefield.evaluation.mining_pixels import hardness_pixels, kept_pixels
from orefield.rendering.pixels import Layer, Pixels, layer_pixels, to_pixels
from orefield.scenes.scene import View
from orefield.types import RadianceField, Sampler
from orefield.viewer.jobs import Mapping, RenderJob, Speed
from orefield.viewer.layers import axial_depth, framed, photograph, side_by_side
from orefield.viewer.look import MINED, PHOTOGRAPHED, Eye, Look, nearest_view

_INSIDE = 0.1
"""Nearer than this, in scene units, to a photograph's camera, as the page draws it, that would hide
the picture."""
_NEAR = 0.02
"""Depth, in scene units, of a picture that hides all else."""


@dataclass
class Subject:
    """What is looked at."""

    field: RadianceField
    """Cropped, or whole."""
    sampler: Sampler
    views: tuple[View, ...]
    mapping: Mapping | None = None
    """None where nothing is trained."""
    speed: Speed = dataclasses.field(default_factory=Speed)


class Shown(NamedTuple):
    """A picture that fills the window."""

    picture: Pixels
    depth: Float[np.ndarray, "height width"]
    """Along the optical axis, in scene units."""
    caption: str


class Picture:
    """A picture of one look from one eye, with about so many pixels."""

    def __init__(self, subject: Subject, eye: Eye, look: Look, pixels: float) -> None:
        self.subject, self.eye, self.look = subject, eye, look
        self.job: RenderJob | None = None
        self.map: MiningMap | None = None
        self.probe: ProbeView | None = None
        self.view: View | None = None
        self.background = torch.tensor(look.background)
        if look.show in PHOTOGRAPHED:
            self._look_through_photograph(pixels)
        else:
            self.camera = eye.camera(pixels, look.longest)
            shape = self.camera.height, self.camera.width
            rays = eye.rays(self.camera)
            self.job = RenderJob(subject.sampler, rays, shape, subject.speed)
            self.sharpest = pixels >= eye.width * eye.height or max(shape) >= look.longest

    def _look_through_photograph(self, pixels: float) -> None:
        look = self.look
        self.view = nearest_view(self.eye, self.subject.views)
        height, width = self.view.image.shape[:2]
        most = look.longest // 2 if look.show in MINED else look.longest
        wanted = (pixels * max(height / width, width / height)) ** 0.5
        longest = max(min(int(wanted), most), 8)
        self.sharpest = longest >= min(most, max(height, width))
        self.longest = longest
        gray = sum(look.background) / 3
        self.probe = probe_view(self.view, gray, longest)
        if look.show not in MINED:
            h, w = self.probe.valid.shape
            self.job = RenderJob(self.subject.sampler, self.probe.rays, (h, w), self.subject.speed)

    @property
    def done(self) -> bool:
        """Whether nothing is left to compute."""
        return self.job.done if self.job is not None else self.map is not None

    def expected(self) -> float:
        """Seconds that the next piece will take."""
        if self.job is not None:
            return self.job.expected()
        assert self.probe is not None
        return len(self.probe.rays) / self.subject.speed.mapped

    def advance(self) -> None:
        """Compute the next piece."""
        if self.job is not None:
            self.job.advance(self.subject.field)
            return
        assert self.probe is not None
        assert self.subject.mapping is not None
        begun = perf_counter()
        self.map = self.subject.mapping(self.probe)
        self.subject.speed.note_map(len(self.probe.rays), perf_counter() - begun)

    def result(self) -> Shown:
        """The finished picture."""
        if self.view is None:
            assert self.job is not None
            view, camera = self.job.view(self.background), self.camera
            layer = cast(Layer, self.look.show)  # all others look through a photograph's camera
            pixels = layer_pixels(layer, view, camera, self.eye.pose)
            depth = self._hiding() if self._is_inside() else axial_depth(view, camera)
            return Shown(pixels, depth, "")
        pixels = framed(self._through_photograph(self.view), self.eye.width / self.eye.height)
        return Shown(pixels, self._hiding(), self._caption(self.view))

    def _is_inside(self) -> bool:
        place = self.eye.pose[:, 3]
        view = nearest_view(self.eye, self.subject.views)
        return float((view.pose[:, 3].double() - place).norm()) < _INSIDE

    @staticmethod
    def _hiding() -> Float[np.ndarray, "2 2"]:
        return np.full((2, 2), _NEAR, np.float32)

    def _through_photograph(self, view: View) -> Pixels:
        photo = photograph(view, self.background, self.longest)
        if self.map is not None:
            draw = kept_pixels if self.look.show == "kept" else hardness_pixels
            return draw(photo, self.map)
        assert self.job is not None
        render = self.job.view(self.background).color
        if self.look.show == "blend":
            return to_pixels(torch.lerp(photo, render, self.look.blend))
        return side_by_side(photo, render)

    def _caption(self, view: View) -> str:
        if self.map is None:
            return f"from the camera of {view.name}"
        share, step = 100 * self.map.share, self.map.step
        if self.look.show == "kept":
            what = "samples kept on a pixel's ray: dark 1/4, bright 64; gray none"
        else:
            what = "hardness: dark 1/4, bright 64 times the mean pixel's"
        return f"{what}. {view.name}, step {step}, {share:.0f} % kept, {self.map.psnr:.1f} dB"
