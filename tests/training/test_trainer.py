"""Laws of training, on a scene of a few hundred pixels."""

import importlib
import itertools
import math
from pathlib import Path
from typing import get_args

import pytest
import torch

from orefield.config import Rule, changed
from orefield.errors import SceneError
from orefield.runs.state import flat_tensors, read_state, write_state
from orefield.training.losses import TERMS, RenderedBatch, Term
from orefield.training.trainer import StepStats, Trainer, fit, warm_up

RULES = get_args(Rule)
OTHERS = [rule for rule in RULES if rule not in ("plain", "pruned")]
LEARNED = "calibration.exposure=true,calibration.poses=true,calibration.poses_after=3"
PROPOSAL = (
    "sampler.kind=proposal,proposal.num_proposal_samples=12,8,proposal.num_samples=6,"
    "proposal.log2_hashmap_size=8,proposal.max_resolution=64"
)


def run(trainer: Trainer, steps: int) -> list[StepStats]:
    return [trainer.advance() for _ in range(steps)]


def facts(stats: list[StepStats]) -> list[StepStats]:
    """All but the clock."""
    return [s._replace(seconds=0.0) for s in stats]


def snapshot(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in flat_tensors(trainer.state_dict()).items()}


def parameters(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {n: v for n, v in snapshot(trainer).items() if n.startswith("field/")}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[n], other[n]) for n in one)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_trains_and_the_seed_decides_the_run(make, rule: Rule) -> None:
    trainers = [make(f"mining.rule={rule},seed={seed}") for seed in (3, 3, 4)]
    firsts = [run(trainer, 10) for trainer in trainers]
    assert equal(snapshot(trainers[0]), snapshot(trainers[1]))
    assert not equal(snapshot(trainers[0]), snapshot(trainers[2]))
    stats = firsts[0] + run(trainers[0], 45)
    early, late = (sum(s.loss for s in part) / 10 for part in (stats[:10], stats[-10:]))
    assert late < 0.6 * early
    assert all(0 < s.kept <= s.evaluated for s in stats)
    if rule in OTHERS:
        assert stats[-1].kept < 0.9 * stats[-1].evaluated


def test_keeping_everything_is_plain_training_bit_for_bit(make) -> None:
    """While light reaches every sample, `pruned` keeps them all."""
    trainers = make("mining.rule=plain"), make("mining.rule=pruned")
    for _ in range(5):
        plain, pruned = (trainer.advance() for trainer in trainers)
        assert pruned.kept == pruned.evaluated
        assert plain.losses == pruned.losses
    assert equal(*(parameters(trainer) for trainer in trainers))


@pytest.mark.parametrize(("rule", "wanted"), [("importance", True), ("hsm", False)])
def test_rays_end_early_once_much_is_occluded(make, with_walls, rule: Rule, wanted: bool) -> None:
    """Not in a thin medium; from then on for good; with the published rules never."""
    changes = f"mining.rule={rule},field.precision=fp32"
    trainer = make(changes)
    trainer.advance()
    assert not trainer.training_step.early_termination
    with_walls(trainer).field.log_init_density += 16.0
    trainer.advance()
    assert trainer.training_step.early_termination is wanted
    other = make(changes)
    other.load_state_dict(trainer.state_dict())
    assert other.training_step.early_termination is wanted


@pytest.mark.parametrize("rule", RULES)
def test_rays_through_empty_cells_alone_teach_nothing_and_break_nothing(make, rule: Rule) -> None:
    trainer = make(f"mining.rule={rule}")
    run(trainer, 1)
    occupied = trainer.sampler.occupied.clone()
    trainer.sampler.occupy(torch.zeros_like(occupied))
    stats = trainer.advance()
    assert stats.evaluated == stats.kept == 0
    assert math.isfinite(stats.loss)
    trainer.sampler.occupy(occupied)
    assert all(math.isfinite(s.loss) and s.kept > 0 for s in run(trainer, 2))


