"""Laws of presets: they fill in what nobody set, and overwrite nothing."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orefield.config import (
    ConfigError,
    RunConfig,
    SceneFacts,
    changed,
    from_dict,
    resolve_preset,
    to_dict,
)
from orefield.config.presets import BOUNDED, FORWARD_FACING, SAMPLERS, UNBOUNDED

SCENES = {
    SceneFacts(): BOUNDED,
    SceneFacts(unbounded=True): UNBOUNDED,
    SceneFacts(forward_facing=True): FORWARD_FACING,
}
IDS = "unbounded {0[0]}, forward-facing {0[1]}".format
BY_BUDGET = ["field.max_resolution", "field.log2_hashmap_size", "optim.target_samples"]
"""Settings that follow the budget (tests/config/test_budget.py)."""
NAMES = ["sampler.kind", *BOUNDED, *BY_BUDGET]
"""Every setting that is chosen once the scene is known."""
OTHER = {
    "sampler.steps_per_diagonal": 55,
    "sampler.cone_angle": 0.0,
}
"""Values that no preset has."""


def value(config: RunConfig, name: str) -> Any:
    part, setting = name.split(".")
    return getattr(getattr(config, part), setting)


def with_values(values: dict[str, Any]) -> RunConfig:
    return changed(RunConfig(), ",".join(f"{name}={v}" for name, v in values.items()))


def test_what_a_preset_chooses_is_none_until_then_and_nothing_else_is() -> None:
    config = RunConfig()
    parts = {name: getattr(config, name) for name in ("field", "sampler", "proposal", "optim")}
    unset = {
        f"{part}.{field.name}"
        for part, settings in parts.items()
        for field in dataclasses.fields(settings)
        if getattr(settings, field.name) is None
    }
    assert unset == set(NAMES)
    assert all(set(values) == set(OTHER) == set(BOUNDED) for values in SCENES.values())


@pytest.mark.parametrize("scene", SCENES, ids=IDS)
def test_auto_goes_by_the_scene_and_says_why(scene: SceneFacts) -> None:
    config, why = resolve_preset(RunConfig(), scene)
    line = "preset ngp (occupancy grid): the scene fits its box"
    if scene.unbounded:
        line = "preset nerfacto (proposal networks): the scene is unbounded"
    if scene.forward_facing:
        line = "preset nerfacto (proposal networks): the scene is forward-facing"
    assert why == line
    assert (config.preset, config.sampler.kind) == (name := line.split()[1], SAMPLERS[name])
    assert {setting: value(config, setting) for setting in BOUNDED} == SCENES[scene]


@pytest.mark.parametrize("scene", SCENES, ids=IDS)
@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_set_stays_equal_to_a_presets_or_not(name: str, scene: SceneFacts) -> None:
    presets = {values[name] for values in SCENES.values()}
    for given_value in sorted({*presets, OTHER[name]}):
        config, _ = resolve_preset(with_values({name: given_value}), scene)
        assert value(config, name) == given_value
        others = [setting for setting in BOUNDED if setting != name]
        assert all(value(config, setting) == SCENES[scene][setting] for setting in others)


KINDS = st.sampled_from([*SCENES])


@given(st.sets(st.sampled_from([*OTHER])), KINDS, KINDS)
def test_resolving_twice_is_resolving_once_whatever_the_scene_then(
    settings: set[str], scene: SceneFacts, later: SceneFacts
) -> None:
    once, _ = resolve_preset(with_values({name: OTHER[name] for name in settings}), scene)
    assert resolve_preset(once, later)[0] == once
    assert from_dict(to_dict(once)) == once


@pytest.mark.parametrize("scene", SCENES, ids=IDS)
def test_a_preset_can_be_set_by_its_name_or_by_its_sampler(scene: SceneFacts) -> None:
    for name, kind in SAMPLERS.items():
        config, why = resolve_preset(changed(RunConfig(), f"preset={name}"), scene)
        assert (config.sampler.kind, why.split(": ")[1]) == (kind, "as given")
        config, why = resolve_preset(changed(RunConfig(), f"sampler.kind={kind}"), scene)
        assert (config.preset, why.split(": ")[1]) == (name, f"sampler.kind is {kind}")
        both = changed(RunConfig(), f"preset={name},sampler.kind={kind}")
        assert resolve_preset(both, scene)[0] == config


@pytest.mark.parametrize(("name", "kind"), [("ngp", "proposal"), ("nerfacto", "occupancy")])
def test_a_preset_and_another_sampler_contradict(name: str, kind: str) -> None:
    config = changed(RunConfig(), f"preset={name},sampler.kind={kind}")
    with pytest.raises(ConfigError, match=f"sampler.kind={kind} contradicts preset={name}"):
        resolve_preset(config, SceneFacts())


def test_unknown_presets_are_refused() -> None:
    with pytest.raises(ConfigError, match="preset must be one of auto, ngp, nerfacto"):
        changed(RunConfig(), "preset=instant")
