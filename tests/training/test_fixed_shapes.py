"""The step of fixed shapes does what the step whose shapes follow the data does."""

import dataclasses
import itertools
import math
import warnings

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orefield.config import FieldConfig, MiningConfig, OptimConfig, RunConfig, FixedShapesConfig
from orefield.ops.backend import using
from orefield.ops.march import march
from orefield.ops.march_fixed import definition, march_fixed
from orefield.scenes import Scene
from orefield.training.cuda_graph import RULES, Replay, StaticStep, has_fixed_shapes
from orefield.training.trainer import Trainer
from orefield.types import Rays

RAYS = 6
COMPILED = torch.cuda.is_available()
ASKS = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim")
"""Operations whose result the host must wait for."""


@pytest.fixture
def small(tiny_config: RunConfig) -> RunConfig:
    """Small enough for Triton's interpreter, in fp32 because sums in bf16 hang on their order."""
    return dataclasses.replace(
        tiny_config,
        steps=100,
        device="cuda" if COMPILED else "cpu",
        sampler=dataclasses.replace(tiny_config.sampler, steps=12),
        field=FieldConfig("ngp", 2, 8, 4, 8, width=16, precision="fp32"),
        optim=OptimConfig(target_samples=256),
        mining=MiningConfig(rule="threshold", early_termination="all"),
        fixed_shapes=FixedShapesConfig(use="always"),
    )


def with_rule(config: RunConfig, rule: str) -> RunConfig:
    mining = dataclasses.replace(config.mining, rule=rule, early_termination="all")
    return dataclasses.replace(config, mining=mining)


def static_step(trainer: Trainer, samples: int = 0) -> StaticStep:
    parts = trainer.batches, trainer.field, trainer.sampler, trainer.generator
    return StaticStep(trainer.config, *parts, samples or trainer.samples)


def gradients(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: p.grad.clone() for name, p in trainer.field.named_parameters()}


def assert_close(
    one: dict[str, torch.Tensor], other: dict[str, torch.Tensor], share: float = 1e-4
) -> None:
    """But for rounding: sums have other terms of zero, and another order."""
    for name, grad in one.items():
        largest = float(grad.abs().max())
        assert largest > 0
        torch.testing.assert_close(other[name], grad, rtol=1e-3, atol=share * largest, msg=name)


