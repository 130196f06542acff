"""Pixels of what is shown: color, depth, opacity, normals, photographs, mining.

matplotlib's color maps are imported when the first picture needs one.
"""

from functools import lru_cache
from math import log

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from orefield.cameras import Camera, pixel_centers, pixel_directions
from orefield.evaluation.mining_maps import MiningMap
from orefield.rendering.normals import view_normals
from orefield.rendering.render import RenderedView
from orefield.scenes.scene import View
from orefield.viewer.look import Show

Pixels = UInt8[np.ndarray, "height width 3"]
FAR = 100.0
"""Depth, in scene units, of pixels where nothing is: behind all that the page draws."""
_FEWEST, _MOST = 0.25, 64.0
"""Ends of the color scales: samples kept on a pixel's ray, and times the mean hardness."""
_MARGIN = 24
"""Gray level around a photograph that does not fill the window."""


def layer_pixels(
    show: Show, view: RenderedView, camera: Camera, pose: Float[Tensor, "3 4"]
) -> Pixels:
    """The layer `color`, `depth`, `opacity` or `normals` of a rendered view.

    Depth: near bright, far dark, from the 2nd to the 98th percentile of what is solid. Normals: the
    axes x, y and z as red, green and blue, zero in the middle; black where nothing is.
    """
    if show == "depth":
        return _depth_pixels(view)
    if show == "opacity":
        return to_pixels(view.opacity[..., None].expand(-1, -1, 3))
    if show == "normals":
        normals = view_normals(camera, pose.float(), view.median)
        there = (normals != 0).any(-1, keepdim=True)
        return to_pixels((normals / 2 + 0.5) * there)
    return to_pixels(view.color)


def axial_depth(view: RenderedView, camera: Camera) -> Float[np.ndarray, "height width"]:
    """Depth along the optical axis in scene units, FAR where more than half of the light passes."""
    along = pixel_directions(camera, pixel_centers(camera))[:, 2].view(view.median.shape)
    return torch.where(view.median > 0, view.median * along, FAR).numpy()


def photograph(
    view: View, background: Float[Tensor, " 3"], longest: int
) -> Float[Tensor, "height width 3"]:
    """Those pixels of a photograph that `evaluation.mining_maps.probe_view` looks at."""
    height, width = view.image.shape[:2]
    n = -(-max(height, width) // longest)
    pixels = view.image[n // 2 :: n, n // 2 :: n].float() / 255
    if pixels.shape[-1] == 3:
        return pixels
    alpha = pixels[..., 3:]
    return pixels[..., :3] * alpha + (1 - alpha) * background


def side_by_side(
    left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"]
) -> UInt8[np.ndarray, "height both 3"]:
    """Two pictures beside each other, with a gap."""
    gap = torch.full((left.shape[0], max(left.shape[1] // 64, 2), 3), _MARGIN / 255)
    return to_pixels(torch.cat([left, gap, right], 1))


def kept_pixels(gray: Float[Tensor, "height width 3"], one: MiningMap) -> Pixels:
    """Samples kept on each pixel's ray, 1/4 dark to 64 bright, over a gray photograph."""
    heat = _logarithmic(one.kept)
    over = torch.where(one.kept >= _FEWEST, 1.0, 0.0)
    return _over_gray(gray, heat, over)


def hardness_pixels(gray: Float[Tensor, "height width 3"], one: MiningMap) -> Pixels:
    """Hardness along each pixel's ray, over the mean pixel's, over a gray photograph.

    1/4 of the mean is transparent, 64 times the mean bright and opaque.
    """
    heat = _logarithmic(one.hardness / one.hardness.mean().clamp(min=1e-30))
    return _over_gray(gray, heat, (2 * heat).clamp(max=1))


def to_pixels(color: Float[Tensor, "height width 3"]) -> Pixels:
    """Color in [0, 1] as 8-bit RGB."""
    pixels: Pixels = (color.clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return pixels


def framed(picture: Pixels, aspect: float) -> UInt8[np.ndarray, "window_height window_width 3"]:
    """The whole picture in the middle of a window of another shape, `aspect` = width / height."""
    height, width = picture.shape[:2]
    across, down = max(width, round(height * aspect)), max(height, round(width / aspect))
    window = np.full((down, across, 3), _MARGIN, np.uint8)
    y, x = (down - height) // 2, (across - width) // 2
    window[y : y + height, x : x + width] = picture
    return window


def _depth_pixels(view: RenderedView) -> Pixels:
    solid = view.depth[view.opacity > 0.5]
    if len(solid) == 0:
        return np.zeros((*view.depth.shape, 3), np.uint8)
    near, far = np.quantile(solid.numpy(), [0.02, 0.98])
    colors = _colors("viridis", 1 - (view.depth - near) / max(far - near, 1e-6))
    return to_pixels(colors * view.opacity[..., None])


def _over_gray(
    photo: Float[Tensor, "height width 3"],
    heat: Float[Tensor, "height width"],
    over: Float[Tensor, "height width"],
) -> Pixels:
    gray = (0.55 * photo.mean(-1, keepdim=True) + 0.2).expand(-1, -1, 3)
    return to_pixels(torch.lerp(gray, _colors("inferno", heat), over[..., None]))


def _logarithmic(values: Float[Tensor, "height width"]) -> Float[Tensor, "height width"]:
    scaled = (values.clamp(min=1e-30) / _FEWEST).log() / log(_MOST / _FEWEST)
    return scaled.clamp(0, 1)


def _colors(name: str, values: Float[Tensor, "height width"]) -> Float[Tensor, "height width 3"]:
    index = (values.clamp(0, 1) * 255).round().long()
    return _color_map(name)[index]


@lru_cache(maxsize=4)
def _color_map(name: str) -> Float[Tensor, "256 3"]:
    from matplotlib import colormaps

    return torch.from_numpy(colormaps[name](np.linspace(0, 1, 256))[:, :3]).float()
