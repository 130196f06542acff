"""How good a field is: test views rendered and scored, with the protocol beside the numbers."""

import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from statistics import fmean
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from orefield import __version__
from orefield.config import RunConfig
from orefield.devices import device_name, device_of, resolve_device
from orefield.errors import OrefieldError
from orefield.machine import processor_name
from orefield.metrics import psnr, ssim
from orefield.render import Picture, render_rays, render_view
from orefield.scenes.pixels import PixelBank
from orefield.scenes.scene import Scene, View
from orefield.types import Field, Sampler

WINDOW = 11
"""Pixels along a side of SSIM's window."""
BACKGROUND = {"white": 1.0, "black": 0.0}


@dataclass(frozen=True)
class ViewScore:
    """How close one render is to its photograph."""

    name: str
    psnr: float
    ssim: float


@dataclass(frozen=True)
class Rendered:
    """One test view: the photograph over the background, the render, and the scores."""

    truth: Float[Tensor, "height width 3"]
    picture: Picture
    score: ViewScore


def evaluate_views(
    field: Field,
    sampler: Sampler,
    views: Sequence[View],
    background: float,
    exposure: bool = False,
) -> Iterator[Rendered]:
    """Render and score each view over a grey `background` in [0, 1] (1 white, 0 black).

    Renders are compared in float, clipped to [0, 1], where the view is valid. With `exposure` a
    gain and an offset per channel are fitted to the left half of each, and the right half is
    scored. A render that is not finite raises OrefieldError naming the view.
    """
    for view in views:
        picture = render_view(field, sampler, view.camera, view.pose, background)
        truth = truth_over(view, background)
        if exposure:
            picture = replace(picture, colour=exposed(picture, view, truth, background))
            view = replace(view, valid=_right_half(view))
        render = picture.colour.clamp(0, 1)
        if not bool(torch.isfinite(render).all()):
            raise OrefieldError(f"view {view.name}: the render is not finite; training diverged")
        yield Rendered(truth, picture, score_view(view, render, truth))


