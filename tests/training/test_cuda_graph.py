"""Laws of steps that can be replayed: they ask the device nothing and work in place."""

import dataclasses
import itertools
import warnings
from types import SimpleNamespace
from typing import get_args

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from orefield.config import Rule, RunConfig, changed
from orefield.mining import rules
from orefield.ops.backend import using
from orefield.runs.state import flat_tensors
from orefield.scenes import Scene
from orefield.training.cuda_graph import FixedStep, Replay, has_fixed_shapes
from orefield.training.step import EARLY_BELOW
from orefield.training.trainer import StepStats, Trainer

RULES = get_args(Rule)
COMPILED = torch.cuda.is_available()
WAITS = (
    "_local_scalar_dense", "nonzero", "masked_select", "_unique2", "unique_dim", "bincount",
    "repeat_interleave", "equal", "is_nonzero",
)  # fmt: skip
"""Operations whose result the host must wait for."""
FIXED = "fixed_shapes.use=always,fixed_shapes.adapt_every=4"
LEARNED = "calibration.exposure=true,calibration.poses=true,calibration.depth=0.1"
TINY = (
    f"{FIXED},{LEARNED},calibration.poses_after=0,optim.target_samples=256,field.levels=2,"
    "field.log2_hashmap_size=8,field.max_resolution=8,field.width=16,field.precision=fp32,"
    "sampler.steps_per_diagonal=12"
)
"""Small enough for Triton's interpreter."""


class Watch(TorchDispatchMode):
    """Takes note of everything that waits for the device, and counts all calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls, self.waits = 0, []
        self.patch = pytest.MonkeyPatch()

    def __enter__(self):
        for name in ("tolist", "cpu"):  # seen by no dispatch where the tensor is on the CPU
            self.patch.setattr(torch.Tensor, name, self.noted(name, getattr(torch.Tensor, name)))
        return super().__enter__()

    def __exit__(self, *error):
        self.patch.undo()
        return super().__exit__(*error)

    def noted(self, name, real):
        def call(*args):
            self.waits.append(name)
            return real(*args)

        return call

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls += 1
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(i, torch.Tensor) and i.dtype == torch.bool
            for part in args
            if isinstance(part, (list, tuple))
            for i in part
        )
        if name in WAITS or by_mask:
            self.waits.append(name)
        return func(*args, **(kwargs or {}))


class Elsewhere(torch.Tensor):
    """A tensor that says it is on another device than the CPU."""

    device = property(lambda _: SimpleNamespace(type="cuda"))
    __torch_function__ = torch._C._disabled_torch_function_impl


def run(trainer: Trainer, steps: int) -> list[StepStats]:
    return [trainer.advance() for _ in range(steps)]


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule may read its budget on the CPU: here it believes to be elsewhere."""
    real = rules.topk
    monkeypatch.setattr(rules, "topk", lambda g, b, most: real(g, b.as_subclass(Elsewhere), most))


# Early termination comes before the rule: three rules without it will do.
WITHOUT = [(rule, "off") for rule in ("plain", "pruned", "hsm")]


@pytest.mark.parametrize(("rule", "early"), [*((rule, "on") for rule in RULES), *WITHOUT])
def test_a_step_asks_the_device_nothing(
    rule: Rule, early: str, make, measured_scene: Scene, as_on_a_gpu
) -> None:
    """With all that can be learned, and the optimizer's part."""
    settings = f"{TINY},mining.rule={rule},mining.early_termination={early}"
    trainer = make(f"{settings},device={'cuda' if COMPILED else 'cpu'}", measured_scene)
    trainer.training_step.capacity = 48
    trainer.cameras.update(0)
    step = FixedStep(trainer.training_step, trainer.optimizer, 0)
    with using("gpu"), Watch() as watch:
        step(3)
    assert not watch.waits
    assert watch.calls > 100
    assert step.terms == ("color", "depth")


def test_a_step_counts_on_from_the_skipped_steps_before_it(make) -> None:
    trainer = make(FIXED)
    step = FixedStep(trainer.training_step, trainer.optimizer, 3)
    step(8)
    assert step.read().skipped == 3


def test_the_watch_sees_what_waits() -> None:
    x = torch.arange(4.0)
    for wait in (
        lambda: float(x[0]), lambda: bool((x > 1).any()), lambda: x[x > 1], lambda: x.nonzero(),
        lambda: x.repeat_interleave((x > 1).long()), lambda: torch.bincount(x.long()),
        lambda: torch.equal(x, x), lambda: x.unique(), lambda: x.tolist(),
    ):  # fmt: skip
        with Watch() as watch:
            wait()
        assert watch.waits


def test_what_a_replay_reads_stays_where_it_is(make) -> None:
    """Refreshes of the grid, learning rates, new probabilities of pixels: all in place."""
    trainer = make(f"{FIXED},{LEARNED.replace('0.1', '0')},calibration.poses_after=1")
    run(trainer, 3)

    def places() -> dict[str, int]:
        tensors = flat_tensors(trainer.state_dict()) | {"clear": trainer.sampler.grid.clear}
        tensors |= {f"grad {n}": p.grad for n, p in trainer.field.named_parameters()}
        tensors |= {f"grad {n}": p.grad for n, p in trainer.cameras.named_parameters()}
        tensors |= {f"lr {i}": g["lr"] for i, g in enumerate(trainer.optimizer.adam.param_groups)}
        tensors |= {"lr": trainer.optimizer.lr, "report": trainer.replay.step.report}
        tensors |= {"skipped": trainer.replay.step.skipped}
        return {name: t.data_ptr() for name, t in tensors.items() if name != "generator"}

    before, clear = places(), trainer.sampler.grid.clear.clone()
    run(trainer, 20)
    assert places() == before
    assert not torch.equal(clear, trainer.sampler.grid.clear)


