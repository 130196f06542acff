"""Mining maps on a page: the pictures that a run or a race has drawn of them."""

from collections.abc import Sequence
from pathlib import Path

from orefield.report.markup import EMPTY, Html, join, part, section, tag, text
from orefield.report.page_pictures import inline_file
from orefield.report.views_table import image

_SHOWN = {
    "overlay.png": "Samples kept on each pixel's ray at the end, over the photograph",
    "strip.png": "Samples kept over the course of the training",
}
"""File names and what they show; kept.png is a chart of the page already."""


def map_files(folder: Path) -> tuple[Path, ...]:
    """The mining maps in a folder, of those that a page shows."""
    return tuple(folder / name for name in _SHOWN if (folder / name).exists())


def maps_section(files: Sequence[Path], title: str) -> Html:
    """The pictures of mining maps; EMPTY where there are none."""
    shown = []
    for file in files:
        about, picture = _SHOWN.get(file.name, file.stem), inline_file(file)
        inner = tag("p", text(f"{file.name} cannot be read."))
        if picture is not None:
            box = {"class": "scroll", "tabindex": "0"}
            inner = tag("div", image(picture, about), box)
        shown.append(tag("figure", join([tag("h3", text(about)), inner])))
    return section(title, part("maps", join(shown))) if shown else EMPTY
