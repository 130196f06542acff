"""Plots of one run, as PNG files. matplotlib is imported when the first plot is drawn."""

from math import nan
from pathlib import Path
from typing import TYPE_CHECKING

from orefield.report.history import History

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TEST, _TRAIN = "#b3541e", "#8a97a6"


def plot_psnr(path: Path, history: History, title: str, test_psnr: float | None = None) -> None:
    """PSNR over training seconds: training rays, test pixels, and all test views at the end."""
    figure, axes = _canvas(title, "PSNR (dB)")
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
    _save(figure, path)


def plot_kept(path: Path, history: History, title: str) -> None:
    """Share of evaluated samples that earned a backward pass, over training seconds."""
    figure, axes = _canvas(title, "samples kept (%)")
    seconds = [point.seconds for point in history.points]
    axes.plot(seconds, [100 * point.kept_share for point in history.points], color=_TEST)
    axes.set_ylim(0, 102)
    _save(figure, path)


def _canvas(title: str, y_label: str) -> tuple["Figure", "Axes"]:
    # Figure without pyplot: no global state, no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), dpi=130, layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("training time (s)")
    axes.set_ylabel(y_label)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: "Figure", path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
