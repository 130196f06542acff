"""metrics.json read back: how the training went and, once evaluated, the scores."""

from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from orefield.errors import RunError
from orefield.report.facts import ScoredView
from orefield.report.history import History, history_from_dict
from orefield.system.files import read_json

_LARGEST = 1e300
_NUMBERS = ("steps", "seconds", "peak_memory_bytes")


@dataclass(frozen=True)
class Metrics:
    """The contents of metrics.json."""

    protocol: dict[str, Any]
    """Empty where none was recorded."""
    training: dict[str, Any]
    """Empty where the training is unknown, as after `eval` on a folder without a metrics.json."""
    history: History
    scores: dict[str, float]
    """Means over the test views; empty where nothing was evaluated."""
    views: tuple[ScoredView, ...]


def read_metrics(path: Path, renders: Path) -> Metrics:
    """Read and check a metrics.json; `renders` is the folder of its views' pictures.

    RunError names the file and what is wrong with it.
    """
    facts = read_json(path, RunError, strict=True)
    protocol, training = (_object(path, facts, name) for name in ("protocol", "training"))
    for name in _NUMBERS:
        value = training.get(name)
        fits = value is None or (is_number(value) and value >= 0)
        require(path, fits, f"'training': '{name}'", "a number that is not negative")
    history = history_from_dict(training, f"{path}: 'training'") if training else History()
    scores, views = read_scores(path, _object(path, facts, "test"), renders)
    return Metrics(protocol, training, history, scores, views)


def read_scores(
    path: Path, test: dict[str, Any], renders: Path
) -> tuple[dict[str, float], tuple[ScoredView, ...]]:
    """Mean scores and each view's, of an object as `evaluate_run` returns it.

    `path` is the file that it was read from, which RunError names, and `renders` the folder of the
    views' pictures.
    """
    views = test.get("views", [])
    require(path, isinstance(views, list), "'test': 'views'", "a list")
    scored = (_view(path, f"'views', number {i}", v, renders) for i, v in enumerate(views))
    means = {name: value for name, value in test.items() if name != "views"}
    return _scores(path, "'test'", means), tuple(scored)


def _object(path: Path, facts: dict[str, Any], name: str) -> dict[str, Any]:
    value = facts.get(name)
    require(path, value is None or isinstance(value, dict), f"'{name}'", "an object or null")
    return value or {}


def _view(path: Path, where: str, view: Any, renders: Path) -> ScoredView:
    require(path, isinstance(view, dict), where, "an object")
    name, picture = view.pop("name", None), view.pop("picture", None)
    require(path, isinstance(name, str), f"{where}: 'name'", "a text")
    if picture is not None:  # a stranger's run must not put other files of the reader on a page
        fits = isinstance(picture, str) and "\0" not in picture and len(picture) <= 255
        fits = fits and picture not in ("", ".", "..") and not {"/", "\\", ":"} & set(picture)
        require(path, fits, f"{where}: 'picture'", "the name of a file in renders/")
    file = None if picture is None else renders / picture
    return ScoredView(name, _scores(path, where, view), file)


def _scores(path: Path, where: str, values: dict[str, Any]) -> dict[str, float]:
    """The scores in an object that holds nothing else; those that are null are left out."""
    for name, value in values.items():
        fits = value is None or is_number(value)
        require(path, fits, f"{where}: '{name}'", "a finite number or null")
    return {name: float(value) for name, value in values.items() if value is not None}


def is_number(value: Any) -> bool:
    """Whether a value of JSON is a number that can be drawn."""
    known = isinstance(value, (int, float)) and not isinstance(value, bool)
    return known and abs(value) <= _LARGEST and isfinite(value)


def require(path: Path, holds: bool, name: str, expected: str) -> None:
    """Unless it holds, raise RunError with the file, the field and what was expected there."""
    if not holds:
        raise RunError(f"{path}: {name} is of the wrong kind; expected {expected}")
