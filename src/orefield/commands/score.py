"""Scoring test views on the screen and on disk."""

import re
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from orefield.config import RunConfig
from orefield.evaluate import BACKGROUND, evaluate_views, summary
from orefield.report.pictures import comparison, contact_sheet, save_picture
from orefield.scenes.scene import Scene
from orefield.types import Field, Sampler

_SHOWN = 4
"""Views in the contact sheet."""


def score_views(
    field: Field, sampler: Sampler, scene: Scene, config: RunConfig, renders: Path
) -> dict[str, Any] | None:
    """Score all test views and write truth | render | error of each; None when there are none."""
    if not scene.test:
        print("the scene has no test views: nothing to evaluate")
        return None
    scores, sheet = [], []
    every = -(-len(scene.test) // _SHOWN)
    background, exposure = BACKGROUND[config.eval_background], config.calibration.exposure
    views = evaluate_views(field, sampler, scene.test, background, exposure)
    console = Console(highlight=False)
    for index, view in enumerate(
        track(
            views, "evaluating", len(scene.test), console=console, disable=not console.is_terminal
        )
    ):
        score = view.score
        name = file_stem(score.name)
        picture = comparison(view.truth, view.picture.colour, name, score.psnr)
        save_picture(picture, renders / f"{name}.png")
        scores.append(score)
        if index % every == 0:
            sheet.append(picture)
    save_picture(contact_sheet(sheet, columns=1), renders / "contact.png")
    return summary(scores)


def file_stem(name: str) -> str:
    """A view's name as a file name: `./test/r_0.png` -> `test_r_0`."""
    plain = re.sub(r"\.(png|jpe?g|webp)$", "", name, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "_", plain).strip("._") or "view"