@pytest.mark.parametrize("rule", ["plain", "threshold"])
def test_gradients_are_those_of_the_dynamic_step(
    rule: str, tiny_scene: Scene, small: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the same random numbers; with room for what the rule keeps."""
    config = with_rule(small, rule)
    config = dataclasses.replace(config, fixed_shapes=FixedShapesConfig(use="never", room=1.0))
    free, fixed = Trainer(tiny_scene, config), Trainer(tiny_scene, config)
    for _ in range(6):
        monkeypatch.setattr(free.optimizer, "step", lambda lr: None)
        free.rays = RAYS
        stats = free.advance()
        fixed.sampler.update(fixed.step, fixed.field.density, fixed.generator)
        step = static_step(fixed)
        step(RAYS)
        report = step.read()
        assert report.loss == pytest.approx(stats.loss, rel=1e-5)
        assert (report.marched, report.kept) == (stats.marched, stats.kept)
        assert_close(gradients(free), gradients(fixed))
        monkeypatch.undo()
        for trainer in (free, fixed):
            trainer.optimizer.step(0.02)
        fixed.step = free.step


def test_static_steps_of_the_kernels_train_as_dynamic_ones_of_the_definitions(
    tiny_scene: Scene, small: RunConfig
) -> None:
    """A dozen steps of each; what is left between their losses is far below 0.1 dB."""
    curves: list[list[float]] = []
    for twin in ("definition", "gpu"):
        static = FixedShapesConfig(use="always" if twin == "gpu" else "never", room=1.0)
        with using(twin):
            trainer, losses = (
                Trainer(tiny_scene, dataclasses.replace(small, fixed_shapes=static)),
                [],
            )
            trainer.sampler.update = lambda *_: None  # interpreting it takes long
            for _ in range(12):
                trainer.rays = RAYS
                losses.append(trainer.advance().loss)
        curves.append(losses)
    decibels = [abs(10 * math.log10(a / b)) for a, b in zip(*curves, strict=True)]
    assert max(decibels) < 0.05
    assert all(loss > 0 for loss in curves[0])


@pytest.mark.parametrize("rule", RULES)
def test_the_step_asks_the_device_nothing(rule: str, tiny_scene: Scene, small: RunConfig) -> None:
    class Watch(TorchDispatchMode):
        asked: tuple[str, ...] = ()

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.asked += (str(func),)
            return func(*args, **(kwargs or {}))

    trainer = Trainer(tiny_scene, with_rule(small, rule))
    with using("gpu"):
        step = static_step(trainer)
        if not COMPILED and step_marches_by_definition(trainer):
            pytest.skip("the marching kernel has no form of fixed size here")
        with Watch() as watch:
            step(4)
    asked = [name for name in watch.asked if any(f".{ask}." in name for ask in ASKS)]
    assert not asked
    assert len(watch.asked) > 20


def step_marches_by_definition(trainer: Trainer) -> bool:
    from orefield.ops.backend import pick

    return not hasattr(pick("march", trainer.sampler.grid.clear), "march_fixed")


def test_samples_beyond_the_buffer_take_their_rays_out_of_the_loss(
    tiny_scene: Scene, small: RunConfig
) -> None:
    whole, cut = Trainer(tiny_scene, small), Trainer(tiny_scene, small)
    everything, part = static_step(whole), static_step(cut, 20)
    everything(RAYS), part(RAYS)
    assert everything.read().marched == part.read().marched > 20
    assert part.read().kept <= part.room == 10
    assert math.isfinite(part.read().loss)
    assert part.read().loss != everything.read().loss
    assert all(bool(p.grad.isfinite().all()) for p in cut.field.parameters())


def test_what_finds_no_room_is_left_out(tiny_scene: Scene, small: RunConfig) -> None:
    tight = dataclasses.replace(small, fixed_shapes=FixedShapesConfig(use="always", room=0.05))
    trainer = Trainer(tiny_scene, tight)
    step = static_step(trainer)
    step(RAYS)
    report = step.read()
    assert report.kept == step.room == 13
    assert report.chosen > report.kept


def test_a_loss_that_is_not_finite_leaves_no_gradient(tiny_scene: Scene, small: RunConfig) -> None:
    trainer = Trainer(tiny_scene, small)
    step = static_step(trainer)
    trainer.field.color2.data[:] = 3e38  # finite, but what they make is not
    step(RAYS)
    step(RAYS)
    assert step.read().skipped == 2
    assert all(not bool(p.grad.any()) for p in trainer.field.parameters())


@pytest.mark.parametrize("rule", ["plain", "threshold"])
def test_training_by_static_steps_learns_alike_and_is_a_function_of_its_seed(
    rule: str, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    static = FixedShapesConfig(use="always", adapt_every=4)
    config = dataclasses.replace(with_rule(tiny_config, rule), fixed_shapes=static, steps=24)
    free = dataclasses.replace(config, fixed_shapes=FixedShapesConfig(use="never"))
    runs = []
    for own in (config, config, free):
        trainer = Trainer(tiny_scene, own)
        runs.append([trainer.advance() for _ in range(24)])
    late = [sum(s.loss for s in run[-12:]) / 12 for run in runs]
    assert late[0] == pytest.approx(late[2], rel=0.25)
    assert [s._replace(seconds=0) for s in runs[0]] == [s._replace(seconds=0) for s in runs[1]]
    changes = [a.step for a, b in itertools.pairwise(runs[0]) if a.rays != b.rays]
    assert all(step <= 16 or step % 4 == 0 for step in changes)
    assert all(s.marched <= config.optim.target_samples for s in runs[0])


def test_stop_and_resume_equals_an_uninterrupted_run(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    static = FixedShapesConfig(use="always", adapt_every=4)
    config = dataclasses.replace(with_rule(tiny_config, "threshold"), fixed_shapes=static, steps=60)
    whole = Trainer(tiny_scene, config)
    for _ in range(18):
        whole.advance()
    tensors, facts = whole.state()
    tensors = {name: value.clone() for name, value in tensors.items()}
    rest = [whole.advance() for _ in range(10)]
    resumed = Trainer(tiny_scene, dataclasses.replace(config, seed=9))
    resumed.restore(tensors, facts)
    again = [resumed.advance() for _ in range(10)]
    assert rest[-1]._replace(seconds=0) == again[-1]._replace(seconds=0)
    assert torch.equal(whole.field.table, resumed.field.table)


def test_rules_without_a_static_step_say_so(tiny_scene: Scene, small: RunConfig) -> None:
    device = torch.device("cpu")
    field = Trainer(tiny_scene, small).field
    with pytest.warns(UserWarning, match="rule 'hsm' has no step of fixed shapes"):
        assert not has_fixed_shapes(with_rule(small, "hsm"), field, device)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto = dataclasses.replace(small, fixed_shapes=FixedShapesConfig())
        assert not has_fixed_shapes(auto, field, device)
        assert has_fixed_shapes(small, field, device)


@pytest.mark.parametrize("capacity", [1, 40, 1000])
def test_static_marching_is_marching_into_a_buffer(
    capacity: int, tiny_scene: Scene, small: RunConfig
) -> None:
    trainer = Trainer(tiny_scene, small)
    rays, *_ = trainer.bank.sample(5, trainer.generator)
    rays = Rays(rays.origins, rays.directions)
    jitter = torch.rand(5, device=rays.origins.device)
    grid = trainer.sampler.grid
    free, _ = march(rays, grid, jitter)
    ours, total = definition(rays, grid, jitter, capacity)
    with using("gpu"):
        twins, twin_total = march_fixed(rays, grid, jitter, capacity)
    found = min(len(free), capacity)
    assert int(total) == int(twin_total) == len(free)
    assert len(ours) == len(twins) == capacity
    assert torch.equal(ours.spans.long(), twins.spans.long())
    assert torch.equal(ours.ray[:found].long(), free.ray[:found].long())
    for name in ("positions", "t", "dt", "ray"):
        one, other = (getattr(x, name)[..., :found] for x in (ours, twins))
        torch.testing.assert_close(other.float(), one.float(), rtol=1e-5, atol=1e-5, msg=name)
        rest = getattr(twins, name)[..., found:].float()
        assert bool(((rest >= 0) & (rest < 5)).all())  # in the cube, and of a ray that is there


def test_marching_into_nothing_is_refused(tiny_scene: Scene, small: RunConfig) -> None:
    trainer = Trainer(tiny_scene, small)
    rays, *_ = trainer.bank.sample(1, trainer.generator)
    with pytest.raises(ValueError, match="capacity at least 1"):
        march_fixed(rays, trainer.sampler.grid, torch.zeros(1), 0)


@pytest.mark.skipif(not COMPILED, reason="needs a GPU")
@pytest.mark.parametrize("wish", ["auto", "on"])
def test_a_captured_step_is_the_step(wish: str, tiny_scene: Scene, tiny_config: RunConfig) -> None:
    config = dataclasses.replace(
        tiny_config,
        device="cuda",
        deterministic=False,
        fixed_shapes=FixedShapesConfig(use="always"),
    )
    losses = []
    for choice in ("off", wish):
        trainer = Trainer(tiny_scene, config)
        step = static_step(trainer)
        replay, found = Replay(step, choice), []
        for _ in range(30):
            replay(256)
            trainer.optimizer.step(0.02)
            found.append(step.read().loss)
        losses.append(found)
    assert wish == "auto" or replay.graph is not None
    assert losses[1] == pytest.approx(losses[0], rel=0.05)
