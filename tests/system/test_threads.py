import numba
import pytest
import torch

from orefield.errors import ConfigError
from orefield.system.threads import available, use_threads


@pytest.fixture(autouse=True)
def threads_as_before():
    before = torch.get_num_threads(), numba.get_num_threads()
    yield
    torch.set_num_threads(before[0])
    numba.set_num_threads(before[1])


def test_both_pools_get_the_same_number() -> None:
    assert use_threads(1) == torch.get_num_threads() == numba.get_num_threads() == 1


def test_zero_takes_every_core() -> None:
    assert use_threads(0) == min(available(), numba.config.NUMBA_NUM_THREADS)


def test_more_threads_than_there_are_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"threads must be at most \d+ on this machine"):
        use_threads(numba.config.NUMBA_NUM_THREADS + 1)
