"""Laws of charts: a curve lies where its data and the labeled ticks say."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orefield.report.charts import Chart, Curve, draw_chart, draw_charts

TICK = re.compile(r'<text class="tick (.)" x="([-\d.]+)" y="([-\d.]+)"[^>]*>([^<]+)</text>')


def scales(svg: str) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
    """Pixels and values of the labeled ticks, across and upwards: what a reader goes by."""
    across, up = [], []
    for axis, x, y, label in TICK.findall(svg):
        value = float(label.replace(",", "").replace(" %", ""))
        across.append((float(x), value)) if axis == "x" else up.append((float(y), value))
    return across, up


def read_off(pixel: float, ticks: list[tuple[float, float]]) -> float:
    (a, low), (b, high) = ticks[0], ticks[-1]
    return low + (pixel - a) / (b - a) * (high - low)


def lines(svg: str) -> list[list[tuple[float, float]]]:
    """The pixels of every line but the legend's."""
    drawn = svg[svg.index('role="img"') :]
    found = re.findall(r'<polyline points="([^"]*)"', drawn)
    return [[tuple(map(float, pair.split(","))) for pair in one.split()] for one in found]


@given(st.lists(st.tuples(st.floats(0.01, 5000), st.floats(-50, 100)), min_size=2, max_size=30))
def test_data_can_be_read_off_the_chart(points: list[tuple[float, float]]) -> None:
    svg = draw_chart(Chart("t", "x", "y", [Curve("a", points)]))
    (line,) = lines(svg)
    across, up = scales(svg)
    width, height = max(x for x, _ in points), max(abs(v) for _, v in up)
    for (x, y), (at, height_at) in zip(points, line, strict=True):
        assert read_off(at, across) == pytest.approx(x, abs=1e-3 * width + 1e-9)
        assert read_off(height_at, up) == pytest.approx(y, abs=2e-3 * height + 1e-3)


def test_shares_are_drawn_from_zero_to_a_hundred_percent() -> None:
    svg = draw_chart(Chart("t", "x", "y", [Curve("a", [(0.0, 0.0), (1.0, 1.0)])], percent=True))
    assert lines(svg) == [[(70.0, 226.0), (448.0, 10.0)]]
    assert [value for _, value in scales(svg)[1]] == [0, 25, 50, 75, 100]


def test_a_decade_is_as_high_as_the_next_on_a_logarithmic_axis() -> None:
    points = [(1.0, 1e-4), (2.0, 1e-3), (3.0, 1e-2)]
    ((_, a), (_, b), (_, c)) = lines(draw_chart(Chart("t", "x", "y", [Curve("a", points)], True)))[
        0
    ]
    assert a - b == pytest.approx(b - c, abs=0.02)


def test_a_curve_breaks_where_nothing_is_known() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, None), (4.0, float("nan")), (5.0, 1.0), (6.0, 3.0)]
    assert [
        len(line) for line in lines(draw_chart(Chart("t", "x", "y", [Curve("a", points)])))
    ] == [
        2,
        2,
    ]


def test_what_is_not_positive_has_no_place_on_a_logarithmic_axis() -> None:
    points = [(1.0, 0.0), (2.0, 1e-3), (3.0, 1e-2), (4.0, -1.0)]
    assert [
        len(one) for one in lines(draw_chart(Chart("t", "x", "y", [Curve("", points)], True)))
    ] == [2]


def test_a_chart_without_a_point_is_left_out() -> None:
    empty = Chart("t", "x", "y", [Curve("a", []), Curve("b", [(1.0, None)])])
    assert draw_chart(empty) == draw_charts([empty]) == ""
    assert (
        draw_charts([empty, Chart("u", "x", "y", [Curve("a", [(1.0, 2.0)])])]).count("<figure") == 1
    )


def test_the_legend_names_each_label_once_and_a_single_curve_needs_none() -> None:
    points = [(0.0, 1.0), (1.0, 2.0)]
    several = [Curve("a", points), Curve("a", points), Curve("b<", points, 1, kind="star")]
    svg = draw_chart(Chart("t", "x", "y", several))
    assert re.findall(r"</svg>([^<]+)</li>", svg) == ["a", "b&lt;"]
    assert "legend" not in draw_chart(Chart("t", "x", "y", several[:1]))


def test_names_are_escaped_wherever_they_stand() -> None:
    name = "</svg><script>\"'"
    svg = draw_chart(Chart(name, name, name, [Curve(name, [(0.0, 1.0)]), Curve("b", [(0.0, 1.0)])]))
    assert "<script" not in svg
    assert svg.count("</svg>") == 3  # two keys of the legend, and the chart
