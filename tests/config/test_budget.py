"""Laws of the settings that follow the budget."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orefield.config import (
    RunConfig,
    SceneFacts,
    changed,
    expected_samples,
    fit_to_budget,
    resolve_preset,
)
from orefield.config.budget import (
    FEWEST,
    LARGEST,
    MOST,
    SMALLEST,
    hash_grid_size,
    samples_per_step,
)

KINDS = (
    SceneFacts(width=400),
    SceneFacts(unbounded=True, width=800),
    SceneFacts(forward_facing=True, width=504),
)
BUDGETS = st.floats(0, 1e15)


@given(BUDGETS, BUDGETS, st.sampled_from(KINDS))
def test_a_larger_budget_never_has_a_coarser_grid(one: float, other: float, scene: SceneFacts):
    less, more = (hash_grid_size(samples, scene) for samples in sorted((one, other)))
    assert all(a <= b for a, b in zip(less, more, strict=True))
    for size, _ in (less, more):
        assert SMALLEST <= size <= LARGEST


@pytest.mark.parametrize("scene", KINDS)
def test_the_finest_level_is_no_finer_than_photographs_can_tell(scene: SceneFacts):
    narrow = scene._replace(width=40)
    _, finest = hash_grid_size(1e12, narrow)
    assert finest < hash_grid_size(1e12, scene)[1]
    assert finest >= 16  # the base resolution
    unknown = scene._replace(width=0)
    assert hash_grid_size(1e12, unknown)[1] in (512, 1024)


def test_a_budget_is_its_steps_or_its_seconds_at_a_speed():
    assert expected_samples(RunConfig(steps=10)) == 10 * 2**MOST
    fewer = changed(RunConfig(steps=10), "optim.target_samples=512")
    assert expected_samples(fewer) == 10 * 512
    assert expected_samples(RunConfig(steps=10), 1e9) == expected_samples(RunConfig(steps=10))
    assert expected_samples(RunConfig(seconds=20.0), 1e6) == 2e7
    assert expected_samples(RunConfig(seconds=20.0)) > 0


def test_what_is_set_stays():
    sizes = "field.log2_hashmap_size=11,field.max_resolution=77"
    config = changed(RunConfig(), f"{sizes},optim.target_samples=300")
    assert fit_to_budget(config, KINDS[0], 1e12) == config
    half = changed(RunConfig(), "field.max_resolution=77")
    assert fit_to_budget(half, KINDS[0], 1e12).optim.target_samples == 2**MOST
    fitted = fit_to_budget(half, KINDS[0], 1e12).field
    size = hash_grid_size(1e12, KINDS[0])[0]
    assert (fitted.log2_hashmap_size, fitted.max_resolution) == (size, 77)


@pytest.mark.parametrize("scene", KINDS)
@pytest.mark.parametrize("budget", [{"steps": 100}, {"seconds": 7200.0}])
def test_a_preset_has_the_size_of_an_unmeasured_budget(scene: SceneFacts, budget: dict):
    config = RunConfig(**budget)
    resolved = resolve_preset(config, scene)[0].field
    size = resolved.log2_hashmap_size, resolved.max_resolution
    assert size == hash_grid_size(expected_samples(config), scene)


@pytest.mark.parametrize("rule", ["plain", "pruned", "hsm", "importance"])
def test_every_rule_has_the_same_size(rule: str):
    config = changed(RunConfig(seconds=300.0), f"mining.rule={rule}")
    same = fit_to_budget(RunConfig(seconds=300.0), KINDS[0])
    fitted = fit_to_budget(config, KINDS[0])
    assert (fitted.field, fitted.optim) == (same.field, same.optim)


@given(BUDGETS, BUDGETS)
def test_a_larger_budget_never_has_smaller_steps_nor_fewer(one: float, other: float):
    less, more = sorted((one, other))
    assert 2**FEWEST <= samples_per_step(less) <= samples_per_step(more) <= 2**MOST
    # Steps get larger by factors of two where the budget does: by rounding, half as many at worst.
    assert less / samples_per_step(less) <= 2 * more / samples_per_step(more)


def test_a_number_of_steps_that_is_given_has_large_ones():
    for steps in (5, 100_000):
        assert fit_to_budget(RunConfig(steps=steps), KINDS[0]).optim.target_samples == 2**MOST
