"""Plots of one run, and the figure that all plots are drawn on.

matplotlib is imported when the first plot is drawn.
"""

import warnings
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from orefield.errors import printable
from orefield.report.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEST, _TRAIN = "#b3541e", "#8a97a6"


def plot_psnr(path: Path, history: History, title: str, test_psnr: float | None = None) -> None:
    """PSNR over training seconds: training rays, test pixels, and all test views at the end."""
    figure, axes = _one_panel(title, "PSNR (dB)")
    seconds = [point.seconds for point in history.points]
    train = [nan if point.train_psnr is None else point.train_psnr for point in history.points]
    axes.plot(seconds, train, color=_TRAIN, linewidth=1.2, label="training rays")
    if history.evaluations:
        times = [evaluation.seconds for evaluation in history.evaluations]
        values = [evaluation.test_psnr for evaluation in history.evaluations]
        axes.plot(times, values, "o-", color=_TEST, markersize=4, label="test pixels")
    if test_psnr is not None and seconds:
        text = f"all test views: {test_psnr:.2f} dB"
        axes.plot(seconds[-1:], [test_psnr], "*", color=_TEST, markersize=13, label=text)
    axes.legend(frameon=False, loc="lower right")
    save_figure(figure, path)


def plot_kept(path: Path, history: History, title: str) -> None:
    """Share of evaluated samples that earned a backward pass, over training seconds."""
    figure, axes = _one_panel(title, "samples kept (%)")
    seconds = [point.seconds for point in history.points]
    axes.plot(seconds, [100 * point.kept_share for point in history.points], color=_TEST)
    axes.set_ylim(0, 102)
    save_figure(figure, path)


def new_figure(width: float, height: float, dpi: int = 130) -> "Figure":
    """An empty figure, in inches; without pyplot: no global state, no window system."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=dpi, layout="constrained")


def plain(text: str) -> str:
    """A title as it is: no mathematics between dollar signs, which a scene's name may hold."""
    return printable(text).replace("$", r"\$")


def style_axes(axes: "Axes", x_label: str, y_label: str = "") -> None:
    """The look of every curve: labels, a faint grid, no frame above and to the right."""
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a PNG, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # The font lacks most of the world's letters; boxes in their place are no reason to warn.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(path)


def _one_panel(title: str, y_label: str) -> tuple["Figure", "Axes"]:
    figure = new_figure(7.0, 4.0)
    axes = figure.subplots()
    axes.set_title(plain(title), loc="left", fontsize=11)
    style_axes(axes, "training time (s)", y_label)
    return figure, axes
