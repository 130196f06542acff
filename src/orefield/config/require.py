"""Checks of settings."""

from typing import TypeVar

from orefield.errors import ConfigError

Value = TypeVar("Value")


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Unless it holds, raise ConfigError with the setting, what is expected and what was given."""
    if not holds:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


def chosen(value: Value | None, name: str) -> Value:
    """A setting that is left to presets, once one has chosen it; ConfigError before."""
    if value is None:
        raise ConfigError(f"{name} is None: set it, or let config.resolve_preset choose it")
    return value
