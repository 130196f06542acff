"""Pictures of mining maps: over a photograph, over the course of a run, and as a share.

matplotlib is imported when the first picture is drawn.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from orefield.evaluation.mining_maps import MiningMap, MiningMapRecorder, ProbeView
from orefield.report.plots import new_figure, plain, save_figure, style_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_INCHES, _DPI = 10.0, 100
_COLORS = "inferno"
_FEWEST, _MOST = 0.25, 64.0
"""Ends of the color scale, in samples kept on a pixel's ray; below it is black."""

Curve = Sequence[tuple[float, float]]
"""Training seconds and the share of samples kept."""


def write_mining_maps(
    folder: Path,
    recorders: Mapping[str, MiningMapRecorder],
    curves: Mapping[str, Curve],
    title: str,
) -> None:
    """overlay.png, strip.png and kept.png of the arms of a race, or of one run.

    Arms without a map are left out; without any, nothing but kept.png is written.
    """
    rows = {name: recorder.maps for name, recorder in recorders.items() if recorder.maps}
    last = {
        name: recorder.last for name, recorder in recorders.items() if recorder.last is not None
    }
    folder.mkdir(parents=True, exist_ok=True)
    if rows:
        draw_strip(folder / "strip.png", rows, title)
    if last:
        draw_overlay(folder / "overlay.png", recorders[next(iter(last))].large, last, title)
    mapped = {name: [(m.seconds, m.share) for m in row] for name, row in rows.items()}
    draw_kept(folder / "kept.png", curves, mapped, title)


def draw_strip(path: Path, rows: Mapping[str, Sequence[MiningMap]], title: str) -> None:
    """The kept samples of each map, one row per arm; above a single arm's maps, its renders."""
    renders = 1 if len(rows) == 1 else 0
    columns = max(len(row) for row in rows.values())
    shape = next(iter(rows.values()))[0].kept.shape
    figure, panels = _panels(len(rows) + renders, columns, shape, title)
    for (name, row), line in zip(rows.items(), panels[renders:], strict=True):
        for axes, one in zip(line, row, strict=False):
            kept = _show_kept(axes, one.kept)
            axes.set_title(_moment(one, bool(renders)), fontsize=9)
        line[0].set_ylabel("kept samples" if renders else name, fontsize=10)
        for axes, one in zip(panels[0] if renders else (), row, strict=False):
            axes.imshow(one.render.numpy())
            axes.set_title(f"{one.seconds:.1f} s, {one.psnr:.1f} dB", fontsize=9)
    if renders:
        panels[0][0].set_ylabel("render", fontsize=10)
    _legend(figure, kept, panels)
    save_figure(figure, path)


def draw_overlay(path: Path, view: ProbeView, arms: Mapping[str, MiningMap], title: str) -> None:
    """The photograph, then, over a gray copy of it, the kept samples of each arm.

    A single arm's hardness is shown too, summed along each pixel's ray, over the mean pixel's.
    """
    alone = len(arms) == 1
    figure, panels = _panels(1, len(arms) + 1 + alone, view.valid.shape, title)
    row = panels[0]
    row[0].imshow(view.target.numpy())
    row[0].set_title(f"photograph {plain(view.name)}", fontsize=9)
    if alone:
        (one,) = arms.values()
        hard = one.hardness / one.hardness.mean().clamp(min=1e-30)
        row[1].imshow(hard.numpy(), cmap=_COLORS, norm=_norm())
        row[1].set_title("hardness, times the mean pixel's", fontsize=9)
    gray = view.target.mean(-1).numpy()
    for axes, (name, one) in zip(row[1 + alone :], arms.items(), strict=True):
        axes.imshow(0.55 * gray + 0.2, cmap="gray", vmin=0, vmax=1)
        kept = _show_kept(axes, one.kept, clear=True)
        axes.set_title(f"{plain(name)}: {_moment(one, False)}", fontsize=9)
    _legend(figure, kept, panels)
    save_figure(figure, path)


def draw_kept(
    path: Path, curves: Mapping[str, Curve], mapped: Mapping[str, Curve], title: str
) -> None:
    """Share of samples kept over training seconds; dots mark the times of the maps."""
    figure = new_figure(_INCHES, 3.6, _DPI)
    axes = figure.subplots()
    for number, name in enumerate(curves):
        seconds, share = zip(*curves[name], strict=True) if curves[name] else ((), ())
        axes.plot(seconds, [100 * s for s in share], color=f"C{number}", label=name)
        dots = mapped.get(name, ())
        axes.plot([x for x, _ in dots], [100 * s for _, s in dots], "o", color=f"C{number}")
    axes.set_title(f"{plain(title)}; dots: the mining maps", loc="left", fontsize=10)
    style_axes(axes, "training time (s)", "samples kept (%)")
    axes.set_ylim(0, 102)
    axes.legend(frameon=False)
    save_figure(figure, path)


def _moment(one: MiningMap, short: bool) -> str:
    share = f"{100 * one.share:.0f} % kept"
    return f"step {one.step}, {share}" if short else f"{one.seconds:.1f} s, {share}"


def _norm() -> Any:
    from matplotlib.colors import LogNorm

    return LogNorm(_FEWEST, _MOST, clip=True)


def _show_kept(axes: "Axes", kept: Float[Tensor, "height width"], clear: bool = False) -> Any:
    """Draw samples kept per pixel; `clear` leaves out the pixels without any."""
    values = kept.numpy()
    shown = np.ma.masked_less(values, _FEWEST) if clear else np.maximum(values, 1e-9)
    return axes.imshow(shown, cmap=_COLORS, norm=_norm(), interpolation="nearest")


def _panels(rows: int, columns: int, shape: tuple[int, ...], title: str) -> tuple["Figure", Any]:
    height, width = shape
    panel = (_INCHES - 0.3) / columns * height / width
    figure = new_figure(_INCHES, rows * (panel + 0.25) + 0.9, _DPI)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes in panels.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=11)
    return figure, panels


def _legend(figure: "Figure", drawn: Any, panels: Any) -> None:
    bar = figure.colorbar(
        drawn, ax=panels, location="bottom", shrink=0.5, aspect=45, pad=0.02, extend="min"
    )
    ticks = [1 / 4, 1, 4, 16, 64]
    bar.set_ticks(ticks, labels=["1/4", "1", "4", "16", "64"])
    bar.ax.minorticks_off()
    bar.set_label("samples kept on a pixel's ray (black: none)", fontsize=9)
