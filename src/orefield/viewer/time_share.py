"""How much of the time the viewer may take from the training."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from orefield.errors import OrefieldError

_MOST = 0.5
"""Seconds saved up at most while nobody looks: a longer burst would be felt."""


class TimeShare:
    """Credit in seconds that grows with the clock and is spent on rendering.

    What is spent never exceeds `share` of the time since the beginning by more than one piece of
    work took beyond what was expected of it.
    """

    def __init__(self, share: float, clock: Callable[[], float] = perf_counter) -> None:
        """`share` in (0, 1]; 1 takes all that is asked for."""
        if not 0 < share <= 1:
            raise OrefieldError(f"the viewer's share of the time must be in (0, 1], got {share}")
        self.share, self.clock = share, clock
        self.begun = self.last = clock()
        self.credit = self.spent = 0.0

    def allows(self, expected: float) -> bool:
        """Whether there is credit for work that is expected to take so many seconds."""
        if self.share == 1:
            return True
        self._grow()
        return self.credit >= min(expected, _MOST)

    @contextmanager
    def spending(self) -> Iterator[None]:
        """Charge the time that the block takes."""
        self._grow()
        begun = self.clock()
        try:
            yield
        finally:
            took = self.clock() - begun
            self.spent += took
            self.credit -= took

    @contextmanager
    def free(self) -> Iterator[None]:
        """The block, as a pause of the training, is not counted at all."""
        self._grow()
        try:
            yield
        finally:
            away = self.clock() - self.last
            self.last += away
            self.begun += away

    @property
    def used(self) -> float:
        """Share of the time that was spent so far."""
        return self.spent / max(self.clock() - self.begun, 1e-9)

    def _grow(self) -> None:
        now = self.clock()
        self.credit = min(self.credit + self.share * (now - self.last), _MOST)
        self.last = now
