"""Where the time of a training step goes."""

import time

STAGES = (
    "draw", "density", "proposal", "color", "render", "choose", "backward", "optimizer", "refresh",
)  # fmt: skip
"""Stages of a step, in order; `refresh` is the occupancy grid's."""


class StageTimer:
    """Seconds spent so far in each stage of the step, as the host sees them."""

    def __init__(self) -> None:
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.start()

    def start(self) -> None:
        """What follows belongs to the stage marked next."""
        self._lap = time.perf_counter()

    def mark(self, stage: str) -> None:
        """The time since the last mark went into `stage`."""
        now = time.perf_counter()
        self.seconds[stage] += now - self._lap
        self._lap = now
