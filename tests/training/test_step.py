"""One step, with shapes that follow the data or with a capacity: the same gradients."""

import math
from collections.abc import Callable
from typing import NamedTuple, get_args

import pytest
import torch

from orefield.config import Rule
from orefield.mining import Choice, initial_tau
from orefield.ops.backend import using
from orefield.rendering.density_pass import density_pass
from orefield.training import step as step_module
from orefield.training.batches import RayBatch
from orefield.training.step import StepResult, TrainingStep
from orefield.training.trainer import Trainer
from orefield.types import Rays

RULES = get_args(Rule)
PADDED = [rule for rule in RULES if rule != "uniform"]
"""Rules for which empty slots are as if they were not there: `uniform` permutes them, too."""
RAYS = 24
SMALL = (
    "field.precision=fp32,mining.pixel_sampling=uniform,fixed_shapes.kept_capacity=1,mining.budget=0,"
    "calibration.exposure=true,calibration.poses=true,calibration.poses_after=0,"
    "calibration.depth=0.1,optim.target_samples=256"
)


class Done(NamedTuple):
    """A step's result, what it back-propagated, and every gradient."""

    result: StepResult
    visible: int
    """Slots of the samples that colors were evaluated at."""
    positions: torch.Tensor
    grad: torch.Tensor
    grads: dict[str, torch.Tensor]


class Stepper:
    """Steps of either kind over the parts of one trainer, from the same random numbers."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        trainer.sampler.update(0, trainer.field.density, trainer.generator)
        trainer.cameras.update(0)
        if trainer.cameras.exposures is not None:
            trainer.cameras.exposures.gains.data.uniform_(-0.1, 0.1, generator=trainer.generator)
        self.batch = trainer.batches.draw(RAYS)
        self.state = trainer.generator.get_state()

    def step(self, capacity: int | None) -> TrainingStep:
        t = self.trainer
        parts = t.config, t.batches, t.field, t.sampler, t.cameras
        return TrainingStep(*parts, t.generator, t.timer, capacity)

    def fresh(self) -> torch.Generator:
        return self.trainer.generator.set_state(self.state)

    def __call__(self, capacity: int | None = None, batch: RayBatch | None = None) -> Done:
        trainer, passed, step = self.trainer, {}, self.step(capacity)
        real, drop = trainer.field.accumulate_grad, step._drop

        def noted(positions, codes, ray, grad, *args):
            passed.update(positions=positions, grad=grad)
            return real(positions, codes, ray, grad, *args)

        def dropped(found):
            passed["visible"] = len(drop(found).samples)
            return drop(found)

        step._drop = dropped

        self.fresh()
        trainer.optimizer.clear()
        trainer.field.accumulate_grad = noted
        try:
            result = step.accumulate_grad(self.batch if batch is None else batch)
        finally:
            del trainer.field.accumulate_grad
        named = [*trainer.field.named_parameters(), *trainer.cameras.named_parameters()]
        grads = {name: p.grad.clone() for name, p in named if p.grad is not None}
        return Done(result, grads=grads, **passed)


@pytest.fixture
def stepper(make, with_walls, measured_scene, monkeypatch) -> Callable[..., Stepper]:
    """With walls, so that some samples are occluded, and everything learned that can be.

    Where rays end early the reference drops the occluded of all samples: the kernel that never
    evaluates them would take the rules' means over fewer.
    """

    def everything(field, sampler, rays, generator, least, *rest, **options):
        return density_pass(field, sampler, rays, generator, None, *rest, **options)

    monkeypatch.setattr(step_module, "density_pass", everything)

    def build(rule: Rule, early: str, changes: str = "", walls: bool = True) -> Stepper:
        settings = f"{SMALL},mining.rule={rule},mining.early_termination={early},{changes}"
        trainer = make(settings, measured_scene)
        return Stepper(with_walls(trainer) if walls else trainer)

    return build


def assert_same(fixed: Done, free: Done) -> None:
    """The same terms and kept samples; gradients but for rounding, as sums have another order."""
    assert fixed.result.terms.keys() == free.result.terms.keys() == {"color", "depth"}
    for name, value in free.result.terms.items():
        torch.testing.assert_close(fixed.result.terms[name], value, rtol=1e-5, atol=0)
    kept = len(free.grad)
    assert int(fixed.result.kept) == free.result.kept == kept > 0
    assert int(fixed.result.evaluated) == free.result.evaluated
    assert torch.equal(fixed.positions[:, :kept], free.positions)
    assert not fixed.grad[kept:].any()
    assert_close(fixed.grads, free.grads)


def assert_close(
    grads: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], share: float = 1e-5
) -> None:
    assert grads.keys() == wanted.keys()
    for name, want in wanted.items():
        largest = float(want.abs().max())
        assert largest > 0, name
        torch.testing.assert_close(grads[name], want, rtol=1e-3, atol=share * largest, msg=name)


@pytest.mark.parametrize("early", ["off", "on"])
@pytest.mark.parametrize("rule", RULES)
def test_a_step_into_full_buffers_is_the_step(rule: Rule, early: str, stepper, monkeypatch) -> None:
    """Every slot filled: no rule can tell the difference."""
    steps = stepper(rule, early)
    free = steps()
    capacity = int(free.result.evaluated)
    if early == "on":
        assert 0.1 * capacity < free.visible < 0.9 * capacity
        monkeypatch.setattr(step_module, "EARLY_BELOW", (free.visible - 0.5) / capacity)
    assert_same(steps(capacity), free)


@pytest.mark.parametrize("early", ["off", "on"])
@pytest.mark.parametrize("rule", PADDED)
def test_empty_slots_change_nothing(rule: Rule, early: str, stepper) -> None:
    steps = stepper(rule, early)
    free = steps()
    assert_same(steps(2 * int(free.result.evaluated)), free)


@pytest.mark.parametrize(("rule", "early"), [("plain", "off"), ("importance", "on")])
def test_the_kernels_of_a_gpu_take_the_same_step(rule: Rule, early: str, stepper) -> None:
    """In Triton's interpreter: slow, so with few rays."""
    steps = stepper(rule, early)
    batch = first_rays(steps.batch, 4)
    free = steps(None, batch)
    with using("gpu"):
        fixed = steps(int(free.result.evaluated) + 3, batch)
    kept = len(free.grad)
    assert int(fixed.result.kept) == kept > 0
    torch.testing.assert_close(fixed.positions[:, :kept], free.positions, rtol=0, atol=1e-5)
    assert_close(fixed.grads, free.grads, 1e-4)


