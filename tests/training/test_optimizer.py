"""Laws of the optimizer of a field: the table by touched rows, everything else by torch."""

import torch

from orefield.config import FieldConfig
from orefield.fields import make_field
from orefield.fields.ngp import NgpField
from orefield.ops.sparse_adam import BETAS, EPSILON
from orefield.ops.backend import using
from orefield.ops.hash_grid import definition
from orefield.training.optimizer import Optimizer
from strategies import seeded

CONFIG = FieldConfig(
    levels=4, log2_hashmap_size=9, base_resolution=4, max_resolution=40, width=16, precision="fp32"
)


def accumulate_grad(field: NgpField, seed: int) -> None:
    """Gradients of a loss over a few random samples."""
    generator = seeded(seed)
    positions = torch.rand(3, 50, generator=generator)
    directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator))
    raw = field(positions, field.encode_directions(directions), torch.arange(50))
    (raw - torch.tensor([1.0, 2.0, 0.0, -2.0])).square().mean().backward()


def train(field: NgpField, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        learn(field, step)
        optimizer.step(0.01)


def parameters(field: NgpField) -> list[torch.Tensor]:
    return [p.detach().clone() for p in field.parameters()]


def test_every_dense_parameter_moves_as_torch_moves_it():
    ours, theirs = make_field(CONFIG, 0), make_field(CONFIG, 0)
    optimizer = Optimizer(ours)
    adam = torch.optim.Adam(theirs.parameters(), lr=0.01, betas=BETAS, eps=EPSILON)
    learn(ours, 0)
    learn(theirs, 0)
    touched = (theirs.table.grad != 0).any(1)
    optimizer.step(0.01)
    adam.step()
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5, msg=name)
    fresh = make_field(CONFIG, 0).table
    assert ((ours.table != fresh).any(1) == touched).all()
    assert 0 < touched.sum() < len(touched)


def test_gradients_are_cleared():
    """A second step without a backward pass between moves nothing."""
    field = make_field(CONFIG, 0)
    optimizer = Optimizer(field)
    train(field, optimizer, range(2))
    before = parameters(field)
    optimizer.step(0.01)
    assert all(torch.equal(a, b) for a, b in zip(before, parameters(field), strict=True))


def test_the_loss_falls():
    field = make_field(CONFIG, 0)
    optimizer = Optimizer(field)
    train(field, optimizer, range(200))
    raw = field(torch.rand(3, 50), field.encode_directions(torch.eye(3)), torch.zeros(50).int())
    assert (raw - torch.tensor([1.0, 2.0, 0.0, -2.0])).abs().mean() < 0.1


def test_a_restored_optimizer_goes_on_exactly():
    field, other = make_field(CONFIG, 0), make_field(CONFIG, 0)
    optimizer, restored = Optimizer(field), Optimizer(other)
    train(field, optimizer, range(3))
    other.load_state_dict(field.state_dict())
    restored.restore({k: v.clone() for k, v in optimizer.state().items()}, 3)
    train(field, optimizer, range(3, 6))
    train(other, restored, range(3, 6))
    pairs = zip(parameters(field), parameters(other), strict=True)
    assert all(torch.equal(one, same) for one, same in pairs)


def test_a_copy_in_half_follows_the_table_and_takes_no_gradient(tiny_config) -> None:
    """What training on a GPU reads; here on the CPU, with the definitions."""
    field = make_field(tiny_config.field, 0)
    field.copy_in_half()
    optimizer = Optimizer(field)
    positions = torch.rand(3, 40)
    with using("definition"):
        for _ in range(3):
            field.encode_positions(positions).sum().backward()
            # autograd adds into the tensor that the optimizer reads
            assert field.table.grad is optimizer.grad
            before = field.table.detach().clone()
            optimizer.step(0.01)
            assert not torch.equal(field.table, before)
            assert torch.equal(field.table_half, field.table.half())
        want = definition(field.table_half.float(), positions, field.layout)
        torch.testing.assert_close(
            field.encode_positions(positions).float(), want, rtol=1e-2, atol=1e-4
        )
    assert "table_half" not in field.state_dict()


def test_the_copy_is_made_anew_from_a_restored_table(tiny_config) -> None:
    field = make_field(tiny_config.field, 0)
    field.copy_in_half()
    optimizer = Optimizer(field)
    state = {name: value.clone() for name, value in optimizer.state().items()}
    with torch.no_grad():
        field.table += 1e6
    optimizer.restore(state, 3)
    assert (field.table_half == 65504).all()


def test_a_replayed_step_is_the_step_and_a_bad_one_is_none() -> None:
    """All numbers on the device; a loss that was not finite moves nothing, moments included."""
    fields = [make_field(CONFIG, 0) for _ in range(2)]
    one, other = (Optimizer(field) for field in fields)
    rate = torch.tensor(0.01)
    for step in range(4):
        for field in fields:
            learn(field, step)
        one.step(0.01)
        other.step_replayed(rate, torch.tensor(True))
        before = {name: value.clone() for name, value in other.state().items()}
        before |= {name: p.detach().clone() for name, p in fields[1].named_parameters()}
        other.step_replayed(rate, torch.tensor(False))
        after = other.state() | dict(fields[1].named_parameters())
        for name, value in before.items():
            assert torch.equal(after[name], value), name
    other.catch_up()
    assert other.steps == one.steps == 4
    for a, b in zip(parameters(fields[0]), parameters(fields[1]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    for name, value in one.state().items():
        torch.testing.assert_close(other.state()[name], value, rtol=1e-5, atol=1e-7)
