"""What is known of a scene when its settings are chosen."""

from typing import NamedTuple


class SceneFacts(NamedTuple):
    """What is known of a scene when its settings are chosen."""

    unbounded: bool = False
    """It has a background beyond its box."""
    forward_facing: bool = False
    """Its cameras look one way, and what is sampled is a frustum before them."""
    width: int = 0
    """Pixels along the longer side of its photographs, in the median; 0 where unknown."""
