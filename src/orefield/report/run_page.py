"""The page of one run, or of several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from orefield.report.facts import RunFacts, kept_share, score_title
from orefield.report.maps_section import maps_section
from orefield.report.markup import (
    EMPTY,
    Html,
    join,
    number,
    part,
    plain_value,
    section,
    table,
    tag,
    text,
)
from orefield.report.page import page
from orefield.report.run_charts import curves_section
from orefield.report.settings import differing, flat, settings_table
from orefield.report.views_table import views_section

_UNKNOWN = "not recorded"


def run_page(runs: Sequence[RunFacts], defaults: Mapping[str, Any]) -> str:
    """The page of these runs, of which there must be some; `defaults` are those of the settings."""
    assert runs
    alone = len(runs) == 1
    if alone:
        title = runs[0].scene
        parts = [_heading(runs[0]), section("Run", facts_list(run_facts(runs[0])))]
    else:
        title = ", ".join(dict.fromkeys(run.scene for run in runs))
        parts = [_headings(runs, title), _comparison(runs)]
    parts += [curves_section(runs), views_section(runs)]
    for run in runs:
        where = "Where samples are kept"
        parts.append(maps_section(run.mining_maps, where if alone else f"{where}: {run.name}"))
    parts += [_settings(runs, defaults), protocol_section(runs)]
    return page(f"{title} · Orefield", join(parts))


def _heading(run: RunFacts) -> Html:
    lines = [
        part("kicker", text(f"Orefield run {run.name}"), "p"),
        tag("h1", text(run.scene)),
        part("lead", text(_lead(run)), "p"),
        tiles(run),
    ]
    return tag("header", join(lines))


def _headings(runs: Sequence[RunFacts], title: str) -> Html:
    named = ", ".join(run.name for run in runs)
    kicker = part("kicker", text(f"{len(runs)} runs of Orefield compared"), "p")
    lines = [kicker, tag("h1", text(title)), part("lead", text(named), "p")]
    return tag("header", join(lines))


def _lead(run: RunFacts) -> str:
    said = f"Rule {run.rule}, seed {run.settings.get('seed', 0)}"
    if not run.scores:
        said += "; stopped or not evaluated yet" if run.test_views else "; no test views"
    return said


def tiles(run: RunFacts) -> Html:
    """The numbers that are looked for first."""
    shown = []
    for name, value in run.scores.items():
        title, unit, digits = score_title(name)
        shown.append((number(value, digits), unit, f"{title}, test views"))
    if (seconds := run.training.get("seconds")) is not None:
        shown.append((number(seconds, 1), "s", "training time"))
    if (steps := run.training.get("steps")) is not None:
        shown.append((number(steps, 0), "", "steps"))
    if (share := kept_share(run.history)) is not None:
        shown.append((number(100 * share, 0), "%", "samples kept"))
    items = [
        join(
            [
                part("value", join([value, part("unit", text(f" {unit}"), "span")]), "span"),
                part("name", text(name), "span"),
            ]
        )
        for value, unit, name in shown
    ]
    return part("tiles", join(tag("li", item) for item in items), "ul") if items else EMPTY


def run_facts(run: RunFacts) -> dict[str, str]:
    """What has to be known of a run to place its numbers."""
    known, training = run.protocol, run.training

    def said(name: str) -> str:
        value = known.get(name)
        return plain_value(value) if value not in (None, [], "") else _UNKNOWN

    return {
        "Scene": run.scene,
        "Resolution": said("resolution").replace("x", " × ") + _of_test(known),
        "Views": f"{run.train_views} for training, {run.test_views} for testing",
        "Split": said("split"),
        "Background": str(run.settings.get("eval_background", _UNKNOWN)),
        "Rule": run.rule,
        "Training time": _amount(training.get("seconds"), "s", 1),
        "Steps": _amount(training.get("steps"), "", 0),
        "Seed": plain_value(run.settings.get("seed")),
        "Threads": said("threads"),
        "Version": f"Orefield {run.version}",
        "Peak memory": _memory(training.get("peak_memory_bytes")),
        "Device": said("device"),
        "Files": run.source,
    }


def _of_test(known: Mapping[str, Any]) -> str:
    return " (test views)" if known.get("resolution") else ""


def _amount(value: float | None, unit: str, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{digits}f} {unit}".rstrip()


def _memory(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value / 2**20:,.0f} MiB"


def facts_list(facts: Mapping[str, str], wide: Sequence[str] = ("Device", "Files")) -> Html:
    """Names and values in two columns; those of `wide` take a whole line."""
    pairs = []
    for name, value in facts.items():
        pairs.append(tag("dt", text(name)))
        kind = {"class": "wide"} if name in wide else None
        pairs.append(tag("dd", text(value), kind))
    return tag("dl", join(pairs), {"class": "facts"})


def _comparison(runs: Sequence[RunFacts]) -> Html:
    """Scores and facts, a column for each run."""
    rows = []
    for name in dict.fromkeys(name for run in runs for name in run.scores):
        title, unit, digits = score_title(name)
        values = [run.scores.get(name) for run in runs]
        cells = [text("–") if value is None else number(value, digits) for value in values]
        rows.append([text(f"{title}, {unit}" if unit else title), *cells])
    shares = [kept_share(run.history) for run in runs]
    cells = [text("–") if share is None else number(100 * share, 0) for share in shares]
    rows.append([text("Samples kept, %"), *cells])
    facts = [run_facts(run) for run in runs]
    rows += [[text(name), *(text(one[name]) for one in facts)] for name in facts[0]]
    return section("Runs", table("compared", [EMPTY, *(text(run.name) for run in runs)], rows))


def _settings(runs: Sequence[RunFacts], defaults: Mapping[str, Any]) -> Html:
    """The settings that differ between the runs; for a single one, from the defaults."""
    if len(runs) > 1:
        names = [run.name for run in runs]
        inner = settings_table(names, [run.settings for run in runs])
        return section("Settings that differ", inner)
    inner = settings_table(["this run", "default"], [runs[0].settings, defaults])
    note = "Where the default is not set, the scene, the preset and the budget choose."
    return section("Settings other than the defaults", inner, note)


def protocol_section(runs: Sequence[RunFacts]) -> Html:
    """What the scores depend on; for several runs, what differs first."""
    protocols = [flat(run.protocol) for run in runs]
    differ = differing(protocols)
    parts = []
    if len(runs) > 1:
        parts.append(settings_table([run.name for run in runs], protocols))
    shared = {name: plain_value(v) for name, v in protocols[0].items() if name not in differ}
    if shared:
        parts.append(facts_list(shared, tuple(shared)))
    inner = join(parts) if any(protocols) else tag("p", text("Not recorded."))
    note = "What differs between the runs, then what they share." if len(runs) > 1 else ""
    return section("Protocol", inner, note)
