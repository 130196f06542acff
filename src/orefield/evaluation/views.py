"""Render test views and score them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import fmean
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import max_pool2d

from orefield.config import RunConfig
from orefield.errors import OrefieldError, SceneError
from orefield.evaluation.lpips import SMALLEST, Lpips, make_lpips
from orefield.evaluation.lpips_weights import find_weights
from orefield.evaluation.metrics import SSIM_WINDOW, psnr, ssim
from orefield.rendering.render import RenderedView, over_background, render_view
from orefield.scenes.scene import Scene, View
from orefield.types import Field, Sampler

BACKGROUND = {"white": 1.0, "black": 0.0}
"""Gray level of each background that settings can name."""


@dataclass(frozen=True)
class ViewScore:
    """How close one render is to its photograph."""

    name: str
    psnr: float
    ssim: float
    lpips: float | None = None
    """None where it was not asked for."""


@dataclass(frozen=True)
class EvaluatedView:
    """One test view: the photograph over the background, the render, and the scores."""

    truth: Float[Tensor, "height width 3"]
    render: RenderedView
    score: ViewScore


def refuse_small_views(
    scene: Scene, exposure: bool = False, lpips: Literal["none", "alex", "vgg"] = "none"
) -> None:
    """Raise SceneError for a test view that cannot be scored, which training does not notice.

    It is narrower or lower than SSIM's window, or than LPIPS needs with the network `lpips`; or the
    half that is scored with `exposure` has no valid pixel. Raises OrefieldError where that
    network's weights are absent.
    """
    least, what = SSIM_WINDOW, "the window of SSIM"
    if lpips != "none":
        find_weights(lpips)
        least, what = SMALLEST[lpips], f"as LPIPS needs with {lpips}"
    for view in scene.test:
        if exposure and not bool(_right_half(view).any()):
            raise SceneError(
                f"{scene.source or scene.name}: masks ignore the right half of test view "
                f"{view.name!r}, the one that --calibration.exposure scores; expected valid pixels "
                "there, or --scene.holdout 0"
            )
        if min(view.camera.width, view.camera.height) < least:
            raise SceneError(
                f"{scene.source or scene.name}: test view {view.name!r} is {view.camera.width} x "
                f"{view.camera.height} pixels, expected at least {least} x {least}, "
                f"{what}; larger images or --scene.holdout 0 would do"
            )


def evaluate_views(
    field: Field,
    sampler: Sampler,
    views: Sequence[View],
    background: float,
    exposure: bool = False,
    lpips: Lpips | None = None,
) -> Iterator[EvaluatedView]:
    """Render and score each view over a gray `background` in [0, 1] (1 white, 0 black).

    Renders are compared in float, clipped to [0, 1], where the view is valid. With `exposure` a
    gain and an offset per channel are fitted on the left half of each view, and the right half is
    scored. `lpips` is scored too, if given. A render that is not finite raises OrefieldError naming
    the view.
    """
    for view in views:
        render = render_view(field, sampler, view.camera, view.pose, background)
        truth = photograph_over(view.image.float() / 255, background)
        if exposure:
            render = replace(render, color=fit_exposure(render, view, truth, background))
            view = replace(view, valid=_right_half(view))
        color = render.color.clamp(0, 1)
        if not bool(torch.isfinite(color).all()):
            raise OrefieldError(f"view {view.name}: the render is not finite; training diverged")
        yield EvaluatedView(truth, render, score_view(view, color, truth, lpips))


def fit_exposure(
    render: RenderedView, view: View, truth: Float[Tensor, "height width 3"], background: float
) -> Float[Tensor, "height width 3"]:
    """The render with the gain and offset per channel that best fit the photograph's left half.

    A pixel is gain * color + offset * opacity, over its background (see training.camera_optimizer).
    """
    opacity = render.opacity[..., None]
    behind = (1 - opacity) * background
    color = render.color - behind
    left = torch.ones_like(render.opacity, dtype=torch.bool) if view.valid is None else view.valid
    left = left & ~_columns(left, left.shape[1] // 2)
    exact, fitted = torch.float64, torch.empty_like(color)
    for channel in range(3):
        known = torch.stack([color[left][:, channel], opacity[left][:, 0]], 1).to(exact)
        wanted = (truth - behind)[left][:, channel].to(exact)
        # Pulled a little towards gain 1, offset 0: a half may show nothing, or a single color.
        known = torch.cat([known, 1e-3 * torch.eye(2, dtype=exact)])
        wanted = torch.cat([wanted, torch.tensor([1e-3, 0.0], dtype=exact)])
        gain, offset = torch.linalg.lstsq(known, wanted[:, None]).solution[:, 0].tolist()
        fitted[..., channel] = gain * color[..., channel] + offset * opacity[..., 0]
    return fitted + behind


def _columns(like: Bool[Tensor, "height width"], first: int) -> Bool[Tensor, "height width"]:
    """The pixels from a column on, to the right."""
    across = torch.arange(like.shape[1]) >= first
    return across.expand_as(like)


def _right_half(view: View) -> Bool[Tensor, "height width"]:
    """Its valid pixels."""
    shape = view.camera.height, view.camera.width
    valid = torch.ones(shape, dtype=torch.bool) if view.valid is None else view.valid
    return valid & _columns(valid, shape[1] // 2)


def score_view(
    view: View,
    render: Float[Tensor, "height width 3"],
    truth: Float[Tensor, "height width 3"],
    lpips: Lpips | None = None,
) -> ViewScore:
    """Scores of a render with values in [0, 1].

    PSNR leaves out pixels that are not valid. SSIM and LPIPS take them to be reproduced exactly,
    and leave out windows, or features, without any valid pixel. Raises OrefieldError for a view
    without a valid pixel.
    """
    if view.valid is None:
        distance = lpips(render, truth) if lpips else None
        return ViewScore(view.name, psnr(render, truth), ssim(render, truth), distance)
    if not bool(view.valid.any()):
        raise OrefieldError(f"view {view.name}: has no valid pixel, so there is nothing to score")
    filled = torch.where(view.valid[..., None], render, truth)
    windows = _windows_with_any(view.valid)
    # Every window without a valid pixel adds 1 to the sum that ssim takes the mean of.
    similarity = 1 - (1 - ssim(filled, truth)) * windows.numel() / int(windows.sum())
    distance = lpips(render, truth, view.valid) if lpips else None
    return ViewScore(view.name, psnr(render[view.valid], truth[view.valid]), similarity, distance)


def _windows_with_any(valid: Bool[Tensor, "height width"]) -> Bool[Tensor, "inner outer"]:
    """Whether each of SSIM's windows, which lie wholly inside the picture, has a valid pixel."""
    return max_pool2d(valid[None, None].float(), SSIM_WINDOW, stride=1)[0, 0] > 0


