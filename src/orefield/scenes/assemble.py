"""From photographs in memory to a scene: its box or frustum is found, and everything is moved."""

import warnings
from collections.abc import Sequence

import torch

from orefield.cameras.file_units import pose_to_scene
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.parsed_scene import Frame, ParsedScene
from orefield.scenes.images import LoadedFrame
from orefield.scenes.scene import Scene, SceneWarning, View, all_opaque
from orefield.scenes.scene_box import find_box
from orefield.scenes.scene_frustum import find_frustum, in_scene_units
from orefield.scenes.shown import check_shown
from orefield.types import SceneError

Loaded = tuple[Sequence[Frame], Sequence[LoadedFrame]]
"""Frames, and the pixels of each."""


def assemble(
    name: str, parsed: ParsedScene, train: Loaded, test: Loaded, config: SceneConfig
) -> Scene:
    """The scene of these frames, which may be fewer than those parsed, in scene units.

    Raises SceneError for a capture without a box, or of which nothing is shown.
    """
    frames, loaded = train
    opaque = all_opaque(frame.image for frame in loaded)
    hints = parsed.points, parsed.ball, parsed.half_extent
    frustum = None
    if (found := find_frustum(frames, opaque, parsed.points, config)) is not None:
        frustum, box = found
    else:
        box = find_box(frames, opaque, *hints, config.background_extent, config.box, config.near)
    to_world = box.to_world(config.box_scale)
    where, downscale = frames[0].image.parent, parsed.downscale
    train_views = _views(*train, to_world, downscale)
    if not train_views:
        raise SceneError(f"{where}: masks ignore every pixel of all {len(frames)}")
    test_views = _views(*test, to_world, downscale)
    check_shown(where, train_views, test_views)
    return Scene(
        name,
        train_views,
        test_views,
        to_world,
        box.near / float(to_world[0, 0]),
        parsed.split,
        box.background_extent,
        None if frustum is None else in_scene_units(frustum, to_world),
        config=config,
    )


def _views(
    frames: Sequence[Frame], loaded: Sequence[LoadedFrame], to_world: torch.Tensor, downscale: int
) -> tuple[View, ...]:
    """Those of which a mask leaves something, in scene units."""
    made, ignored = [], []
    for frame, (image, valid, depth) in zip(frames, loaded, strict=True):
        if valid is not None and not bool(valid.any()):
            ignored.append(frame)
            continue
        camera = frame.camera.rescaled(1 / downscale)
        pose = pose_to_scene(frame.pose, to_world).float()
        scaled = None if depth is None else depth / float(to_world[0, 0])
        made.append(View(frame.name, camera, pose, image, valid, scaled))
    if ignored:
        _warn_of_ignored(ignored, len(frames))
    return tuple(made)


def _warn_of_ignored(frames: Sequence[Frame], used: int) -> None:
    names = ", ".join(frame.name for frame in frames)
    warnings.warn(
        f"{frames[0].mask}: the mask ignores every pixel; {len(frames)} of {used} photographs are "
        f"left out because of such masks: {names}",
        SceneWarning,
        stacklevel=2,
    )