def exposed(
    picture: Picture, view: View, truth: Float[Tensor, "height width 3"], background: float
) -> Float[Tensor, "height width 3"]:
    """The render with the gain and offset that fit the left half of the photograph best.

    A pixel is gain * light + offset * opacity, over its background (see calibration.Exposure).
    """
    solid = picture.opacity[..., None]
    behind = (1 - solid) * background
    light = picture.colour - behind
    left = torch.ones_like(picture.opacity, dtype=torch.bool) if view.valid is None else view.valid
    left = left & ~_columns(left, left.shape[1] // 2)
    exact, fitted = torch.float64, torch.empty_like(light)
    for channel in range(3):
        known = torch.stack([light[left][:, channel], solid[left][:, 0]], 1).to(exact)
        wanted = (truth - behind)[left][:, channel].to(exact)
        # A little of the identity, for halves that show nothing or one colour alone.
        known = torch.cat([known, 1e-3 * torch.eye(2, dtype=exact)])
        wanted = torch.cat([wanted, torch.tensor([1e-3, 0.0], dtype=exact)])
        gain, offset = torch.linalg.lstsq(known, wanted[:, None]).solution[:, 0].tolist()
        fitted[..., channel] = gain * light[..., channel] + offset * solid[..., 0]
    return fitted + behind


def _columns(like: Bool[Tensor, "height width"], first: int) -> Bool[Tensor, "height width"]:
    """The pixels of a picture from a column on."""
    across = torch.arange(like.shape[1]) >= first
    return across.expand_as(like)


def _right_half(view: View) -> Bool[Tensor, "height width"]:
    """The valid pixels of it."""
    shape = view.camera.height, view.camera.width
    valid = torch.ones(shape, dtype=torch.bool) if view.valid is None else view.valid
    return valid & _columns(valid, shape[1] // 2)


def score_view(
    view: View, render: Float[Tensor, "height width 3"], truth: Float[Tensor, "height width 3"]
) -> ViewScore:
    """Scores of a render with values in [0, 1].

    Ignored pixels do not count in PSNR. In SSIM they count as reproduced, and windows that hold
    nothing else are left out of the mean.
    """
    if view.valid is None:
        return ViewScore(view.name, psnr(render, truth), ssim(render, truth))
    mended = torch.where(view.valid[..., None], render, truth)
    windows = _windows_with_any(view.valid)
    # Every window of ignored pixels alone adds 1 to the sum that ssim takes the mean of.
    similarity = 1 - (1 - ssim(mended, truth)) * windows.numel() / int(windows.sum())
    return ViewScore(view.name, psnr(render[view.valid], truth[view.valid]), similarity)


def _windows_with_any(valid: Bool[Tensor, "height width"]) -> Bool[Tensor, "inner outer"]:
    """For each window that SSIM takes wholly inside the picture, whether it has a valid pixel."""
    return max_pool2d(valid[None, None].float(), WINDOW, stride=1)[0, 0] > 0


def truth_over(view: View, background: float) -> Float[Tensor, "height width 3"]:
    """The photograph in [0, 1], over a grey background where it has alpha."""
    return over_background(view.image.float() / 255, background)


def over_background(
    pixels: Float[Tensor, "*shape channels"], background: float
) -> Float[Tensor, "*shape 3"]:
    """RGB as it is; RGBA with straight alpha over a grey `background`. All values in [0, 1]."""
    if pixels.shape[-1] == 3:
        return pixels
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + background * (1 - alpha)


def summary(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """Means over views, then each view, as plain JSON types."""
    return {
        "psnr": fmean(score.psnr for score in scores),
        "ssim": fmean(score.ssim for score in scores),
        "views": [asdict(score) for score in scores],
    }


def protocol(scene: Scene, config: RunConfig) -> dict[str, Any]:
    """All that a reader needs to know before comparing the numbers with others."""
    sizes = sorted({f"{view.camera.width}x{view.camera.height}" for view in scene.test})
    return {
        "scene": scene.name,
        "split": scene.split,
        "train_views": len(scene.train),
        "test_views": len(scene.test),
        "resolution": sizes,
        "background": config.eval_background,
        "seed": config.seed,
        "rule": config.mining.rule,
        "device": _device(config.device),
        "threads": torch.get_num_threads(),
        **_ignored(scene),
        **_halves(config),
        "psnr": "mean over test views of the PSNR of float renders clipped to [0, 1]",
        "ssim": "11x11 Gaussian window, sigma 1.5, no padding, mean over RGB",
        "versions": {
            "orefield": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numba", "numpy")},
        },
    }


def _device(name: str) -> str:
    device = resolve_device(name)
    return f"{device}: {processor_name() if device.type == 'cpu' else device_name(device)}"


def _halves(config: RunConfig) -> dict[str, Any]:
    """Said where exposures were learnt: what of a test view is seen before it is scored."""
    if not config.calibration.exposure:
        return {}
    return {"exposure": "gain and offset fitted to each test view's left half, right half scored"}


def _ignored(scene: Scene) -> dict[str, Any]:
    """The share of test pixels that masks exclude from the scores, if there are any."""
    sizes = [view.camera.width * view.camera.height for view in scene.test]
    valid = [
        size if view.valid is None else int(view.valid.sum())
        for size, view in zip(sizes, scene.test, strict=True)
    ]
    return {"ignored_by_masks": 1 - sum(valid) / sum(sizes)} if valid != sizes else {}


class PixelProbe:
    """A fixed random set of test pixels: a quick look at test quality while training."""

    def __init__(self, scene: Scene, background: float, count: int = 8192) -> None:
        """`scene` must have test views. The same scene gives the same pixels in every run."""
        generator = torch.Generator().manual_seed(0)
        self.rays, pixels, *_ = PixelBank(scene.test).sample(count, generator)
        self.truth, self.background = over_background(pixels, background), background

    @torch.no_grad()
    def psnr(self, field: Field, sampler: Sampler) -> float:
        """PSNR in dB over all the pixels at once (not a mean of views, so a little lower)."""
        rays = self.rays.to(device_of(field))
        colour, opacity = (x.cpu() for x in render_rays(field, sampler, rays)[:2])
        render = colour + (1 - opacity)[:, None] * self.background
        return psnr(render.clamp(0, 1), self.truth)