def photograph_over(
    pixels: Float[Tensor, "*shape channels"], background: float | Float[Tensor, " 3"]
) -> Float[Tensor, "*shape 3"]:
    """RGB unchanged; RGBA, with straight alpha, over a gray or a color. Values in [0, 1]."""
    if pixels.shape[-1] == 3:
        return pixels
    alpha = pixels[..., 3]
    if isinstance(background, Tensor):
        background = background.expand(*alpha.shape, 3)
    return over_background(pixels[..., :3] * alpha[..., None], alpha, background)


def score_test_views(
    field: Field, sampler: Sampler, scene: Scene, config: RunConfig
) -> dict[str, Any]:
    """Render and score all test views of a scene, of which it must have some; see `summary`."""
    background, exposure = BACKGROUND[config.eval_background], config.calibration.exposure
    lpips = make_lpips(config.lpips)
    views = evaluate_views(field, sampler, scene.test, background, exposure, lpips)
    return summary([view.score for view in views])


def summary(scores: Sequence[ViewScore]) -> dict[str, Any]:
    """Means over views, then each view, as plain JSON types; `lpips` where it was scored."""
    views = [{k: v for k, v in asdict(score).items() if v is not None} for score in scores]
    names = [name for name in ("psnr", "ssim", "lpips") if name in views[0]]
    return {**{name: fmean(view[name] for view in views) for name in names}, "views": views}


def told(test: dict[str, Any], lpips: str) -> str:
    """A summary's means for people; `lpips` names the network."""
    text = f"{test['psnr']:.2f} dB PSNR, {test['ssim']:.4f} SSIM"
    return f"{text}, {test['lpips']:.4f} LPIPS ({lpips})" if "lpips" in test else text
