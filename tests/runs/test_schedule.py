"""Laws of schedules: what is due is due once, and what was missed is due once in all."""

from hypothesis import given
from hypothesis import strategies as st

from orefield.runs.schedule import EVALUATE_AT, Schedule

SHARES = st.lists(st.floats(0.01, 1.0), unique=True, max_size=6).map(sorted)
STEPS = st.integers(1, 200)


@given(SHARES, STEPS)
def test_each_share_is_due_once_and_several_in_one_step_count_as_one(
    shares: list[float], steps: int
) -> None:
    schedule = Schedule(shares)
    due = [step for step in range(1, steps + 1) if schedule.due(step / steps, 0.0)]
    # The first step at or beyond each share; a set, because several may fall into one step.
    wanted = {next(s for s in range(1, steps + 1) if s / steps >= share) for share in shares}
    assert due == sorted(wanted)
    assert schedule.finished
    assert not schedule.due(1.0, 0.0)


@given(st.floats(0.5, 30.0), st.lists(st.floats(0.01, 20.0), min_size=1, max_size=40))
def test_every_so_many_seconds_and_at_the_end(every: float, steps: list[float]) -> None:
    schedule, seconds, last = Schedule(EVALUATE_AT, every), 0.0, 0.0
    for number, took in enumerate(steps, 1):
        seconds += took
        at_the_end = number == len(steps)
        is_due = schedule.due(number / len(steps), seconds)
        assert is_due == (seconds >= last + every or at_the_end)
        assert schedule.finished == at_the_end
        last = seconds if is_due else last


@given(SHARES, st.floats(0.0, 0.99))
def test_after_a_resume_only_what_is_left_is_due(shares: list[float], done: float) -> None:
    resumed, whole = Schedule(shares), Schedule(shares)
    resumed.skip_to(done, 0.0)
    whole.due(done, 0.0)
    rest = [done + (1 - done) * step / 50 for step in range(1, 51)]
    due = [resumed.due(share, 0.0) for share in rest]
    assert due == [whole.due(share, 0.0) for share in rest]
    assert any(due) == any(share > done for share in shares)


def test_after_a_resume_the_seconds_count_from_there() -> None:
    schedule = Schedule((), every=10.0)
    schedule.skip_to(0.5, 34.0)
    assert [s for s in range(35, 60) if schedule.due(0.6, float(s))] == [44, 54]
