"""Laws of sparse Adam."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from orefield.ops.backend import using
from orefield.ops.sparse_adam import BETAS, EPSILON, adam_scalars, sparse_adam
from strategies import SEEDS, seeded
from twins import MANY, TWINS, moved, place

ROWS = st.sampled_from([0, 1, 3, 511, 512, 513, 4096, 5000])  # about the twins' blocks, too


def step_on(
    twin: str,
    table: torch.Tensor,
    grad: torch.Tensor,
    mean: torch.Tensor,
    square: torch.Tensor,
    lr: float,
    step: int,
    half: torch.Tensor | None = None,
) -> None:
    """`sparse_adam` in place for tables on the CPU, wherever the twin runs."""
    tables = [v for v in (table, grad, mean, square, half) if v is not None]
    there = moved(tuple(tables), place(twin))
    with using(twin):
        numbers = adam_scalars(torch.tensor(lr), torch.tensor(float(step))).to(place(twin))
        sparse_adam(*there[:4], numbers, *there[4:])
    for here, result in zip(tables, there, strict=True):
        here.copy_(result)


def tables(rows: int, seed: int, width: int = 2) -> list[torch.Tensor]:
    generator = seeded(seed)
    table = torch.randn(rows, width, generator=generator)
    return [table, torch.zeros(rows, width), torch.zeros(rows, width)]


def sparse_gradient(rows: int, seed: int, width: int = 2) -> torch.Tensor:
    """A third of the rows untouched, some touched in one feature only, sizes over many decades."""
    generator = seeded(seed)
    grad = torch.randn(rows, width, generator=generator)
    grad *= 10 ** (-8 * torch.rand(rows, width, generator=generator))
    grad *= torch.rand(rows, 1, generator=generator) > 0.33
    return grad * (torch.rand(rows, width, generator=generator) > 0.1)


@pytest.mark.parametrize("twin", ["cpu", "gpu"])
@given(rows=ROWS, seed=SEEDS, copied=st.booleans(), width=st.sampled_from([2, 4]))
@example(rows=513, seed=1, copied=True, width=2)
@example(rows=513, seed=1, copied=False, width=4)
def test_twin_equals_definition(twin, rows, seed, copied, width):
    results = []
    for runner in (twin, "definition"):
        table, mean, square = tables(rows, seed, width)
        half = [table.half()] if copied else []
        for step in range(1, 4):
            grad = sparse_gradient(rows, seed + step, width)
            step_on(runner, table, grad, mean, square, 0.1, step, *half)
        results.append((table, mean, square))
        assert all(torch.equal(copy, table.half()) for copy in half)
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("twin", TWINS)
def test_equals_torch_where_every_row_has_a_gradient(twin):
    table, mean, square = tables(100, 0)
    reference = table.clone().requires_grad_()
    adam = torch.optim.Adam([reference], lr=0.02, betas=BETAS, eps=EPSILON)
    for step in range(1, 21):
        grad = torch.randn(100, 2, generator=seeded(step)) * 1e-4
        reference.grad = grad.clone()
        adam.step()
        step_on(twin, table, grad, mean, square, 0.02, step)
    torch.testing.assert_close(table, reference.detach(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("twin", TWINS)
@given(seed=SEEDS)
def test_untouched_rows_stay_and_the_gradient_is_cleared(twin, seed):
    state = tables(MANY, seed)
    step_on(twin, state[0], sparse_gradient(MANY, seed + 1), *state[1:], 0.1, 1)
    before = [v.clone() for v in state]
    grad = sparse_gradient(MANY, seed + 2)
    touched = (grad != 0).any(1)
    step_on(twin, state[0], grad, *state[1:], 0.1, 2)
    for now, then in zip(state, before, strict=True):
        assert torch.equal(now[~touched], then[~touched])
    assert (state[0] != before[0])[touched].any(1).all()
    assert (grad == 0).all()


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("size", [1.0, 1e-5, 1e-10])
def test_the_first_step_is_as_long_as_the_learning_rate(twin, size):
    """Whatever the loss's scale: epsilon is far below any gradient."""
    table, mean, square = tables(4, 0)
    before = table.clone()
    step_on(twin, table, torch.full((4, 2), -size), mean, square, 0.5, 1)
    torch.testing.assert_close(table - before, torch.full((4, 2), 0.5), rtol=1e-4, atol=0)


def test_tables_that_do_not_lie_row_by_row_are_refused():
    table, mean, square = tables(4, 0)
    with pytest.raises(ValueError, match="contiguous tables"):
        sparse_adam(table, torch.zeros(2, 4).T, mean, square, torch.ones(2))


def test_a_copy_holds_the_largest_number_where_the_table_is_beyond_it():
    for twin in TWINS:
        table, mean, square = tables(8, 0)
        half = torch.zeros(8, 2).half()
        step_on(twin, table, torch.ones(8, 2), mean, square, 1e6, 1, half)
        assert (half == -65504).all()


def test_a_working_copy_is_written_where_the_table_changes_only():
    for twin in TWINS:
        table, mean, square = tables(50, 0)
        half, grad = torch.zeros(50, 2).half(), sparse_gradient(50, 1)
        touched = (grad != 0).any(1)
        step_on(twin, table, grad, mean, square, 0.1, 1, half)
        assert torch.equal(half[touched], table[touched].half())
        assert (half[~touched] == 0).all()