@pytest.mark.parametrize(("rule", "wanted"), [("importance", True), ("hsm", False)])
def test_rays_end_early_once_the_report_says_that_it_pays(
    make, with_walls, rule: Rule, wanted: bool
) -> None:
    """Not in a thin medium; from then on for good; with the published rules never."""
    trainer = make(f"{FIXED},mining.rule={rule},field.precision=fp32")
    trainer.advance()
    report = trainer.replay.step.read()
    assert report.visible > 0.99 if wanted else report.visible != report.visible
    assert not trainer.training_step.early_termination
    with_walls(trainer).field.log_init_density += 16.0
    trainer.advance()
    assert trainer.training_step.early_termination is wanted
    if wanted:
        assert trainer.replay.step.read().visible < EARLY_BELOW
        trainer.advance()
        report = trainer.replay.step.read()
        assert report.visible != report.visible  # nobody looks any more
        assert report.kept < report.marched
        assert trainer.training_step.early_termination


@pytest.mark.parametrize("rule", ["plain", "importance"])
def test_fixed_steps_learn_alike_and_are_a_function_of_the_seed(make, rule: Rule) -> None:
    free = f"fixed_shapes.use=never,mining.rule={rule}"
    trainers = [make(f"{changes},mining.rule={rule}") for changes in (FIXED, FIXED, free)]
    runs = [run(trainer, 32) for trainer in trainers]
    late = [sum(s.loss for s in part[-12:]) / 12 for part in runs]
    assert late[0] == pytest.approx(late[2], rel=0.5)  # of some 60 rays a step
    assert [s._replace(seconds=0) for s in runs[0]] == [s._replace(seconds=0) for s in runs[1]]
    changes = [a.step for a, b in itertools.pairwise(runs[0]) if a.rays != b.rays]
    assert all(step <= 16 or step % 4 == 0 for step in changes)
    assert all(0 < s.kept <= s.evaluated <= trainers[0].samples for s in runs[0])


def test_a_fixed_run_goes_on_exactly(make) -> None:
    settings = f"{FIXED},{LEARNED.replace('0.1', '0')},calibration.poses_after=6,mining.rule=hsm"
    whole, resumed = make(settings), make(f"{settings},seed=9")
    run(whole, 18)
    state = {name: t.clone() for name, t in flat_tensors(whole.state_dict()).items()}
    resumed.load_state_dict(whole.state_dict())
    assert all(torch.equal(state[n], t) for n, t in flat_tensors(resumed.state_dict()).items())
    rest, again = (run(trainer, 6)[-1]._replace(seconds=0) for trainer in (whole, resumed))
    assert rest == again
    one, other = (flat_tensors(trainer.state_dict()) for trainer in (whole, resumed))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_fixed_run_goes_on_by_free_steps_and_back(make) -> None:
    """The same parts in the state: a run may move from a GPU to a CPU."""
    trainer = make(FIXED)
    run(trainer, 3)
    for changes in ("fixed_shapes.use=never", FIXED):
        other = make(changes)
        other.load_state_dict(trainer.state_dict())
        assert torch.equal(other.field.table, trainer.field.table)
        assert int(other.optimizer.count) == trainer.step
        run(other, 1)
        trainer = other


def test_proposal_networks_have_no_step_of_fixed_shapes_and_say_so(tiny_config: RunConfig) -> None:
    """Only where it was asked for or would pay."""
    cpu = torch.device("cpu")
    asked = changed(tiny_config, "fixed_shapes.use=always")
    proposal = dataclasses.replace(tiny_config.sampler, kind="proposal")
    with pytest.warns(UserWarning, match="the host waits in each: proposal networks leave out"):
        assert not has_fixed_shapes(dataclasses.replace(asked, sampler=proposal), cpu)
    with pytest.warns(UserWarning, match="host waits in each: no compiled kernels for mps"):
        assert not has_fixed_shapes(asked, torch.device("mps"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert has_fixed_shapes(asked, cpu)
        assert not has_fixed_shapes(tiny_config, cpu)
        assert not has_fixed_shapes(tiny_config, torch.device("mps"))
        never = changed(tiny_config, "fixed_shapes.use=never")
        assert not has_fixed_shapes(never, cpu)


@pytest.mark.skipif(not COMPILED, reason="needs a GPU")
@pytest.mark.parametrize("wish", ["auto", "on"])
@pytest.mark.parametrize("early", ["off", "on"])
def test_a_captured_step_is_the_step(wish: str, early: str, make) -> None:
    losses = []
    for choice in ("off", wish):
        trainer = make(f"{FIXED},device=cuda,mining.early_termination={early}")
        step = FixedStep(trainer.training_step, trainer.optimizer, 0)
        replay, found = Replay(step, choice), []
        trainer.optimizer.set_lr(0.02)
        for _ in range(30):
            replay(256)
            found.append(step.read().losses["color"])
        losses.append(found)
    assert wish == "auto" or replay.graph is not None
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


@pytest.mark.parametrize(("factor", "changes"), [(1.02, False), (0.97, False), (1.3, True)])
def test_a_few_rays_more_or_less_are_no_new_graph(
    factor: float, changes: bool, make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make(FIXED)
    for _ in range(4):
        trainer.advance()
    trainer.rays = 100
    monkeypatch.setattr(trainer, "_next_rays", lambda marched, samples: int(100 * factor))
    trainer.advance()  # one of the first steps, after each of which the number may adapt
    assert trainer.rays == (int(100 * factor) if changes else 100)
