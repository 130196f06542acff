"""Rendered views as 8-bit RGB: color, depth, opacity, normals; values through color maps.

matplotlib's color maps are imported when the first picture needs one.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from orefield.cameras import Camera
from orefield.rendering.normals import view_normals
from orefield.rendering.render import RenderedView

Pixels = UInt8[np.ndarray, "height width 3"]
Layer = Literal["color", "depth", "opacity", "normals"]


def layer_pixels(
    layer: Layer, view: RenderedView, camera: Camera, pose: Float[Tensor, "3 4"]
) -> Pixels:
    """One layer of a view that was rendered from a camera.

    Depth as in `depth_pixels`, opacity as gray. Normals: the axes x, y and z of the scene as red,
    green and blue, zero in the middle; black where nothing is.
    """
    if layer == "depth":
        return depth_pixels(view.depth, view.opacity)
    if layer == "opacity":
        return to_pixels(view.opacity[..., None].expand(-1, -1, 3))
    if layer == "normals":
        normals = view_normals(camera, pose.float(), view.median)
        there = (normals != 0).any(-1, keepdim=True)
        return to_pixels((normals / 2 + 0.5) * there)
    return to_pixels(view.color)


def to_pixels(color: Float[Tensor, "height width 3"]) -> Pixels:
    """Color in [0, 1] as 8-bit RGB, rounded; values outside are clipped."""
    pixels: Pixels = (color.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    return pixels


def depth_pixels(
    depth: Float[Tensor, "height width"], opacity: Float[Tensor, "height width"]
) -> Pixels:
    """Depth in color, near bright and far dark; pixels fade to black with their opacity.

    The colors span the 2nd to the 98th percentile of the depth of pixels with opacity above 0.5.
    """
    solid = depth[opacity > 0.5]
    if len(solid) == 0:
        return np.zeros((*depth.shape, 3), np.uint8)
    near, far = np.quantile(solid.double().cpu().numpy(), [0.02, 0.98])
    nearness = 1 - (depth - near) / max(far - near, 1e-6)
    return to_pixels(color_mapped("viridis", nearness) * opacity[..., None].cpu())


def color_mapped(
    name: str, values: Float[Tensor, "height width"]
) -> Float[Tensor, "height width 3"]:
    """Values, clipped to [0, 1], through one of matplotlib's color maps; on the CPU."""
    index = (values.cpu().nan_to_num(0.0).clamp(0, 1) * 256).long().clamp(max=255)
    return _color_map(name)[index]


@lru_cache(maxsize=4)
def _color_map(name: str) -> Float[Tensor, "256 3"]:
    from matplotlib import colormaps

    return torch.from_numpy(colormaps[name](np.linspace(0, 1, 256))[:, :3]).float()
