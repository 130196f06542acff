"""Laws of the viewer's share of the time."""

import random

import pytest

from orefield.errors import OrefieldError
from orefield.viewer.time_share import TimeShare


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("share", [0.05, 0.25, 0.8])
def test_the_share_is_kept_however_long_steps_and_pieces_take(share: float) -> None:
    """At any time, but for what pieces took beyond what was expected of them."""
    clock, chance = Clock(), random.Random(0)
    spare, begun, longest = TimeShare(share, clock), clock.now, 0.0
    for _ in range(500):
        clock.now += chance.choice([0.001, 0.02, 0.3])
        expected = chance.uniform(0.001, 0.1)
        while spare.allows(expected):
            took = expected * chance.uniform(0.5, 2)
            longest = max(longest, took - expected)
            with spare.spending():
                clock.now += took
            assert spare.spent <= share * (clock.now - begun) + took - expected + 1e-9
    assert spare.spent == pytest.approx(share * (clock.now - begun), rel=0.05)
    assert spare.used == pytest.approx(share, rel=0.05)


def test_idle_time_is_not_saved_up_for_long() -> None:
    clock = Clock()
    spare = TimeShare(0.5, clock)
    clock.now += 3600
    pieces = 0
    while spare.allows(0.1):
        with spare.spending():
            clock.now += 0.1
        pieces += 1
    assert pieces <= 10


def test_work_longer_than_any_credit_is_done_in_the_end() -> None:
    clock = Clock()
    spare = TimeShare(0.1, clock)
    assert not spare.allows(60.0)
    clock.now += 10
    assert spare.allows(60.0)


def test_a_pause_counts_neither_as_spent_nor_as_time() -> None:
    clock = Clock()
    spare = TimeShare(0.25, clock)
    clock.now += 1
    with spare.free():
        clock.now += 100
    assert spare.allows(0.2)
    assert not spare.allows(0.3)
    assert spare.used == 0


def test_all_of_the_time_may_be_given() -> None:
    assert TimeShare(1.0, Clock()).allows(5.0)


@pytest.mark.parametrize("share", [0.0, -1.0, 1.5, float("nan")])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(OrefieldError, match="share of the time"):
        TimeShare(share)
