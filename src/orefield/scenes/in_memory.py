"""A scene of photographs that are in memory already, as other programs have them."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.config import SceneConfig
from orefield.scenes.assemble import assemble
from orefield.scenes.dataparsers.parsed_scene import Frame, ParsedScene
from orefield.scenes.images import LoadedFrame
from orefield.scenes.pixel_block import new_block
from orefield.scenes.scene import Scene, View
from orefield.types import SceneError

_USED = ("box", "box_scale", "near", "background_extent", "forward_facing")
"""Settings that have a meaning here; all others are about files."""


def scene_of_views(
    name: str,
    train: Sequence[View],
    test: Sequence[View] = (),
    config: SceneConfig | None = None,
    points: Float[Tensor, "points 3"] | None = None,
) -> Scene:
    """A scene of views whose poses and depths are in coordinates of their own, of any unit.

    Poses are camera to world, in OpenCV axes. The box is found, and everything moved into scene
    units, as `open_scene` does; `Scene.to_world` leads back. `points` on surfaces, in the same
    coordinates, say how far away things are. Of `config` the settings of the box count; others are
    about files. A run on such a scene is resumed with it: `resume_run(folder, scene)`.
    Raises SceneError for no training view, images of another size than their cameras or that are
    not bytes of RGB or RGBA, poses that are not finite, and settings that would change nothing.
    """
    config = config or SceneConfig()
    for field in fields(SceneConfig):
        value = getattr(config, field.name)
        if field.name not in _USED and value != field.default:
            raise SceneError(f"{name}: scene.{field.name}={value} is of no use: nothing is read")
    if not train:
        raise SceneError(f"{name}: no training views")
    for view in (*train, *test):
        _check(name, view)
    points = None if points is None else points.double()
    learned, held_out = _frames(name, train), _frames(name, test)
    parsed = ParsedScene(learned, held_out, "as given", points=points)
    return assemble(name, parsed, (learned, _loaded(train)), (held_out, _loaded(test)), config)


def _check(name: str, view: View) -> None:
    height, width, channels = view.image.shape
    size = view.camera.width, view.camera.height
    if view.image.dtype != torch.uint8 or channels not in (3, 4):
        got = f"{view.image.dtype} {list(view.image.shape)}"
        raise SceneError(f"{name}: image of {view.name}: expected bytes of RGB or RGBA, got {got}")
    if (width, height) != size:
        raise SceneError(
            f"{name}: image of {view.name} is {width} x {height}, its camera {size[0]} x {size[1]}"
        )
    if not bool(view.pose.isfinite().all()):
        raise SceneError(f"{name}: pose of {view.name} must be finite, got {view.pose.tolist()}")


def _frames(name: str, views: Sequence[View]) -> list[Frame]:
    return [
        Frame(view.name, Path(name) / view.name, None, view.camera, view.pose.double())
        for view in views
    ]


def _loaded(views: Sequence[View]) -> list[LoadedFrame]:
    """As RGBA in one block, which the sampler of pixels can share."""
    sizes = [view.image.shape[0] * view.image.shape[1] for view in views]
    parts = new_block(sum(sizes), False).split(sizes) if views else ()
    loaded = []
    for part, view in zip(parts, views, strict=True):
        image = part.view(*view.image.shape[:2], 4)
        image[..., 3] = 255
        image[..., : view.image.shape[-1]] = view.image
        loaded.append(LoadedFrame(image, view.valid, view.depth))
    return loaded
