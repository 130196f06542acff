"""Presets: groups of settings, chosen by name or by the scene."""

import dataclasses
from typing import Any, Literal

from orefield.config.budget import fit_to_budget
from orefield.config.facts import SceneFacts
from orefield.config.model import SamplerConfig
from orefield.config.run import RunConfig
from orefield.errors import ConfigError

SAMPLERS: dict[str, Literal["occupancy", "proposal"]] = {
    "ngp": "occupancy",
    "nerfacto": "proposal",
}
_TITLE = {"ngp": "occupancy grid", "nerfacto": "proposal networks"}

BOUNDED = {
    "sampler.steps_per_diagonal": 400,
    "sampler.cone_angle": 1 / 256,
}
UNBOUNDED = BOUNDED | {
    "sampler.steps_per_diagonal": 100,
    "sampler.cone_angle": 1 / 32,
}
"""With steps as short as an object needs, a ray would take hundreds."""
FORWARD_FACING = BOUNDED | {"sampler.steps_per_diagonal": 100}
"""Photographs resolve the cube's depth less finely than its width."""


def resolve_preset(config: RunConfig, scene: SceneFacts) -> tuple[RunConfig, str]:
    """The configuration with its preset chosen, and every setting that is None filled in.

    The second value is a line that says which preset, and why. The size of the hash grid follows
    the budget, as `fit_to_budget` has it without a measured speed. A setting that is not None
    stays, so a resolved configuration resolves to itself. Raises ConfigError where sampler.kind
    contradicts the preset.
    """
    name, why = _name(config, scene)
    config = fit_to_budget(config, scene)
    wanted: dict[str, Any] = BOUNDED
    if scene.forward_facing:
        wanted = FORWARD_FACING
    elif scene.unbounded:
        wanted = UNBOUNDED
    wanted = wanted | {"sampler.kind": SAMPLERS[name]}
    resolved = dataclasses.replace(
        config,
        preset=name,
        sampler=_filled(config.sampler, wanted),
    )
    if resolved.sampler.kind != SAMPLERS[name]:
        raise ConfigError(f"sampler.kind={resolved.sampler.kind} contradicts preset={name}")
    return resolved, f"preset {name} ({_TITLE[name]}): {why}"


def _filled(sampler: SamplerConfig, wanted: dict[str, Any]) -> SamplerConfig:
    """The sampler's settings with the preset's values in place of None."""
    named = {key.removeprefix("sampler."): v for key, v in wanted.items()}
    unset = {key: value for key, value in named.items() if getattr(sampler, key) is None}
    return dataclasses.replace(sampler, **unset)


Name = Literal["ngp", "nerfacto"]


# For unbounded scenes: nerfacto is 2 dB ahead of ngp on bonsai after five minutes.
def _name(config: RunConfig, scene: SceneFacts) -> tuple[Name, str]:
    if config.preset != "auto":
        return config.preset, "as given"
    if config.sampler.kind is not None:
        proposal = config.sampler.kind == "proposal"
        return "nerfacto" if proposal else "ngp", f"sampler.kind is {config.sampler.kind}"
    if scene.forward_facing:
        return "nerfacto", "the scene is forward-facing"
    if scene.unbounded:
        return "nerfacto", "the scene is unbounded"
    return "ngp", "the scene fits its box"
