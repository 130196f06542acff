"""The test views of one or several runs: scores, photograph, render, error."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from orefield.report.facts import RunFacts, ScoredView, score_title
from orefield.report.markup import Html, join, number, part, path_text, section, tag, text
from orefield.report.page_pictures import (
    InlinePicture,
    PageComparisons,
    Panels,
    page_comparisons,
)
from orefield.report.pictures import ERROR_GAIN

_PANELS = ("photograph", "render", "error")
_TITLES = ("Photograph", "Render", f"Error × {ERROR_GAIN}")


def views_section(runs: Sequence[RunFacts], each: str = "Run") -> Html:
    """A row for each view and run; a sentence where nothing was evaluated.

    `each` is the title of the column that names the runs, where there are several.
    """
    if not any(run.views for run in runs):
        why = "Nothing was evaluated."
        if not any(run.test_views for run in runs):
            why = "The scene has no test views: there is nothing to evaluate."
        return section("Test views", tag("p", text(why)))
    every = [view for run in runs for view in run.views]
    pictures = page_comparisons([view.picture for view in every if view.picture is not None])
    names = list(dict.fromkeys(name for view in every for name in view.scores))
    columns = _PANELS if pictures.panels else ()
    grouped = _by_view(runs)
    bodies = [_body(key[0], of, runs, names, pictures.panels) for key, of in grouped.items()]
    inner = join(
        [_head(each if len(runs) > 1 else "", names, columns), *bodies, _means(runs, names)]
    )
    hint = text("Drag across a render: left of the line lies the photograph. ")
    notes = [part("with-script", hint, "span")] if pictures.panels else []
    notes.append(text(_notes(every, pictures)))
    note = part("note", join(notes), "p")
    return section("Test views", join([note, part("clip", part("views", inner, "table"))]))


def _by_view(runs: Sequence[RunFacts]) -> dict[tuple[str, int], dict[int, ScoredView]]:
    """Views by name, and by which of equal names it is; for each, the runs that have it."""
    found: dict[tuple[str, int], dict[int, ScoredView]] = {}
    for index, run in enumerate(runs):
        met: Counter[str] = Counter()
        for view in run.views:
            found.setdefault((view.name, met[view.name]), {})[index] = view
            met[view.name] += 1
    return found


def _head(each: str, names: Sequence[str], columns: Sequence[str]) -> Html:
    titles = [("named", "View")] + [("run", each)] * bool(each)
    for name in names:
        title, unit, _ = score_title(name)
        titles.append(("scored", f"{title}, {unit}" if unit else title))
    titles += list(zip(columns, _TITLES, strict=False))
    cells = join(tag("th", text(title), {"scope": "col", "class": kind}) for kind, title in titles)
    return tag("thead", tag("tr", cells))


def _body(
    name: str,
    of: Mapping[int, ScoredView],
    runs: Sequence[RunFacts],
    names: Sequence[str],
    panels: Mapping[Path, Panels],
) -> Html:
    """One view's rows; a photograph that all runs share is shown once."""
    shown = [panels.get(view.picture) if view.picture else None for view in of.values()]
    photographs = {one.photograph.address for one in shown if one is not None}
    shared = len(photographs) == 1 and shown[0] is not None
    rows = []
    for line, ((index, view), parts) in enumerate(zip(of.items(), shown, strict=True)):
        cells = []
        if line == 0:
            span = {"scope": "rowgroup", "class": "named", "rowspan": str(len(of))}
            cells.append(tag("th", path_text(name), span))
        if len(runs) > 1:
            cells.append(part("run", text(runs[index].name), "td"))
        cells += [_score(one, view.scores.get(one)) for one in names]
        if panels:
            skip = shared and line > 0
            cells += _pictures(name, parts, skip, len(of) if shared else 1)
        rows.append(tag("tr", join(cells)))
    return tag("tbody", join(rows))


def _score(name: str, value: float | None) -> Html:
    title, _, digits = score_title(name)
    inner = text("–") if value is None else number(value, digits)
    return tag("td", inner, {"class": "scored", "data-name": title})


def _pictures(name: str, parts: Panels | None, skip_photograph: bool, span: int) -> list[Html]:
    """The cells of photograph, render and error."""
    pictures = [None] * 3 if parts is None else [parts.photograph, parts.render, parts.error]
    cells = []
    for kind, title, picture in zip(_PANELS, _TITLES, pictures, strict=True):
        if kind == "photograph" and skip_photograph:
            continue
        spans = {"rowspan": str(span)} if kind == "photograph" and span > 1 else {}
        inner = part("absent", text("no picture"), "span")
        if picture is not None:
            caption = part("caption", text(title), "span")
            inner = join([caption, image(picture, f"{kind}, {name}")])
        cells.append(tag("td", inner, {"class": kind, **spans}))
    return cells


def image(picture: InlinePicture, alt: str) -> Html:
    """A picture, with its size, so that nothing moves while the page is built up."""
    size = {"width": str(picture.width), "height": str(picture.height)}
    return tag("img", attributes={"src": picture.address, "alt": text(alt), **size})


def _means(runs: Sequence[RunFacts], names: Sequence[str]) -> Html:
    rows = []
    for run in runs:
        if not run.scores:
            continue
        cells = [tag("th", text("Mean"), {"scope": "row", "class": "named"})]
        if len(runs) > 1:
            cells.append(part("run", text(run.name), "td"))
        rows.append(tag("tr", join(chain(cells, (_score(n, run.scores.get(n)) for n in names)))))
    return tag("tfoot", join(rows))


def _notes(views: Sequence[ScoredView], pictures: PageComparisons) -> str:
    """What is to be said of the pictures, as sentences."""
    absent = sum(view.picture is None for view in views) + pictures.missing
    told = []
    if absent:
        told.append(f"{absent} of {len(views)} have no picture in the run's folder.")
    if pictures.damaged:
        told.append(f"Not readable as a comparison: {', '.join(pictures.damaged)}.")
    if pictures.left_out:
        told.append(f"Pictures of every view would be too many: {len(pictures.panels)} are shown.")
    if pictures.panels:
        told.append(f"Pictures are compressed, and at most {pictures.side} pixels wide and high;")
        told.append("the scores are those of the renders as they are.")
    return " ".join(told)
