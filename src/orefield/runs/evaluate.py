"""Score a run's test views, with a picture of each."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from orefield.config import RunConfig
from orefield.errors import one_line
from orefield.evaluation.lpips import make_lpips
from orefield.evaluation.views import BACKGROUND, evaluate_views, summary
from orefield.report.pictures import comparison, contact_sheet, save_picture
from orefield.scenes.scene import Scene
from orefield.types import Field, Sampler

_SHOWN = 4
"""Views in the contact sheet, evenly spaced."""
_CONTACT = "contact"
_LONGEST_STEM = 120
"""Bytes in a file's name: file systems allow 255, encrypted ones less."""
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"{port}{n}" for port in ("com", "lpt") for n in "123456789"),
}
"""Names that Windows refuses."""


def evaluate_run(
    field: Field,
    sampler: Sampler,
    scene: Scene,
    config: RunConfig,
    renders: Path,
    progress: bool = False,
) -> dict[str, Any] | None:
    """Score all test views, and write photograph, render and error of each as one picture.

    A view's `picture` in the result is the name of its file. None where the scene has no test
    views. `progress` shows a bar on a terminal.
    """
    if not scene.test:
        return None
    scores, sheet = [], []
    stems = file_stems([view.name for view in scene.test])
    every = -(-len(scene.test) // _SHOWN)
    background, exposure = BACKGROUND[config.eval_background], config.calibration.exposure
    lpips = make_lpips(config.lpips)
    views = evaluate_views(field, sampler, scene.test, background, exposure, lpips)
    console = Console(highlight=False)
    hidden = not (progress and console.is_terminal)
    bar = track(views, "evaluating", len(scene.test), console=console, disable=hidden)
    for index, view in enumerate(bar):
        label = one_line(view.score.name)
        picture = comparison(view.truth, view.render.color, label, view.score.psnr)
        save_picture(picture, renders / f"{stems[index]}.png")
        scores.append(view.score)
        if index % every == 0:
            sheet.append(picture)
    save_picture(contact_sheet(sheet, columns=1), renders / f"{_CONTACT}.png")
    result = summary(scores)
    for view_facts, stem in zip(result["views"], stems, strict=True):
        view_facts["picture"] = f"{stem}.png"
    return result


def file_stems(names: Sequence[str]) -> list[str]:
    """File names for views, none twice on any file system: `./test/r_0.png` -> `test_r_0`.

    Names that would be equal get a number; of names that are too long the end is kept.
    """
    stems, taken = [], _RESERVED | {_CONTACT}
    for name in names:
        first = stem = _file_stem(name)
        number = 1
        while stem.lower() in taken:
            number += 1
            stem = f"{first}-{number}"
        taken.add(stem.lower())
        stems.append(stem)
    return stems


def _file_stem(name: str) -> str:
    plain = re.sub(r"\.(png|jpe?g|webp|tiff?|bmp)$", "", name, flags=re.IGNORECASE)
    stem = re.sub(r"[^\w.-]+", "_", plain).strip("._")
    while len(stem.encode()) > _LONGEST_STEM:
        stem = stem[1:]
    return stem or "view"
