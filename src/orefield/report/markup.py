"""HTML from plain values: whatever comes from a scene or a file is escaped here, and only here.

`Html` is text that may stand on a page as it is. Only the functions of this module make it from
other text, and they escape.
"""

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NewType

from orefield.errors import one_line

Html = NewType("Html", str)
EMPTY = Html("")
_VOID = ("img", "meta", "link")


def text(value: object) -> Html:
    """A value as one line of text: control characters as escapes, `<>&"'` as entities."""
    return Html(html.escape(one_line(str(value)), quote=True))


def path_text(value: object) -> Html:
    """Text that may be broken after each slash."""
    return Html(text(value).replace("/", "/<wbr>"))


def join(parts: Iterable[Html], between: Html = EMPTY) -> Html:
    """Parts one after the other."""
    return Html(between.join(parts))


def tag(name: str, inner: Html = EMPTY, attributes: Mapping[str, str] | None = None) -> Html:
    """An element around `inner`; values of attributes are escaped, whatever they hold."""
    pairs = (attributes or {}).items()
    given = "".join(f' {key}="{html.escape(value, quote=True)}"' for key, value in pairs)
    return Html(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inner}</{name}>")


def part(kind: str, inner: Html, name: str = "div") -> Html:
    """An element of a class."""
    return tag(name, inner, {"class": kind})


def number(value: float | int, digits: int = 2) -> Html:
    """A number rounded to so many decimals, with its exact value for whoever reads the source."""
    return tag("data", text(f"{value:,.{digits}f}"), {"value": repr(value)})


def plain_value(value: Any) -> str:
    """A value of JSON as people write it: `yes`, `0.25`, `a, b`; None is `not set`."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(plain_value, value))
    return value if isinstance(value, str) else json.dumps(value)


def table(kind: str, head: Sequence[Html], rows: Iterable[Sequence[Html]]) -> Html:
    """A table whose first column names the rows, in a box that scrolls by itself if it must."""
    titles = join(tag("th", title, {"scope": "col"}) for title in head)
    lines = join(
        tag("tr", join([tag("th", first, {"scope": "row"}), *(tag("td", c) for c in rest)]))
        for first, *rest in rows
    )
    inner = join([tag("thead", tag("tr", titles)), tag("tbody", lines)])
    return tag("div", part(kind, inner, "table"), {"class": "scroll", "tabindex": "0"})


def section(title: str, inner: Html, note: str = "") -> Html:
    """A part of the page with a heading and, below it, a line of explanation."""
    lines = [tag("h2", text(title))]
    if note:
        lines.append(part("note", text(note), "p"))
    return tag("section", join([*lines, inner]))
