"""Laws of ranges: no setting takes a number that no run could use, and one line says which."""

import math
from typing import Any

import pytest

from orefield.config import ConfigError, RunConfig, from_dict, to_dict
from orefield.errors import LONGEST


def numbers(values: dict[str, Any], prefix: str = "") -> list[str]:
    """The settings that are numbers, as dotted names; those of None are chosen by presets."""
    found = []
    for name, value in values.items():
        if isinstance(value, dict):
            found += numbers(value, f"{prefix}{name}.")
        elif type(value) in (int, float):
            found.append(prefix + name)
    return found


BY_PRESET = [
    *("field.log2_hashmap_size", "field.max_resolution", "optim.target_samples"),
    *("sampler.steps_per_diagonal", "sampler.cone_angle"),
]
SETTINGS = [n for n in numbers(to_dict(RunConfig())) if n[:6] != "scene."] + BY_PRESET
NO_NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-1e30": -1e30, "big": 10**400}


def with_setting(name: str, value: object) -> dict[str, Any]:
    part, _, inner = name.rpartition(".")
    return {part: {inner: value}} if part else {name: value}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
@pytest.mark.parametrize("name", SETTINGS)
def test_no_number_is_without_bounds(name: str, value: float) -> None:
    with pytest.raises(ConfigError) as refused:
        from_dict(with_setting(name, value))
    assert name.split(".")[-1] in str(refused.value)
    assert len(str(refused.value)) <= LONGEST


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", 10**30),
        ("seconds", 1e300),
        ("save_every", 1e300),
        ("threads", 10**9),
        ("sampler.steps_per_diagonal", 10**9),
        ("sampler.resolution", 10**6),
        ("sampler.refresh_every", 10**30),
        ("optim.target_samples", 10**12),
        ("optim.warmup", 10**30),
        ("optim.lr", 1e30),
        ("field.log2_hashmap_size", 60),
        ("field.levels", 10**6),
        ("field.width", 10**6),
        ("field.nerf_width", 10**6),
        ("field.max_resolution", 10**9),
        ("proposal.num_samples", 10**9),
        ("proposal.num_proposal_samples", [64, 10**9]),
        ("proposal.log2_hashmap_size", 60),
        ("calibration.poses_lr", 1e30),
        ("mining.saturation", 1e300),
        ("fixed_shapes.adapt_every", 10**30),
    ],
)
def test_absurd_sizes_are_refused(name: str, value: object) -> None:
    with pytest.raises(ConfigError, match=r" must be "):
        from_dict(with_setting(name, value))
