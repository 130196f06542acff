"""The progress of long computations: generators that yield Progress and return their result."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """How much of a stage is done."""

    stage: str
    """Such as "reading photographs"."""
    done: int
    total: int
