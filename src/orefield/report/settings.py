"""Which settings differ: between runs, or from the defaults."""

from collections.abc import Mapping, Sequence
from typing import Any

from orefield.report.markup import Html, plain_value, table, tag, text

_ABSENT = object()


def flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by their names on the command line, such as `optim.lr`."""
    found: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = list(value) if isinstance(value, tuple) else value
    return found


def differing(settings: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Every setting that is not the same in all, with its value in each; None where one lacks it.

    Names are flat, in the order of the first that has them.
    """
    all_flat = [flat(one) for one in settings]
    names = dict.fromkeys(name for one in all_flat for name in one)
    values = {name: [one.get(name, _ABSENT) for one in all_flat] for name in names}
    return {
        name: [None if one is _ABSENT else one for one in row]
        for name, row in values.items()
        if any(_differ(row[0], one) for one in row[1:])
    }


def settings_table(names: Sequence[str], settings: Sequence[Mapping[str, Any]]) -> Html:
    """The differing settings, a column for each of `names`; a sentence where none differs."""
    rows = differing(settings)
    if not rows:
        return tag("p", text("None."))
    head = [text("setting"), *map(text, names)]
    lines = [
        [tag("code", text(name)), *(text(plain_value(value)) for value in row)]
        for name, row in rows.items()
    ]
    return table("settings", head, lines)


def _differ(one: Any, other: Any) -> bool:
    """Equal numbers are equal, whether whole or not; but yes is not 1."""
    return bool(one != other) or isinstance(one, bool) != isinstance(other, bool)
