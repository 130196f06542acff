"""A race's result as a table and a plot."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from orefield.report.plots import new_figure, plain, save_figure, style_axes

Facts = dict[str, Any]


def psnr_at(arm: Facts, seconds: float) -> float:
    """PSNR of an arm at a time on its own clock, interpolated between its evaluations.

    Before the first and after the last evaluation it is theirs.
    """
    points = arm["points"]
    for before, after in pairwise(points):
        if seconds <= after["seconds"]:
            span = after["seconds"] - before["seconds"]
            share = max((seconds - before["seconds"]) / span, 0.0) if span > 0 else 1.0
            return float(before["psnr"] + share * (after["psnr"] - before["psnr"]))
    return float(points[-1]["psnr"])


def seconds_to(arm: Facts, psnr: float) -> float | None:
    """When an arm first reached `psnr`, interpolated; None if it never did."""
    points = arm["points"]
    if points[0]["psnr"] >= psnr:
        return float(points[0]["seconds"])
    for before, after in pairwise(points):
        if before["psnr"] < psnr <= after["psnr"]:
            share = (psnr - before["psnr"]) / (after["psnr"] - before["psnr"])
            return float(before["seconds"] + share * (after["seconds"] - before["seconds"]))
    return None


def summarize(arms: Sequence[Facts], seconds: float) -> dict[str, Facts]:
    """Per arm, over seeds: PSNR at each quarter of the time, seconds to plain's, cost, shares."""
    plain = {arm["seed"]: arm for arm in arms if arm["arm"] == "plain"}
    result = {}
    for name in dict.fromkeys(arm["arm"] for arm in arms):
        mine = [arm for arm in arms if arm["arm"] == name]
        points = [point for arm in mine for point in arm["points"]]
        peaks = [p["peak_bytes"] for p in points if p["peak_bytes"] is not None]
        result[name] = {
            "psnr": {str(q): _spread([psnr_at(a, q * seconds) for a in mine]) for q in _QUARTERS},
            "test_psnr": _spread([arm["test"]["psnr"] for arm in mine]),
            "test_ssim": _spread([arm["test"]["ssim"] for arm in mine]),
            "seconds_to_plain": _to_plain(mine, plain, seconds),
            "steps": _spread([arm["steps"] for arm in mine]),
            "ms_per_step": _spread([arm["ms_per_step"] for arm in mine]),
            "ms_per_stage": {
                stage: fmean(arm["ms_per_stage"][stage] for arm in mine)
                for stage in mine[0]["ms_per_stage"]
            },
            "kept_share": _spread([p["kept_share"] for p in points]),
            "rays": fmean(point["rays"] for point in points),
            "peak_bytes": fmean(peaks) if peaks else None,
        }
    return result


_QUARTERS = (0.25, 0.5, 0.75, 1.0)


def _spread(values: Sequence[float | int]) -> Facts:
    return {"mean": fmean(values), "min": min(values), "max": max(values)}


def _to_plain(mine: Sequence[Facts], plain: dict[int, Facts], seconds: float) -> Facts:
    """Mean seconds to the PSNR that plain, of the same seed, had at 1/4, 1/2 and all its time."""
    result: Facts = {}
    for share in (0.25, 0.5, 1.0):
        if not plain:
            break
        goals = {seed: psnr_at(arm, share * seconds) for seed, arm in plain.items()}
        times = [seconds_to(arm, goals[arm["seed"]]) for arm in mine]
        reached = [time for time in times if time is not None]
        result[str(share)] = fmean(reached) if len(reached) == len(times) else None
    return result


def markdown(summary: dict[str, Facts], seconds: float) -> str:
    """The summary as a Markdown table, one row per arm: means, and [min, max] over seeds."""
    quarters = " | ".join(f"{q * seconds:g} s" for q in _QUARTERS)
    lines = [
        f"| arm | PSNR at {quarters} | all test views | s to plain's 1/4, 1/2, end "
        "| steps | ms/step | kept | step's peak |",
        "|---" * (len(_QUARTERS) + 7) + "|",
    ]
    for name, row in summary.items():
        values = [row["psnr"][str(q)] for q in _QUARTERS] + [row["test_psnr"]]
        psnr = " | ".join(f"{v['mean']:.2f} [{v['min']:.2f}, {v['max']:.2f}]" for v in values)
        times = ", ".join(
            "–" if t is None else f"{t:.0f}" for t in row["seconds_to_plain"].values()
        )
        peak = "n/a" if row["peak_bytes"] is None else f"{row['peak_bytes'] / 2**20:.0f} MiB"
        lines.append(
            f"| {name} | {psnr} | {times} | {row['steps']['mean']:.0f} "
            f"| {row['ms_per_step']['mean']:.1f} | {100 * row['kept_share']['mean']:.0f} % "
            f"| {peak} |"
        )
    return "\n".join(lines)


def stage_table(summary: dict[str, Facts]) -> str:
    """Milliseconds per step and stage as a Markdown table, one row per arm."""
    stages = list(next(iter(summary.values()))["ms_per_stage"])
    lines = ["| arm | " + " | ".join(stages) + " |", "|---" * (len(stages) + 1) + "|"]
    for name, row in summary.items():
        cells = " | ".join(f"{row['ms_per_stage'][stage]:.1f}" for stage in stages)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def plot_race(path: Path, arms: Sequence[Facts], title: str) -> None:
    """Test PSNR against each arm's own seconds and steps; one line per seed, one color per arm."""
    figure = new_figure(11.0, 4.2)
    panels = figure.subplots(1, 2, sharey=True)
    names = list(dict.fromkeys(arm["arm"] for arm in arms))
    for axes, key, label in zip(
        panels, ("seconds", "steps"), ("training seconds", "steps"), strict=True
    ):
        for arm in arms:
            color = f"C{names.index(arm['arm'])}"
            x, y = ([p[k] for p in arm["points"]] for k in (key, "psnr"))
            name = arm["arm"] if arm["seed"] == arms[0]["seed"] else None
            axes.plot(x, y, "o-", color=color, markersize=3, linewidth=1.3, alpha=0.85, label=name)
        style_axes(axes, label, "test PSNR (dB)" if key == "seconds" else "")
    panels[0].legend(frameon=False, loc="lower right")
    figure.suptitle(plain(title), x=0.01, ha="left", fontsize=11)
    save_figure(figure, path)
