"""Line charts drawn with Pillow alone, for machines without matplotlib."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

_SIZE = 900, 520
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 50, 200, 60
_COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b")
_GRID, _INK = "#dddddd", "#222222"

Line = Sequence[tuple[float, float]]


def line_chart(
    path: Path, title: str, across: str, up: str, lines: Mapping[str, Sequence[Line]]
) -> None:
    """Write a PNG: a color per name, a line per run; nothing where there is no point."""
    points = [point for runs in lines.values() for run in runs for point in run]
    if not points:
        return
    x0, x1 = 0.0, max(x for x, _ in points) or 1.0
    y0, y1 = min(y for _, y in points), max(y for _, y in points)
    y0, y1 = (y0, y1) if y1 > y0 else (y0 - 1, y1 + 1)
    width, height = _SIZE[0] - _LEFT - _RIGHT, _SIZE[1] - _TOP - _BOTTOM

    def place(x: float, y: float) -> tuple[float, float]:
        return _LEFT + width * (x - x0) / (x1 - x0), _TOP + height * (y1 - y) / (y1 - y0)

    image = Image.new("RGB", _SIZE, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    for step in range(6):
        x, y = x0 + (x1 - x0) * step / 5, y0 + (y1 - y0) * step / 5
        draw.line([place(x, y0), place(x, y1)], _GRID)
        draw.line([place(x0, y), place(x1, y)], _GRID)
        draw.text((place(x, y0)[0], _TOP + height + 8), f"{x:.3g}", _INK, font, "ma")
        draw.text((_LEFT - 8, place(x0, y)[1]), f"{y:.4g}", _INK, font, "rm")
    draw.text((_LEFT, 16), title, _INK, font)
    draw.text((_LEFT + width / 2, _SIZE[1] - 24), across, _INK, font, "ma")
    draw.text((8, _TOP - 20), up, _INK, font)
    for number, (name, runs) in enumerate(lines.items()):
        color = _COLORS[number % len(_COLORS)]
        for run in runs:
            draw.line([place(*point) for point in run], color, 2)
        at = _TOP + 22 * number
        draw.line([(_LEFT + width + 14, at + 8), (_LEFT + width + 38, at + 8)], color, 3)
        draw.text((_LEFT + width + 44, at), name, _INK, font)
    image.save(path)


def bar_chart(path: Path, title: str, bars: Mapping[str, float]) -> None:
    """Write a PNG: a horizontal bar per name, with its value."""
    if not bars:
        return
    size = _SIZE[0], _TOP + 26 * len(bars) + 20
    image = Image.new("RGB", size, "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    draw.text((16, 16), title, _INK, font)
    most = max(bars.values()) or 1.0
    for number, (name, value) in enumerate(bars.items()):
        top = _TOP + 26 * number
        draw.text((190, top + 9), name, _INK, font, "rm")
        length = 560 * value / most
        draw.rectangle([(200, top), (200 + length, top + 18)], _COLORS[0])
        draw.text((208 + length, top + 9), f"{value:.3g}", _INK, font, "lm")
    image.save(path)
