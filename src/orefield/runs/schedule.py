"""When something happens on the way: at shares of a run's budget, or every so many seconds."""

from collections.abc import Sequence

EVALUATE_AT = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the budget after which a run is evaluated, unless it says how often."""
MAP_AT = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the budget after which mining maps are recorded."""
COMPARE_AT = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0)
"""Shares of the budget after which the arms of a race, or a benchmark, are evaluated."""


class Schedule:
    """Says when it is time again; several times at once (few steps) count as one.

    At `shares` of the budget in ascending order, or, where `every` is positive, each time so many
    seconds have passed, and at the end.
    """

    def __init__(self, shares: Sequence[float] = (1.0,), every: float = 0.0) -> None:
        self.every, self._next = every, every
        self._left = [1.0] if every > 0 else list(shares)

    def skip_to(self, share: float, seconds: float) -> None:
        """What would have been due until then is not, as after a resume."""
        self.due(share, seconds)

    def due(self, share: float, seconds: float) -> bool:
        """Whether it is time, after `share` of the budget in [0, 1] and so many seconds."""
        before = len(self._left)
        self._left = [later for later in self._left if later > share]
        is_due = len(self._left) < before
        if 0 < self.every and seconds >= self._next:
            self._next = seconds + self.every
            is_due = True
        return is_due

    @property
    def finished(self) -> bool:
        """Whether the last share has passed."""
        return not self._left
