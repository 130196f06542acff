"""Laws of the optimizer: the table by touched rows, everything else by torch."""

import pytest
import torch

from orefield.config import CalibrationConfig, FieldConfig, SamplerConfig
from orefield.fields import make_field
from orefield.fields.ngp import NgpField
from orefield.ops.backend import using
from orefield.ops.hash_grid import definition
from orefield.ops.sparse_adam import BETAS, EPSILON
from orefield.runs.state import flat_tensors
from orefield.samplers import OccupancySampler
from orefield.training.camera_optimizer import CameraOptimizer
from orefield.training.optimizer import Optimizer
from strategies import seeded

CONFIG = FieldConfig(
    levels=4,
    log2_hashmap_size=9,
    base_resolution=4,
    max_resolution=40,
    width=16,
    init_density=1.0,
    precision="fp32",
)
SAMPLER = SamplerConfig("occupancy", resolution=4, steps_per_diagonal=8, cone_angle=0.0)
RATES = {"gains": 0.04, "offsets": 0.04, "rotations": 0.001, "translations": 0.001}
WANTED = torch.tensor([1.0, 2.0, 0.0, -2.0])


class Parts:
    """A field and cameras with an optimizer of their own, and the gradients of a simple loss."""

    def __init__(self, fixed: bool = False, half: bool = False) -> None:
        self.field = make_field(CONFIG, 0)
        assert isinstance(self.field, NgpField)
        if half:
            self.field.copy_in_half()
        learned = CalibrationConfig(
            exposure=True, exposure_lr=0.04, poses=True, poses_lr=0.001, poses_after=0
        )
        self.cameras = CameraOptimizer(learned, 3, False)
        sampler = OccupancySampler(SAMPLER, 0.0)
        self.optimizer = Optimizer(self.field, sampler, self.cameras, 0.01, fixed)
        self.optimizer.set_lr(0.01)

    def named(self) -> dict[str, torch.nn.Parameter]:
        return dict([*self.field.named_parameters(), *self.cameras.named_parameters()])

    def accumulate_grad(self, seed: int) -> None:
        """Gradients of a loss over a few random samples, and of one over the cameras."""
        generator = seeded(seed)
        positions = torch.rand(3, 50, generator=generator)
        directions = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator))
        encoded = self.field.encode_directions(directions)
        raw = self.field(positions, encoded, torch.arange(50))
        (raw - WANTED).square().mean().backward()
        pulls = torch.rand(4, 3, 3, generator=generator)
        for p, pull in zip(self.cameras.parameters(), pulls, strict=True):
            (p - pull).square().sum().backward()

    def state(self) -> dict[str, torch.Tensor]:
        """All that a step may move, gradients left out."""
        tensors = flat_tensors(self.optimizer.state_dict()) | self.named()
        return {name: value.detach().clone() for name, value in tensors.items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("fixed", [False, True])
def test_the_first_step_is_that_of_torch(fixed: bool) -> None:
    """Cameras with rates, betas and epsilon of their own; rows that were not touched stay."""
    ours, theirs = Parts(fixed), Parts()
    groups = [{"params": list(theirs.field.parameters()), "betas": BETAS, "eps": EPSILON}]
    cameras = theirs.cameras.named_parameters()
    groups += [{"params": [p], "lr": RATES[name.split(".")[1]]} for name, p in cameras]
    adam = torch.optim.Adam(groups, lr=0.01)
    for part in (ours, theirs):
        part.accumulate_grad(0)
    touched = (theirs.field.table.grad != 0).any(1)
    ours.optimizer.apply(torch.tensor(True) if fixed else None)
    adam.step()
    for name, p in ours.named().items():
        torch.testing.assert_close(p, theirs.named()[name], rtol=1e-4, atol=1e-5, msg=name)
    moved = (ours.field.table != make_field(CONFIG, 0).table).any(1)
    assert torch.equal(moved, touched)
    assert 0 < touched.sum() < len(touched)


@pytest.mark.parametrize("fixed", [False, True])
def test_gradients_are_cleared(fixed: bool) -> None:
    """By a step and without one; the next gradients are not added to old ones."""
    parts, finite = Parts(fixed), torch.tensor(True) if fixed else None
    for clear in (lambda: parts.optimizer.apply(finite), parts.optimizer.clear):
        parts.accumulate_grad(0)
        assert all(p.grad.any() for p in parts.named().values())
        clear()
        assert not any(p.grad is not None and p.grad.any() for p in parts.named().values())


def test_rates_keep_their_ratio() -> None:
    parts = Parts()
    parts.optimizer.set_lr(0.0025)
    assert [g["lr"] for g in parts.optimizer.adam.param_groups] == pytest.approx(
        [
            0.0025,
            0.01,
            0.00025,
        ]
    )


def test_the_loss_falls() -> None:
    parts = Parts()
    for step in range(100):
        parts.accumulate_grad(step)
        parts.optimizer.apply()
    field = parts.field
    raw = field(torch.rand(3, 50), field.encode_directions(torch.eye(3)), torch.zeros(50).int())
    assert (raw - WANTED).abs().mean() < 0.1


@pytest.mark.parametrize("fixed", [False, True])
def test_a_restored_optimizer_goes_on_exactly(fixed: bool) -> None:
    parts, other = Parts(fixed), Parts(fixed)
    finite = torch.tensor(True) if fixed else None
    for step in range(3):
        parts.accumulate_grad(step)
        parts.optimizer.apply(finite)
    other.field.load_state_dict(parts.field.state_dict())
    other.cameras.load_state_dict(parts.cameras.state_dict())
    other.optimizer.load_state_dict(parts.optimizer.state_dict())
    assert equal(parts.state(), other.state())
    for step in range(3, 6):
        for each in (parts, other):
            each.accumulate_grad(step)
            each.optimizer.apply(finite)
    assert equal(parts.state(), other.state())


def test_fixed_steps_are_the_free_ones_and_a_bad_one_is_none() -> None:
    """A loss that was not finite moves no parameter, no moment and no count, and leaves no NaN."""
    free, fixed = Parts(), Parts(fixed=True)
    for step in range(4):
        for part in (free, fixed):
            part.accumulate_grad(step)
        free.optimizer.apply()
        fixed.optimizer.apply(torch.tensor(True))
        before = fixed.state()
        fixed.accumulate_grad(step + 10)
        for p in fixed.named().values():
            p.grad[0, 0] = torch.nan
        fixed.optimizer.apply(torch.tensor(False))
        assert equal(before, fixed.state())
        assert not any(p.grad.any() for p in fixed.named().values())
    state, wanted = fixed.state(), free.state()
    assert state.keys() == wanted.keys()
    for name, want in wanted.items():
        torch.testing.assert_close(state[name], want, rtol=1e-5, atol=1e-6, msg=name)
    assert state["count"] == state["dense/0/step"] == 4


def test_a_copy_in_half_follows_the_table_and_takes_no_gradient() -> None:
    """What training on a GPU reads; here on the CPU, with the definitions."""
    parts = Parts(half=True)
    field, positions = parts.field, torch.rand(3, 40)
    with using("definition"):
        for _ in range(3):
            field.encode_positions(positions).sum().backward()
            # autograd adds into the tensor that the optimizer reads
            assert field.table.grad is parts.optimizer.grad
            before = field.table.detach().clone()
            parts.optimizer.apply()
            assert not torch.equal(field.table, before)
            assert torch.equal(field.table_half, field.table.half())
        want = definition(field.table_half.float(), positions, field.layout)
        torch.testing.assert_close(
            field.encode_positions(positions).float(), want, rtol=1e-2, atol=1e-4
        )
    assert "table_half" not in field.state_dict()


def test_the_copy_is_made_anew_from_a_restored_table() -> None:
    parts = Parts(half=True)
    with torch.no_grad():
        parts.field.table += 1e6
    parts.optimizer.load_state_dict(parts.optimizer.state_dict())
    assert (parts.field.table_half == 65504).all()
