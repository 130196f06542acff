"""Laws of compaction."""

import inspect

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.compact import compact
from orefield.ops.cpu.compact import _compact
from strategies import SEEDS, seeded
from twins import MANY, TWINS, run

SIZES = st.sampled_from([0, 1, 7, 1023, 1024, 1025, 2050])  # about the Triton twin's block
SHARES = st.sampled_from([0.0, 0.01, 0.5, 1.0])
CAPACITIES = st.sampled_from([1, 6, 1024, 3000])


@pytest.mark.parametrize("twin", TWINS)
@given(size=SIZES, share=SHARES, capacity=CAPACITIES, seed=SEEDS)
def test_the_first_set_elements_come_in_order_then_zeros(twin, size, share, capacity, seed):
    mask = torch.rand(size, generator=seeded(seed)) < share
    index, count = run(twin, compact, mask, capacity)
    want = mask.nonzero()[:capacity, 0]
    assert int(count) == len(want)
    assert index.dtype == count.dtype == torch.int64
    assert torch.equal(index[: len(want)], want)
    assert index.shape == (capacity,)
    assert (index[len(want) :] == 0).all()


@pytest.mark.parametrize("twin", TWINS)
def test_many_samples(twin):
    mask = torch.rand(20 * MANY, generator=seeded(0)) < 0.2
    index, count = run(twin, compact, mask, 5 * MANY)
    assert torch.equal(index[: int(count)], mask.nonzero()[:, 0])


@pytest.mark.parametrize("twin", TWINS)
def test_a_mask_may_be_a_column_of_a_table(twin):
    mask = torch.rand(50, 3, generator=seeded(0)) < 0.5
    index, count = run(twin, compact, mask[:, 1], 50)
    assert torch.equal(index[: int(count)], mask[:, 1].nonzero()[:, 0])


@pytest.mark.parametrize("capacity", [1, 7, 64])
def test_the_cpu_kernel_writes_nothing_past_its_buffer(capacity):
    """A compiled kernel does not notice by itself."""
    buffer = np.full(200, -1, dtype=np.int64)
    _compact(np.ones(100, dtype=bool), 2, np.zeros(2, np.int64), buffer[:capacity])
    assert (buffer[:capacity] == np.arange(capacity)).all()
    assert (buffer[capacity:] == -1).all()


def test_bad_masks_and_capacities_are_refused():
    unchecked = inspect.unwrap(compact)  # tests check shapes and types before it is called
    flags = torch.ones(3, dtype=torch.bool)
    for mask, capacity in ((flags, 0), (flags[None], 3), (flags.to(torch.uint8), 3)):
        with pytest.raises(ValueError, match="capacity of at least 1"):
            unchecked(mask, capacity)
