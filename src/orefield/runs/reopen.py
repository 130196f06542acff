"""The scene of a run, opened as the run opened it."""

import warnings
from dataclasses import replace
from pathlib import Path

from orefield.errors import SceneError
from orefield.runs.header import RunHeader
from orefield.runs.scene_digest import changes, digest_of
from orefield.scenes import Scene, open_scene
from orefield.scenes.embedded import names
from orefield.scenes.scene import SceneWarning


def reopen_scene(header: RunHeader, source: str = "", allow_outside: bool = False) -> Scene:
    """Open a run's scene with the run's settings; `source` says where it lies now, if it was moved.

    `allow_outside` is asked for again: a run folder may come from a stranger. Raises SceneError for
    a scene that is not there or cannot be read; warns of one that has changed since.
    """
    where = source or header.source
    if not where:
        raise SceneError(
            "the run was trained on a scene that was made in memory, not read; from Python, "
            "resume_run(folder, scene) takes one"
        )
    if not source and not Path(where).exists() and where not in names():
        raise SceneError(f"{where}: the run's scene is not there; --scene says where it lies now")
    stored = header.config.scene
    try:
        scene = open_scene(where, replace(stored, allow_outside=allow_outside))
    except SceneError as error:
        if not stored.allow_outside or allow_outside:
            raise
        raise SceneError(
            f"{error}; the run was trained with --scene.allow-outside, which "
            "--allow-outside repeats"
        ) from None
    warn_of_changes(header, scene)
    return scene


def warn_of_changes(header: RunHeader, scene: Scene) -> None:
    """Warn where a scene is not what it was when the run began."""
    if differs := changes(header.views, digest_of(scene)):
        source = scene.source or scene.name
        warnings.warn(
            SceneWarning(f"{source}: changed since training began: {differs}"), stacklevel=3
        )
