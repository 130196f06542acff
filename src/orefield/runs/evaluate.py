"""Score a run's test views, with a picture of each."""

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from orefield.config import RunConfig
from orefield.evaluation.views import BACKGROUND, evaluate_views, summary
from orefield.report.pictures import comparison, contact_sheet, save_picture
from orefield.scenes.scene import Scene
from orefield.types import Field, Sampler

_SHOWN = 4
"""Views in the contact sheet, evenly spaced."""


def evaluate_run(
    field: Field,
    sampler: Sampler,
    scene: Scene,
    config: RunConfig,
    renders: Path,
    progress: bool = False,
) -> dict[str, Any] | None:
    """Score all test views, and write photograph, render and error of each as one picture.

    None where the scene has no test views. `progress` shows a bar on a terminal.
    """
    if not scene.test:
        return None
    scores, sheet = [], []
    every = -(-len(scene.test) // _SHOWN)
    background, exposure = BACKGROUND[config.eval_background], config.calibration.exposure
    views = evaluate_views(field, sampler, scene.test, background, exposure)
    console = Console(highlight=False)
    hidden = not (progress and console.is_terminal)
    bar = track(views, "evaluating", len(scene.test), console=console, disable=hidden)
    for index, view in enumerate(bar):
        name = file_stem(view.score.name)
        picture = comparison(view.truth, view.render.color, name, view.score.psnr)
        save_picture(picture, renders / f"{name}.png")
        scores.append(view.score)
        if index % every == 0:
            sheet.append(picture)
    save_picture(contact_sheet(sheet, columns=1), renders / "contact.png")
    return summary(scores)


def file_stem(name: str) -> str:
    """A view's name as a file name: `./test/r_0.png` -> `test_r_0`."""
    plain = re.sub(r"\.(png|jpe?g|webp)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "_", plain).strip("._") or "view"
