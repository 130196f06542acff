"""The page of a race: its arms side by side."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orefield.report.facts import RunFacts
from orefield.report.maps_section import maps_section
from orefield.report.markup import EMPTY, Html, join, number, part, section, table, tag, text
from orefield.report.page import page
from orefield.report.run_charts import curves_section
from orefield.report.run_page import facts_list, protocol_facts
from orefield.report.settings import flat, settings_table
from orefield.report.views_table import views_section

_TO_PLAIN = {"0.25": "a quarter", "0.5": "half", "1.0": "the end"}

_EXPLAINED = (
    "Seconds to plain's: training time until an arm has the PSNR that the arm plain has after a "
    "quarter, half and all of its time."
)


@dataclass(frozen=True)
class RaceFacts:
    """One race."""

    name: str
    """Its folder's name."""
    seconds: float
    """Training time of each arm."""
    settings: dict[str, Any]
    """Those that all arms begin with."""
    scene: str
    """Its name."""
    arms: tuple[RunFacts, ...]
    """Every arm with every seed; an arm's name is the same for all its seeds."""
    seeds: tuple[int, ...]
    summary: dict[str, dict[str, Any]]
    """By arm, over seeds, as bench.race_report.summarize makes it."""
    mining_maps: tuple[Path, ...]


def race_page(race: RaceFacts, defaults: Mapping[str, Any]) -> str:
    """The page of a race; `defaults` are those of the settings."""
    first = [arm for arm in race.arms if arm.settings["seed"] == race.seeds[0]]
    several = len(race.seeds) > 1
    arms = f"{len(race.summary)} arms, {race.seconds:g} s of training each"
    seeds = f"{len(race.seeds)} seeds" if several else f"seed {race.seeds[0]}"
    lines = [
        part("kicker", text(f"Orefield race {race.name}"), "p"),
        tag("h1", text(race.scene)),
        part("lead", text(f"{arms}, {seeds}"), "p"),
    ]
    own = {"mining": {"rule": race.settings.get("mining", {}).get("rule")}, "seed": 0, "steps": 0}
    base = _without(race.settings, own)
    body = [
        tag("header", join(lines)),
        section("Result", _results(race), "Means over seeds, and ranges." if several else ""),
        section("Cost", _costs(race), _EXPLAINED),
        section("Protocol", facts_list(_protocol(race))),
        curves_section(race.arms),
        views_section(first, "Arm") if any(arm.views for arm in first) else EMPTY,
        maps_section(race.mining_maps, "Where samples are kept"),
        section("Milliseconds per step and stage", _stages(race)),
        section("Settings that differ between arms", _between(first)),
        section(
            "Settings of all arms other than the defaults",
            settings_table(["this race", "default"], [base, _without(defaults, own)]),
        ),
    ]
    return page(f"Race, {race.scene} · Orefield", join(body))


def _without(settings: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by flat names, but for those which each arm has for itself."""
    names = flat(own)
    return {name: value for name, value in flat(settings).items() if name not in names}


def _between(arms: list[RunFacts]) -> Html:
    if len(arms) < 2:
        return tag("p", text("There is one arm."))
    return settings_table([arm.name for arm in arms], [arm.settings for arm in arms])


def _results(race: RaceFacts) -> Html:
    """What each arm reached: PSNR over time, and the scores of all test views."""
    some = next(iter(race.summary.values()))
    head = ["arm", *(f"PSNR at {float(q) * race.seconds:g} s" for q in some["psnr"])]
    rows = []
    for name, row in race.summary.items():
        scores = [*row["psnr"].values(), row["test_psnr"]]
        cells = [text(name), *(_spread(one, 2) for one in scores), _spread(row["test_ssim"], 4)]
        rows.append(cells)
    head += ["PSNR, all test views", "SSIM, all test views"]
    return table("results", [text(title) for title in head], rows)


def _costs(race: RaceFacts) -> Html:
    """What it took: seconds to plain's quality, steps, time, samples, memory."""
    goals = list(next(iter(race.summary.values()))["seconds_to_plain"])
    head = ["arm", *(f"s to plain's at {_TO_PLAIN.get(goal, goal)}" for goal in goals)]
    head += ["steps", "ms per step", "samples kept, %", "peak memory of a step, MiB"]
    rows = []
    for name, row in race.summary.items():
        times = [row["seconds_to_plain"][goal] for goal in goals]
        cells = [text(name), *(text("never") if t is None else number(t, 1) for t in times)]
        cells += [_spread(row["steps"], 0), _spread(row["ms_per_step"], 1)]
        cells.append(number(100 * row["kept_share"]["mean"], 0))
        peak = row["peak_bytes"]
        cells.append(text("not known") if peak is None else number(peak / 2**20, 0))
        rows.append(cells)
    return table("costs", [text(title) for title in head], rows)


def _spread(values: Mapping[str, float | int], digits: int) -> Html:
    """A mean and, where it is one of several, its range."""
    mean = number(values["mean"], digits)
    if values["min"] == values["max"]:
        return mean
    ends = f"{values['min']:,.{digits}f} to {values['max']:,.{digits}f}"
    return join([mean, part("range", text(ends), "span")])


def _stages(race: RaceFacts) -> Html:
    stages = list(next(iter(race.summary.values()))["ms_per_stage"])
    rows = [
        [text(name), *(number(row["ms_per_stage"][stage], 1) for stage in stages)]
        for name, row in race.summary.items()
    ]
    return table("stages", [text("arm"), *map(text, stages)], rows)


def _protocol(race: RaceFacts) -> dict[str, str]:
    """The protocol, as far as it is the same for all arms."""
    own = ("Rule", "Seed", "Training time", "Steps", "Peak memory", "Files")
    facts = {name: v for name, v in protocol_facts(race.arms[0]).items() if name not in own}
    return facts | {"Seeds": ", ".join(map(str, race.seeds)), "Arms": ", ".join(race.summary)}
