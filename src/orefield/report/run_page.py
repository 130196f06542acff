"""The page of one run, or of several side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

from orefield.report.facts import SCORES, RunFacts, kept_share, score_title
from orefield.report.maps_section import maps_section
from orefield.report.markup import (
    EMPTY,
    Html,
    join,
    number,
    part,
    path_text,
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
_TOLD = {"scene", "resolution", "train_views", "test_views", "split", "background", "rule"}
_TOLD |= {"seed", "device", "threads"}
"""Parts of a protocol that are shown under names of their own."""


def run_page(runs: Sequence[RunFacts], defaults: Mapping[str, Any]) -> str:
    """The page of these runs, of which there must be some; `defaults` are those of the settings."""
    assert runs
    alone = len(runs) == 1
    if alone:
        title = runs[0].scene
        parts = [_heading(runs[0]), section("Protocol", facts_list(protocol_facts(runs[0])))]
    else:
        title = ", ".join(dict.fromkeys(run.scene for run in runs))
        parts = [_headings(runs, title), _scores(runs), _protocols(runs)]
    parts += [curves_section(runs), views_section(runs)]
    for run in runs:
        where = "Where samples are kept"
        parts.append(maps_section(run.mining_maps, where if alone else f"{where}: {run.name}"))
    parts.append(_settings(runs, defaults))
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


def protocol_facts(run: RunFacts) -> dict[str, str]:
    """What has to be known of a run to place its numbers, by name; what is not recorded says so."""
    known, training = run.protocol, run.training
    facts = {
        "Scene": run.scene,
        "Resolution": _said(known, "resolution").replace("x", " × "),
        "Views": f"{run.train_views} for training, {run.test_views} for testing",
        "Split": _said(known, "split"),
        "Background": _said(run.settings, "eval_background"),
        "Rule": run.rule,
        "Training time": _amount(training.get("seconds"), "s", 1),
        "Steps": _amount(training.get("steps"), "", 0),
        "Seed": _said(run.settings, "seed"),
        "Version": f"Orefield {run.version}",
        "Threads": _said(known, "threads"),
        "Peak memory": _memory(training.get("peak_memory_bytes")),
        "Device": _said(known, "device"),
        "Files": run.source,
    }
    return facts | other_facts(known)


def other_facts(protocol: Mapping[str, Any]) -> dict[str, str]:
    """The rest of a protocol: how scores are defined, versions, and whatever else it holds."""
    rest = {name: value for name, value in protocol.items() if name not in _TOLD}
    return {_title(name): _listed(value) for name, value in rest.items()}


def _title(name: str) -> str:
    """`psnr` -> `PSNR`, `ignored_by_masks` -> `Ignored by masks`."""
    plain = name.replace("_", " ")
    return SCORES[name][0] if name in SCORES else plain[:1].upper() + plain[1:]


def _listed(value: Any) -> str:
    if not isinstance(value, Mapping):
        return plain_value(value)
    return ", ".join(f"{name} {plain_value(one)}" for name, one in flat(value).items())


def _said(facts: Mapping[str, Any], name: str) -> str:
    value = facts.get(name)
    return _UNKNOWN if value in (None, [], "") else plain_value(value)


def _amount(value: float | int | None, unit: str, digits: int) -> str:
    return _UNKNOWN if value is None else f"{value:,.{digits}f} {unit}".rstrip()


def _memory(value: float | int | None) -> str:
    return _UNKNOWN if value is None else f"{value / 2**20:,.0f} MiB"


def facts_list(facts: Mapping[str, str], longest: int = 36) -> Html:
    """Names and values in two columns; values longer than that take a whole line, at the end."""
    pairs = []
    for name, value in sorted(facts.items(), key=lambda pair: len(pair[1]) > longest):
        pairs.append(tag("dt", text(name)))
        pairs.append(
            tag("dd", path_text(value), {"class": "wide"} if len(value) > longest else None)
        )
    return tag("dl", join(pairs), {"class": "facts"})


def _scores(runs: Sequence[RunFacts]) -> Html:
    """A row for each run: its scores, and what they took."""
    names = list(dict.fromkeys(name for run in runs for name in run.scores))
    titles = [score_title(name) for name in names]
    head = ["run", *(f"{title}, {unit}" if unit else title for title, unit, _ in titles)]
    head += ["training time, s", "steps", "samples kept, %"]
    rows = []
    for run in runs:
        cells = [
            (run.scores.get(name), digits) for name, (*_, digits) in zip(names, titles, strict=True)
        ]
        cells += [(run.training.get("seconds"), 1), (run.training.get("steps"), 0)]
        share = kept_share(run.history)
        cells.append((None if share is None else 100 * share, 0))
        shown = [text("–") if value is None else number(value, digits) for value, digits in cells]
        rows.append([text(run.name), *shown])
    return section("Scores", table("compared", [text(title) for title in head], rows))


def _protocols(runs: Sequence[RunFacts]) -> Html:
    """What differs between the protocols, then what they share."""
    facts = [protocol_facts(run) for run in runs]
    differ = differing(facts)
    shared = {name: value for name, value in facts[0].items() if name not in differ}
    head = [EMPTY, *(text(run.name) for run in runs)]
    rows = [
        [text(name), *(text("–" if value is None else value) for value in row)]
        for name, row in differ.items()
    ]
    parts = [table("compared", head, rows)] if rows else []
    shown = join([*parts, tag("h3", text("The same for all")), facts_list(shared)])
    return section("Protocol", shown)


def _settings(runs: Sequence[RunFacts], defaults: Mapping[str, Any]) -> Html:
    """The settings that differ between the runs; for a single one, from the defaults."""
    if len(runs) > 1:
        names = [run.name for run in runs]
        inner = settings_table(names, [run.settings for run in runs])
        return section("Settings that differ", inner)
    inner = settings_table(["this run", "default"], [runs[0].settings, defaults])
    note = "Where the default is not set, the scene, the preset and the budget choose."
    return section("Settings other than the defaults", inner, note)