@pytest.mark.parametrize("rule", ["plain", "hsm", "importance", "poisson"])
@pytest.mark.parametrize("sampler", ["sampler.kind=occupancy", PROPOSAL])
def test_a_run_read_from_its_file_goes_on_bit_for_bit(
    make, rule: Rule, sampler: str, tmp_path: Path
) -> None:
    """Exposures, poses, pixels drawn by error, the running tau and the clock included."""
    settings = f"{sampler},{LEARNED},mining.rule={rule},mining.pixel_sampling=error"
    whole, resumed = make(settings), make(f"{settings},seed=99")
    run(whole, 18)  # past the first update of the tiles' probabilities
    write_state(tmp_path / "state", whole.state_dict())
    seconds = whole.seconds
    rest = run(whole, 6)
    resumed.load_state_dict(read_state(tmp_path / "state", resumed.state_dict()))
    assert (resumed.step, resumed.seconds) == (18, seconds)
    assert sum(resumed.timer.seconds.values()) > 0
    assert facts(run(resumed, 6)) == facts(rest)
    assert equal(snapshot(whole), snapshot(resumed))
    assert snapshot(whole)["cameras/poses.rotations"].any()
    assert snapshot(whole)["cameras/exposures.gains"].any()


def test_a_state_goes_on_without_a_file_too(make) -> None:
    whole, resumed = make(LEARNED), make(LEARNED)
    run(whole, 5)
    resumed.load_state_dict(whole.state_dict())
    assert facts(run(whole, 5)) == facts(run(resumed, 5))


def test_a_run_that_goes_on_elsewhere_says_that_its_random_numbers_differ(make) -> None:
    trainer, other = make(), make()
    run(trainer, 2)
    state = trainer.state_dict() | {"device": "cuda", "generator": torch.zeros(16).byte()}
    with pytest.warns(UserWarning, match="stopped on cuda, goes on on cpu: with other random"):
        other.load_state_dict(state)
    assert other.step == 2
    assert equal(parameters(trainer), parameters(other))
    assert math.isfinite(other.advance().loss)


@pytest.mark.parametrize("rule", ["plain", "threshold"])
@pytest.mark.parametrize("fixed", ["never", "always"])
def test_a_step_that_is_not_finite_is_skipped_and_counted(make, rule: Rule, fixed: str) -> None:
    """Nothing of the state moves but the clock, the counts of steps and the random numbers."""
    settings = f"{LEARNED},mining.rule={rule},fixed_shapes.use={fixed},fixed_shapes.adapt_every=1"
    trainer = make(settings)
    run(trainer, 5)
    trainer.field.density1.data[0, 0] = torch.nan
    before = snapshot(trainer)
    stats = trainer.advance()
    assert math.isnan(stats.loss)
    assert trainer.skipped == 1
    after = snapshot(trainer)
    for name in before.keys() - {"generator"}:
        # The grid may be due, and rays through empty cells have errors that are numbers.
        if not name.startswith(("sampler/", "batches/")):
            assert torch.equal(before[name].nan_to_num(), after[name].nan_to_num()), name
            assert int(after[name].isnan().sum()) == (name == "field/density1"), name


def test_a_term_that_is_not_finite_skips_the_step_too(make, monkeypatch) -> None:
    def broken(batch: RenderedBatch) -> Term:
        return Term(torch.tensor(torch.inf), opacity=batch.rendering.opacity * torch.inf)

    trainer = make()
    run(trainer, 2)
    before = parameters(trainer)
    monkeypatch.setitem(TERMS, "broken", broken)
    stats = trainer.advance()
    assert stats.losses["broken"] == math.inf
    assert math.isfinite(stats.loss)
    assert trainer.skipped == 1
    assert equal(before, parameters(trainer))


def test_training_goes_on_after_a_skipped_step(make) -> None:
    """No NaN is left in any state."""
    trainer = make()
    run(trainer, 3)
    good = float(trainer.field.color3.data[0, 0])
    trainer.field.color3.data[0, 0] = torch.inf
    trainer.advance()
    assert trainer.skipped == 1
    trainer.field.color3.data[0, 0] = good
    stats = run(trainer, 40)
    assert all(math.isfinite(s.loss) for s in stats)
    early, late = (sum(s.loss for s in part) / 8 for part in (stats[:8], stats[-8:]))
    assert late < early


FALLING = "optim.lr=0.02,optim.lr_final=0.25,optim.decay_from=0"


def test_learning_rate_warms_up_and_ends_where_it_should_by_steps(make) -> None:
    trainer = make(f"steps=40,{FALLING},optim.warmup=8")
    rates = [stats.lr for stats in fit(trainer)]
    assert len(rates) == 40
    decay = [0.25 ** (step / 40) for step in range(40)]
    rise = [min((step + 1) / 8, 1) for step in range(40)]
    assert rates == pytest.approx([0.02 * a * b for a, b in zip(rise, decay, strict=True)])
    assert trainer.lr() == pytest.approx(0.02 * 0.25)


