"""Long work is a generator: it yields how far it is and returns its result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How far a stage is."""

    stage: str
    """Such as "reading photographs"."""
    done: int
    total: int
