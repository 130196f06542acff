"""Typed access to JSON files; a missing or malformed field raises a SceneError that names it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.errors import SceneError
from orefield.system.files import read_json

HUGE = 1e15
"""Larger numbers are refused; float32 still holds the square of this one."""
ROUNDING = 1e-6
"""How far the last row of a matrix may be off."""


@dataclass(frozen=True)
class Record:
    """A JSON object and where it was found, such as `fox/transforms.json: frames[3]`."""

    where: str
    values: dict[str, Any]

    def has(self, name: str) -> bool:
        """Whether the field exists; an explicit null counts as absent."""
        return self.values.get(name) is not None

    def wrong(self, name: str, expected: str) -> SceneError:
        """A SceneError that says what this field should have been."""
        separator = "." if self.where.endswith("]") else ": "
        field = f"{self.where}{separator}{name}"
        if name not in self.values:
            return SceneError(f"{field} is missing; expected {expected}")
        return SceneError(f"{field} must be {expected}, got {_short(self.values[name])}")

    def number(self, name: str) -> float:
        """A finite number."""
        value: Any = self.values.get(name)
        if not _is_number(value):
            raise self.wrong(name, "a finite number")
        return float(value)

    def positive(self, name: str) -> float:
        """A finite number above zero."""
        value = self.number(name)
        if value <= 0:
            raise self.wrong(name, "positive")
        return value

    def size(self, name: str) -> int:
        """A whole number of pixels, at least one; 1080.0 is accepted."""
        value = self.positive(name)
        if value != int(value):
            raise self.wrong(name, "a whole number of pixels")
        return int(value)

    def flag(self, name: str) -> bool:
        """Whether the field is there and true."""
        value = self.values.get(name)
        if value not in (None, False, True):  # 0 and 1 are equal to these
            raise self.wrong(name, "true or false")
        return bool(value)

    def text(self, name: str) -> str:
        """A nonempty string."""
        value = self.values.get(name)
        if not isinstance(value, str) or not value:
            raise self.wrong(name, "a text")
        return value

    def texts(self, name: str) -> list[str]:
        """A list of strings."""
        values = self.values.get(name)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise self.wrong(name, "a list of texts")
        return values

    def records(self, name: str) -> list["Record"]:
        """A nonempty list of objects."""
        entries = self.values.get(name)
        if not isinstance(entries, list) or not entries:
            raise self.wrong(name, "a list with one entry per image")
        if not all(isinstance(entry, dict) for entry in entries):
            raise self.wrong(name, "a list of objects")
        return [Record(f"{self.where}: {name}[{i}]", entry) for i, entry in enumerate(entries)]

    def matrix(self, name: str) -> Float[Tensor, "3 4"]:
        """The upper three rows of a 4 x 4 (or 3 x 4) matrix of finite numbers, float64.

        The fourth must be 0, 0, 0, 1: others are those of a transposed matrix, or of no pose.
        """
        rows = self.values.get(name)
        if (
            not isinstance(rows, list)
            or len(rows) not in (3, 4)
            or not all(isinstance(row, list) and len(row) == 4 for row in rows)
        ):
            raise self.wrong(name, "a 4 x 4 matrix as a list of rows")
        if not all(_is_number(value) for row in rows for value in row):
            raise self.wrong(name, "a matrix of finite numbers")
        for last in rows[3:]:
            if any(
                abs(value - due) > ROUNDING for value, due in zip(last, (0, 0, 0, 1), strict=True)
            ):
                expected = "a matrix by rows, the last one 0, 0, 0, 1"
                raise SceneError(f"{self.wrong(name, expected)}; its last row is {_short(last)}")
        return torch.tensor(rows[:3], dtype=torch.float64)


def read_record(path: Path) -> Record:
    """The JSON object in a file."""
    return Record(str(path), read_json(path, SceneError))


def _is_number(value: Any) -> bool:
    # The comparison also refuses NaN, infinities, and whole numbers too long for a float.
    return isinstance(value, int | float) and not isinstance(value, bool) and -HUGE < value < HUGE


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:  # nested about as deeply as can be read
        text = f"a {type(value).__name__} of many levels"
    return text if len(text) <= 60 else text[:57] + "..."
