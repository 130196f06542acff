"""How much of the photographs there is to learn from and to judge by."""

import warnings
from collections.abc import Sequence
from pathlib import Path

from orefield.scenes.scene import SceneWarning, View
from orefield.types import SceneError

LEAST = 0.01
"""A view of which less is shown is as good as empty."""


def check_shown(where: Path, train: Sequence[View], test: Sequence[View]) -> None:
    """Warn of views that show next to nothing, because masks or alpha hide all else.

    A field that is empty everywhere would then score well. One warning names the test views that
    are so, another says it of all training views together. SceneError, naming the folder `where`,
    if these show nothing at all.
    """
    shown = sum(shown_pixels(view) for view in train)
    advice = "; --scene.mask-keeps says which side of a mask is kept"
    if not shown:
        raise SceneError(
            f"{where}: no training view shows anything: the alpha or the masks of all {len(train)} "
            f"photographs leave no opaque pixel{advice}"
        )
    if shown < LEAST * sum(map(_pixels, train)):
        _warn(
            f"{where}: the training views show next to nothing: less than 1 % of what they have "
            f"is opaque and not ignored{advice}"
        )
    empty = [view.name for view in test if shown_pixels(view) < LEAST * _pixels(view)]
    if empty:
        _warn(
            f"{where}: {len(empty)} of {len(test)} test views show next to nothing, so their "
            "scores say little: less than 1 % of each is opaque and not ignored: "
            f"{', '.join(empty)}"
        )


def shown_pixels(view: View) -> float:
    """Number of pixels that are not ignored, each counted by its opacity."""
    opaque = view.image.shape[2] == 3
    if view.valid is None:
        return float(_pixels(view)) if opaque else float(view.image[..., 3].sum()) / 255
    return float(view.valid.sum() if opaque else view.image[..., 3][view.valid].sum() / 255)


def _pixels(view: View) -> int:
    return view.camera.width * view.camera.height


def _warn(message: str) -> None:
    warnings.warn(message, SceneWarning, stacklevel=3)
