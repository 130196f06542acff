"""Settings to and from JSON, and from texts such as `optim.lr=0.01`."""

import dataclasses
import json
import types
import typing
from typing import Any, Literal

from orefield.config.require import require as _require
from orefield.config.run import RunConfig
from orefield.errors import ConfigError


def to_dict(config: RunConfig) -> dict[str, Any]:
    """The configuration as plain JSON types."""
    return dataclasses.asdict(config)


def from_dict(values: dict[str, Any]) -> RunConfig:
    """The inverse of `to_dict`; unknown or ill-typed fields raise ConfigError naming the field."""
    return typing.cast(RunConfig, _build(RunConfig, values, ""))


def changed(config: RunConfig, changes: str) -> RunConfig:
    """The configuration with settings changed, as in `mining.threshold=0.3,optim.lr=0.01`.

    Values are JSON or plain text; a tuple's are separated by commas, as in
    `proposal.num_proposal_samples=64,40`. Raises ConfigError naming a setting that is unknown or
    does not fit.
    """
    values = to_dict(config)
    for name, text in _assignments(changes):
        part, *path = values, *name.split(".")
        for step in path[:-1]:
            part = part.get(step, {}) if isinstance(part.get(step), dict) else {}
        _require(path[-1] in part, "setting", "a known one, such as mining.threshold", name)
        part[path[-1]] = _parsed(text)
    return from_dict(values)


def _assignments(changes: str) -> list[tuple[str, str]]:
    """Names and texts of values; what has no `=` belongs to the value before it."""
    found: list[tuple[str, str]] = []
    for piece in filter(None, changes.split(",")):
        name, equals, text = piece.partition("=")
        if equals or not found:
            found.append((name.strip(), text.strip()))
        else:
            last, before = found.pop()
            found.append((last, f"{before},{piece.strip()}"))
    return found


def _parsed(text: str) -> Any:
    """The text as JSON, as a list of JSON values, or as it is."""
    try:
        return json.loads(f"[{text}]" if "," in text and text[0] != "[" else text)
    except ValueError:
        return text


def _build(cls: type, values: Any, path: str) -> Any:
    if not isinstance(values, dict):
        name = path.rstrip(".") or "configuration"
        raise ConfigError(f"{name} must be an object, got {values!r}")
    kinds = typing.get_type_hints(cls)
    unknown = sorted(set(values) - set(kinds))
    if unknown:
        raise ConfigError(f"unknown setting {path}{unknown[0]!s}; known here: {', '.join(kinds)}")
    return cls(**{name: _value(kinds[name], given, path + name) for name, given in values.items()})


def _value(kind: Any, given: Any, name: str) -> Any:
    """`given` as a field's type; ConfigError naming the field where it does not fit."""
    if dataclasses.is_dataclass(kind):
        return _build(typing.cast(type, kind), given, name + ".")
    if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
        (kind,) = (other for other in typing.get_args(kind) if other is not type(None))
        return None if given is None else _value(kind, given, name)
    if typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        _require(given in choices, name, f"one of {', '.join(map(str, choices))}", given)
        return given
    if typing.get_origin(kind) is tuple:
        kinds = typing.get_args(kind)
        fits = isinstance(given, (list, tuple)) and len(given) == len(kinds)
        _require(fits, name, f"{len(kinds)} values", given)
        return tuple(_value(k, value, name) for k, value in zip(kinds, given, strict=True))
    if kind in (bool, str):
        expected = "true or false" if kind is bool else "a text"
        _require(isinstance(given, kind), name, expected, given)
        return given
    number = isinstance(given, int) and not isinstance(given, bool)
    fits = number if kind is int else number or isinstance(given, float)
    assert kind in (int, float)
    _require(fits, name, "a whole number" if kind is int else "a number", given)
    try:
        return kind(given)
    except OverflowError:  # a whole number that no float holds
        raise ConfigError(f"{name} must be a number below 1e308, got one of more digits") from None
