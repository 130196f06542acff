"""What `orefield render` shows of a run: color, depth, normals, error and so on, as pixels."""

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from orefield.cameras import Camera
from orefield.cameras.file_units import points_to_scene
from orefield.errors import ConfigError
from orefield.evaluation.mining_maps import mining_map, probe_view
from orefield.evaluation.mining_pixels import hardness_pixels
from orefield.evaluation.views import photograph_over
from orefield.rendering.crop import CroppedField
from orefield.rendering.pixels import Layer, layer_pixels, to_pixels
from orefield.rendering.render import RenderedView, render_view
from orefield.report.pictures import error_pixels
from orefield.runs.folder import Run, load_trainer
from orefield.scenes import Scene, View
from orefield.training.trainer import Trainer
from orefield.types import RadianceField

NAMED = {"white": "#ffffff", "black": "#000000"}
Corners = tuple[float, float, float, float, float, float]


class Painting:
    """One kind of picture of a run, from any camera."""

    def __init__(
        self, run: Run, scene: Scene, show: str, background: str, crop: Corners | None = None
    ) -> None:
        """`show` as in `orefield render`, `background` white, black or #rrggbb.

        `crop`: two opposite corners, in the coordinates of the files. Raises ConfigError for one
        outside of the scene, RunError for hardness of a run without a state to resume from.
        """
        self.run, self.scene, self.show = run, scene, show
        text = NAMED.get(background, background)[1:]
        self.background = torch.tensor([int(text[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        self.field: RadianceField = run.field if crop is None else _cropped(run, scene, crop)
        self.trainer: Trainer | None = None
        if show == "hardness":
            self.trainer = Trainer(scene, run.header.config)
            load_trainer(run.folder, self.trainer)

    @property
    def depth_scale(self) -> float:
        """Units of the files in a step of 16-bit depth: 65535 of them reach beyond the scene."""
        scene = self.scene
        far = 3.0 * scene.background_extent
        if scene.frustum is not None:
            far = 100 * scene.frustum.near
        return float(scene.to_world[0, 0]) * far / 65535

    def paint(
        self, camera: Camera, pose: Float[Tensor, "3 4"], view: View | None
    ) -> tuple["Image.Image | np.ndarray", Float[np.ndarray, "height width"] | None]:
        """The picture, and for depth the distances along the rays in the units of the files."""
        if self.trainer is not None:
            assert view is not None
            return self._hardness(view), None
        seen = render_view(self.field, self.run.sampler, camera, pose, 0.0)
        over = seen.color + (1 - seen.opacity[..., None]) * self.background
        if self.show == "rgba":
            return _with_alpha(seen), None
        if self.show == "error":
            assert view is not None
            truth = photograph_over(view.image.float() / 255, self.background)
            return error_pixels(over, truth), None
        if self.show == "depth":
            distance = seen.median * float(self.scene.to_world[0, 0])
            return layer_pixels("depth", seen, camera, pose), distance.numpy()
        if self.show == "color":
            return to_pixels(over), None
        layer: Layer = "opacity" if self.show == "opacity" else "normals"
        return layer_pixels(layer, seen, camera, pose), None

    def _hardness(self, view: View) -> np.ndarray:
        assert self.trainer is not None
        longest = max(view.camera.width, view.camera.height)
        found = mining_map(self.trainer, probe_view(view, float(self.background.mean()), longest))
        gray = photograph_over(view.image.float() / 255, float(self.background.mean()))
        return hardness_pixels(gray, found)


def _with_alpha(seen: RenderedView) -> Image.Image:
    """Straight alpha, as photographs have it."""
    straight = seen.color / seen.opacity.clamp(min=1e-6)[..., None]
    rgba = torch.cat([straight, seen.opacity[..., None]], -1)
    return Image.fromarray((rgba.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def _cropped(run: Run, scene: Scene, crop: Corners) -> CroppedField:
    corners = torch.tensor([crop[:3], crop[3:]], dtype=torch.float64)
    inside = points_to_scene(corners.T, scene.to_world)
    low, high = inside.amin(1).float(), inside.amax(1).float()
    half = scene.background_extent / 2
    beyond = bool(((high < 0.5 - half) | (low > 0.5 + half)).any())
    if scene.frustum is None and (beyond or bool((low >= high).any())):
        raise ConfigError(f"crop {crop} is empty or outside of the scene")
    return CroppedField(run.field, low, high, scene.background_extent, scene.frustum)
