"""What the page puts into its window beside rendered views: photographs, and depth to hide by."""

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from orefield.cameras import Camera, pixel_centers, pixel_directions
from orefield.evaluation.views import photograph_over
from orefield.rendering.pixels import Pixels, to_pixels
from orefield.rendering.render import RenderedView
from orefield.scenes.scene import View

FAR = 100.0
"""Depth, in scene units, of pixels where nothing is: behind all that the page draws."""
_MARGIN = 24
"""Gray level around a photograph that does not fill the window."""


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
    return photograph_over(pixels, background)


def side_by_side(
    left: Float[Tensor, "height width 3"], right: Float[Tensor, "height width 3"]
) -> UInt8[np.ndarray, "height both 3"]:
    """Two pictures beside each other, with a gap."""
    gap = torch.full((left.shape[0], max(left.shape[1] // 64, 2), 3), _MARGIN / 255)
    return to_pixels(torch.cat([left, gap, right], 1))


def framed(picture: Pixels, aspect: float) -> UInt8[np.ndarray, "window_height window_width 3"]:
    """The whole picture in the middle of a window of another shape, `aspect` = width / height."""
    height, width = picture.shape[:2]
    across, down = max(width, round(height * aspect)), max(height, round(width / aspect))
    window = np.full((down, across, 3), _MARGIN, np.uint8)
    y, x = (down - height) // 2, (across - width) // 2
    window[y : y + height, x : x + width] = picture
    return window
