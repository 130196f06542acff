"""When to save, evaluate and record: at shares of a run's budget, or every so many seconds."""

from collections.abc import Sequence

EVALUATE_AT = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the budget after which a run is evaluated, unless `eval_every` is set."""
MAP_AT = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the budget after which mining maps are recorded."""
COMPARE_AT = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 5 / 8, 3 / 4, 7 / 8, 1.0)
"""Shares of the budget after which a benchmark, or each arm of a race, is evaluated."""


class Schedule:
    """Tells when something is due; several times passed in one step count as one.

    It is due at each of the `shares` of the budget or, where `every` is positive, whenever that
    many seconds have passed, and at the end.
    """

    def __init__(self, shares: Sequence[float] = (1.0,), every: float = 0.0) -> None:
        self.every, self._next = every, every
        self._left = [1.0] if every > 0 else list(shares)

    def skip_to(self, share: float, seconds: float) -> None:
        """Drop what was due until then, as after a resume."""
        self.due(share, seconds)

    def due(self, share: float, seconds: float) -> bool:
        """Whether it is due, after `share` of the budget in [0, 1] and `seconds` in all."""
        before = len(self._left)
        self._left = [later for later in self._left if later > share]
        is_due = len(self._left) < before
        if self.every > 0 and seconds >= self._next:
            self._next = seconds + self.every
            is_due = True
        return is_due

    @property
    def finished(self) -> bool:
        """Whether the last share of the budget has passed."""
        return not self._left
