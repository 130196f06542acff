"""How a setting is refused."""

from orefield.errors import ConfigError


def require(holds: bool, name: str, expected: str, value: object) -> None:
    """Raise ConfigError naming a setting, what was expected of it and what was given."""
    if not holds:
        raise ConfigError(f"{name} must be {expected}, got {value!r}")
