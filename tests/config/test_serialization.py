"""Laws of settings as texts and as JSON."""

import dataclasses
import json
from typing import Any

import pytest

from orefield.config import ConfigError, RunConfig, changed, from_dict, to_dict

CHANGED = changed(
    RunConfig(),
    "seed=3,device=cuda:1,deterministic=true,optim.lr=1e-3,optim.target_samples=512,"
    "mining.rule=hsm,sampler.kind=proposal,proposal.num_proposal_samples=64,32,field.width=8",
)


def test_changes_are_of_the_settings_types_and_of_nothing_else() -> None:
    config = RunConfig()
    part = dataclasses.replace
    assert (
        part(
            config,
            seed=3,
            device="cuda:1",
            deterministic=True,
            optim=part(config.optim, lr=1e-3, target_samples=512),
            mining=part(config.mining, rule="hsm"),
            sampler=part(config.sampler, kind="proposal"),
            proposal=part(config.proposal, num_proposal_samples=(64, 32)),
            field=part(config.field, width=8),
        )
        == CHANGED
    )
    assert isinstance(changed(config, "optim.lr=1").optim.lr, float)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("64,40", (64, 40)), (" 64 , 40 ", (64, 40)), ("[64,40]", (64, 40)), ("5,6,seed=1", (5, 6))],
)
def test_a_tuple_is_numbers_with_commas(text: str, numbers: tuple[int, int]) -> None:
    config = changed(RunConfig(), f"proposal.num_proposal_samples={text}")
    assert config.proposal.num_proposal_samples == numbers


def test_null_leaves_a_setting_to_the_preset_again() -> None:
    set_once = changed(RunConfig(), "field.max_resolution=64")
    assert changed(set_once, "field.max_resolution=null") == RunConfig()
    assert changed(set_once, "") == set_once


@pytest.mark.parametrize("config", [RunConfig(), CHANGED], ids=["defaults", "changed"])
def test_settings_survive_json(config: RunConfig) -> None:
    assert from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            "mining.luck=1",
            "setting must be a known one, such as mining.threshold, got 'mining.luck'",
        ),
        ("luck.rule=1", "setting must be a known one"),
        ("seed.x=1", "setting must be a known one"),
        ("seed=1.5", "seed must be a whole number, got 1.5"),
        ("seed=true", "seed must be a whole number, got True"),
        ("deterministic=1", "deterministic must be true or false, got 1"),
        ("device=1", "device must be a text, got 1"),
        ("optim.lr=fast", "optim.lr must be a number, got 'fast'"),
        ("optim.lr=null", "optim.lr must be a number, got None"),
        ("optim.lr=-1", "optim.lr must be positive, at most 10, got -1.0"),
        ("seconds=Infinity", "seconds must be positive and finite, got inf"),
        ("seconds=NaN", "seconds must be positive and finite, got nan"),
        ("field.init_density=thin", "field.init_density must be a number, got 'thin'"),
        ("mining.rule=luck", "mining.rule must be one of plain, .*, got 'luck'"),
        ("proposal.num_proposal_samples=64", "num_proposal_samples must be 2 values, got 64"),
        ("proposal.num_proposal_samples=1,2,3", "num_proposal_samples must be 2 values, got"),
        ("field=3", "field must be an object, got 3"),
    ],
)
def test_what_does_not_fit_is_named(changes: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed(RunConfig(), changes)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"color": 1}, "unknown setting color; known here: preset"),
        ({"mining": {"luck": 1}}, r"unknown setting mining\.luck; known here: rule"),
        ({"mining": 3}, "mining must be an object, got 3"),
    ],
    ids=str,
)
def test_json_that_does_not_fit_is_named(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        from_dict(values)
