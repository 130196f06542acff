"""How a setting is refused."""

from typing import TypeVar

from orefield.errors import ConfigError

Value = TypeVar("Value")


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Raise ConfigError naming a setting, what was expected of it and what was given."""
    if not holds:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")


def chosen(value: Value | None, name: str) -> Value:
    """A setting that a preset chooses; ConfigError where none has done so yet."""
    if value is None:
        raise ConfigError(f"{name} is None: set it, or let config.resolve_preset choose it")
    return value