@pytest.mark.parametrize("early", ["off", "on"])
def test_rays_beyond_the_buffers_are_as_if_they_were_not_there(early: str, stepper) -> None:
    """Of marched samples, or, in a thin medium where all are visible, of visible ones."""
    steps = stepper("plain", early, "calibration.depth=0,mining.min_weight=1e-9", walls=False)
    ends = steps().result.evaluated
    capacity = ends if early == "on" else ends // 2
    cut = steps(capacity)
    assert int(cut.result.marched) == ends
    room = math.ceil(2 / 3 * capacity) if early == "on" else capacity
    counts = steps.trainer.sampler(steps.batch.rays, steps.fresh()).spans[:, 1]
    whole = int((counts.cumsum(0) <= room).sum())
    assert 2 < whole < RAYS - 2
    few = steps(None, first_rays(steps.batch, whole))
    torch.testing.assert_close(cut.result.terms["color"], few.result.terms["color"])
    assert_close(cut.grads, few.grads)


def test_what_is_chosen_beyond_its_buffer_is_left_out(stepper) -> None:
    """The first ones are kept."""
    everything = stepper("threshold", "off")()
    steps = stepper("threshold", "off", "fixed_shapes.kept_capacity=0.05")
    few = steps(int(everything.result.evaluated))
    kept = math.ceil(0.05 * int(everything.result.evaluated))
    assert int(few.result.kept) == len(few.grad) == kept < len(everything.grad)
    assert torch.equal(few.positions, everything.positions[:, :kept])
    torch.testing.assert_close(few.grad, everything.grad[:kept])


@pytest.mark.parametrize("fixed", [False, True])
def test_weights_of_kept_samples_multiply_their_gradients(
    fixed: bool, stepper, monkeypatch
) -> None:
    free = stepper("plain", "off")()

    def all_twice(config, g, *_):
        return Choice(torch.ones_like(g, dtype=torch.bool), torch.full_like(g, 2.0)), initial_tau()

    monkeypatch.setattr(step_module, "keep_mask", all_twice)
    twice = stepper("hsm", "off")(int(free.result.evaluated) if fixed else None)
    for name, grad in free.grads.items():
        factor = 1 if name.startswith("exposures.") else 2  # they see whole pixels
        torch.testing.assert_close(twice.grads[name], factor * grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("early", ["off", "on"])
def test_leaving_out_samples_without_a_gradient_changes_none(early: str, stepper) -> None:
    """But for rounding; with early termination on both sides, as it leaves some out that have."""
    plain = stepper("plain", early)()
    kept = stepper("threshold", early, "mining.threshold=0")()
    assert len(kept.grad) < plain.result.evaluated
    assert_close(kept.grads, plain.grads)


@pytest.mark.parametrize("rule", ["pruned", "importance"])
@pytest.mark.parametrize("early", ["off", "on"])
def test_a_probe_finds_what_a_step_works_on(rule: Rule, early: str, stepper) -> None:
    """A capacity is the step's own affair."""
    steps = stepper(rule, early)
    found = []
    for capacity in (None, 100):
        step = steps.step(capacity)
        found.append(step.find_visible(steps.batch.rays, steps.fresh()))
    assert torch.equal(found[0].samples.t, found[1].samples.t)
    assert len(found[0].samples) == steps().visible


def test_a_step_goes_on_from_its_state(stepper) -> None:
    steps = stepper("hsm", "off")
    step, other = steps.step(None), steps.step(None)
    step(RAYS)
    step.early_termination, step.hints = True, step.hints._replace(samples=7)
    other.load_state_dict(step.state_dict())
    assert other.state_dict() == step.state_dict()
    assert other.tau > 1
    assert other.tau is not step.tau


def first_rays(batch: RayBatch, number: int) -> RayBatch:
    rays = Rays(batch.rays.origins[:number], batch.rays.directions[:number])
    rest = (None if part is None else part[:number] for part in batch[1:])
    return RayBatch(rays, *rest)