def test_learning_rate_stays_at_its_peak_until_the_decay_begins(make) -> None:
    trainer = make("steps=40,optim.lr=0.02,optim.lr_final=0.25,optim.warmup=1,optim.decay_from=0.5")
    rates = [stats.lr for stats in fit(trainer)]
    assert rates[:20] == pytest.approx([0.02] * 20)
    assert rates[20:] == pytest.approx([0.02 * 0.25 ** (step / 20) for step in range(20)])
    assert trainer.lr() == pytest.approx(0.02 * 0.25)


def test_learning_rate_is_back_at_its_peak_where_the_budget_grows(make) -> None:
    """A warm restart: until three quarters of the larger budget it stays there."""
    short, long = (make(f"steps={steps},optim.lr=0.02,optim.lr_final=0.25") for steps in (30, 100))
    while short.progress() < 1:
        short.advance()
    assert short.lr() == pytest.approx(0.02 * 0.25)
    long.load_state_dict(short.state_dict())
    rates = [stats.lr for stats in fit(long)]
    assert rates[:45] == pytest.approx([0.02] * 45)
    assert rates[45:] == pytest.approx([0.02 * 0.25 ** (step / 25) for step in range(25)])


def test_learning_rate_follows_the_clock_where_the_budget_is_time(make) -> None:
    trainer = make(f"steps=0,seconds=100,{FALLING},optim.warmup=1")
    for seconds, want in [(0.0, 0.02), (50.0, 0.01), (100.0, 0.005), (170.0, 0.005)]:
        trainer.seconds = seconds
        assert trainer.lr() == pytest.approx(want)
        assert trainer.progress() == min(seconds / 100, 1)
    assert list(fit(trainer)) == []


def test_fit_ends_with_the_time(make) -> None:
    trainer = make("steps=0,seconds=0.3")
    stats = list(fit(trainer))
    assert all(s.seconds < 0.3 for s in stats[:-1])
    assert stats[-1].seconds >= 0.3
    assert [s.step for s in stats] == list(range(1, len(stats) + 1))
    assert sum(trainer.timer.seconds.values()) <= trainer.seconds


def test_rays_adapt_to_the_target_number_of_samples(make) -> None:
    for target in (3000, 9000):
        stats = run(make(f"optim.target_samples={target}"), 25)
        late = [s.evaluated for s in stats[-10:]]
        assert sum(late) / 10 == pytest.approx(target, rel=0.25)
        for s, following in itertools.pairwise(stats):
            assert s.rays / 2 <= following.rays <= 2 * s.rays


def fail_after_a_step(trainer: Trainer) -> None:
    trainer.advance()
    raise SceneError("midway")


def test_steps_that_do_not_count_leave_the_clock_alone(make) -> None:
    trainer = make()
    run(trainer, 2)
    seconds, stages = trainer.seconds, dict(trainer.timer.seconds)
    with trainer.untimed():
        run(trainer, 2)
        assert trainer.seconds > seconds
    with pytest.raises(SceneError), trainer.untimed():
        fail_after_a_step(trainer)
    assert (trainer.step, trainer.seconds, trainer.timer.seconds) == (5, seconds, stages)
    trainer.advance()
    assert trainer.seconds > seconds


def test_warming_up_meets_what_comes_late_in_a_run(tiny_scene, tiny_config, monkeypatch) -> None:
    """Or its compilation would count as training time."""
    met = []
    for name in (
        "orefield.rendering.density_pass.terminated_density_pass",
        "orefield.fields.ngp.hash_grid_positions_backward",
    ):
        module, _, function = name.rpartition(".")
        real = getattr(importlib.import_module(module), function)

        def noted(*args, real=real):
            met.append(real)
            return real(*args)

        monkeypatch.setattr(name, noted)
    warm_up(tiny_scene, changed(tiny_config, "calibration.poses=true"))
    assert {real.__name__ for real in met} == {
        "terminated_density_pass",
        "hash_grid_positions_backward",
    }


def test_warming_up_leaves_no_trace(tiny_scene, tiny_config) -> None:
    assert warm_up(tiny_scene, tiny_config) > 0
    state = torch.get_rng_state()
    trainers = [Trainer(tiny_scene, tiny_config)]
    run(trainers[0], 5)
    warm_up(tiny_scene, tiny_config)
    trainers.append(Trainer(tiny_scene, tiny_config))
    run(trainers[1], 5)
    assert equal(*(snapshot(trainer) for trainer in trainers))
    assert torch.equal(torch.get_rng_state(), state)
