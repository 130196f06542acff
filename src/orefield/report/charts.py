"""Charts as inline SVG: readable without a script, in the page's own colors."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import isfinite

from orefield.report.axes import Axis, exact_axis, linear_axis, log_axis, tick_label
from orefield.report.markup import EMPTY, Html, join, part, tag, text

WIDTH, HEIGHT = 460, 270
LEFT, RIGHT, TOP, BOTTOM = 70.0, 448.0, 10.0, 226.0
COLORS, DASHES = 6, 4
"""Kinds of colors and of dashes in the style sheet."""

Point = tuple[float, float | None]
"""A place across, and the value there; a curve breaks where it is None or not finite."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart, or single points of it."""

    label: str
    points: Sequence[Point]
    color: int = 0
    """Number of the color, counted from 0; curves that belong together share it."""
    dash: int = 0
    kind: str = "line"
    """`line`; `faint`, a thin line; `dots`, a line with its points; `star`, points alone."""


@dataclass(frozen=True)
class Chart:
    """Curves over the same two axes."""

    title: str
    x_label: str
    y_label: str
    curves: Sequence[Curve]
    log: bool = False
    """A logarithmic axis upwards; values that are not positive are left out there."""
    percent: bool = False
    """Values are shares, and the axis goes from 0 to 100 %."""


def draw_chart(chart: Chart) -> Html:
    """The chart as a figure with its title and legend; EMPTY where no curve has a point."""
    curves = [Curve(c.label, _known(c, chart), c.color, c.dash, c.kind) for c in chart.curves]
    curves = [curve for curve in curves if any(y is not None for _, y in curve.points)]
    if not curves:
        return EMPTY
    across, up = _axes(chart, curves)
    marks = [_grid(chart, across, up), *(_curve(curve, across, up) for curve in curves)]
    label = f"{chart.title}: {chart.y_label} over {chart.x_label}"
    facts = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label}
    title = tag("h3", text(chart.title))
    inner = join([title, _legend(curves), tag("svg", join(marks), facts)])
    return part("chart", inner, "figure")


def draw_charts(charts: Iterable[Chart]) -> Html:
    """Charts side by side where there is room; those without a point are left out."""
    drawn = [figure for figure in map(draw_chart, charts) if figure]
    return part("charts", join(drawn)) if drawn else EMPTY


def _known(curve: Curve, chart: Chart) -> list[Point]:
    """The points, with None for what cannot be drawn."""

    def drawn(y: float | None) -> float | None:
        return y if y is not None and isfinite(y) and (y > 0 or not chart.log) else None

    return [(x, drawn(y)) for x, y in curve.points if isfinite(x)]


def _axes(chart: Chart, curves: Sequence[Curve]) -> tuple[Axis, Axis]:
    values = [y for curve in curves for _, y in curve.points if y is not None]
    across = exact_axis([x for curve in curves for x, _ in curve.points], LEFT, RIGHT)
    if chart.percent:
        return across, Axis(0.0, 1.0, BOTTOM, TOP, (0.0, 0.25, 0.5, 0.75, 1.0))
    return across, (log_axis if chart.log else linear_axis)(values, BOTTOM, TOP)


def _grid(chart: Chart, across: Axis, up: Axis) -> Html:
    """Ticks with their values, faint lines across, and what the axes mean."""
    marks = []
    for tick in up.ticks:
        y = f"{up.pixel(tick):.2f}"
        label = f"{100 * tick:.0f} %" if chart.percent else tick_label(tick)
        ends = {"x1": f"{LEFT:g}", "x2": f"{RIGHT:g}", "y1": y, "y2": y}
        marks.append(tag("line", EMPTY, {"class": "grid", **ends}))
        place = {"x": f"{LEFT - 7:g}", "y": y, "dy": "0.35em"}
        marks.append(tag("text", text(label), {"class": "tick y", **place}))
    for tick in across.ticks:
        x = f"{across.pixel(tick):.2f}"
        ends = {"x1": x, "x2": x, "y1": f"{BOTTOM:g}", "y2": f"{BOTTOM + 4:g}"}
        marks.append(tag("line", EMPTY, {"class": "axis", **ends}))
        place = {"x": x, "y": f"{BOTTOM + 18:g}"}
        marks.append(tag("text", text(tick_label(tick)), {"class": "tick x", **place}))
    ends = {"x1": f"{LEFT:g}", "x2": f"{RIGHT:g}", "y1": f"{BOTTOM:g}", "y2": f"{BOTTOM:g}"}
    marks.append(tag("line", EMPTY, {"class": "axis", **ends}))
    place = {"x": f"{(LEFT + RIGHT) / 2:g}", "y": str(HEIGHT - 6)}
    marks.append(tag("text", text(chart.x_label), {"class": "label", **place}))
    middle = (TOP + BOTTOM) / 2
    place = {"x": "10", "y": f"{middle:g}", "transform": f"rotate(-90 10 {middle:g})"}
    marks.append(tag("text", text(chart.y_label), {"class": "label", **place}))
    return part("axes", join(marks), "g")


def _curve(curve: Curve, across: Axis, up: Axis) -> Html:
    style = f"{curve.kind} c{curve.color % COLORS} d{curve.dash % DASHES}"
    marks = []
    for piece in _pieces(curve.points) if curve.kind != "star" else ():
        places = " ".join(f"{across.pixel(x):.2f},{up.pixel(y):.2f}" for x, y in piece)
        marks.append(tag("polyline", EMPTY, {"points": places}))
    if curve.kind in ("dots", "star"):
        radius = "3" if curve.kind == "dots" else "5.5"
        for x, y in curve.points:
            if y is not None:
                place = {"cx": f"{across.pixel(x):.2f}", "cy": f"{up.pixel(y):.2f}", "r": radius}
                marks.append(tag("circle", EMPTY, place))
    return part(f"curve {style}", join(marks), "g")


def _pieces(points: Sequence[Point]) -> list[list[tuple[float, float]]]:
    """The curve's unbroken parts."""
    pieces: list[list[tuple[float, float]]] = [[]]
    for x, y in points:
        if y is not None:
            pieces[-1].append((x, y))
        elif pieces[-1]:
            pieces.append([])
    return [piece for piece in pieces if piece]


def _legend(curves: Sequence[Curve]) -> Html:
    """Each label once, with a piece of its line; a single curve needs none."""
    named: dict[str, Curve] = {}
    for curve in curves:
        named.setdefault(curve.label, curve)
    if len(named) < 2:
        return EMPTY
    box = {"viewBox": "0 0 26 12", "width": "26", "height": "12", "aria-hidden": "true"}
    line = tag("polyline", EMPTY, {"points": "1,6 25,6"})
    items = []
    for curve in named.values():
        dot = tag("circle", EMPTY, {"cx": "13", "cy": "6", "r": "3.5"})
        shown = {"dots": [line, dot], "star": [dot]}.get(curve.kind, [line])
        style = f"curve {curve.kind} c{curve.color % COLORS} d{curve.dash % DASHES}"
        key = tag("svg", part(style, join(shown), "g"), box)
        items.append(tag("li", join([key, text(curve.label)])))
    return part("legend", join(items), "ul")
