"""Presets: settings that go together, chosen by name or by the scene."""

import dataclasses
from typing import Any, Literal, TypeVar

from orefield.config.model import FieldConfig, SamplerConfig
from orefield.config.run import RunConfig
from orefield.errors import ConfigError

SAMPLERS: dict[str, Literal["occupancy", "proposal"]] = {
    "ngp": "occupancy",
    "nerfacto": "proposal",
}
_WHAT = {"ngp": "occupancy grid", "nerfacto": "proposal networks"}

BOUNDED = {
    "field.init_density": 1.0,
    "field.max_resolution": 512,
    "field.log2_hashmap_size": 16,
    "sampler.steps_per_diagonal": 400,
    "sampler.cone_angle": 1 / 256,
}
UNBOUNDED = BOUNDED | {
    "field.max_resolution": 1024,
    "field.log2_hashmap_size": 17,
    "sampler.steps_per_diagonal": 100,
    "sampler.cone_angle": 1 / 32,
}
"""Contraction leaves the box half of the cube's width, and there is more to represent; of steps as
short as an object needs, a ray would have hundreds."""
OPAQUE = BOUNDED | {"field.init_density": 3.0}
"""Where photographs are opaque throughout, rays through a thin medium learn to show no background,
all at the same time and everywhere; once they do, Adam's momentum goes on to an opaque wall before
the cameras (docs/log.md). From a denser start less is left to learn. Long rays through unbounded
scenes and cut-out objects need none of it."""


def resolve_preset(config: RunConfig, unbounded: bool, opaque: bool) -> tuple[RunConfig, str]:
    """The configuration with its preset chosen, and applied to every setting that is None.

    `unbounded`: the scene has a background beyond its box; `opaque`: its photographs have no
    transparent pixel. The second value says which preset and why, for people. What is set already
    stays, whatever its value; so a resolved configuration resolves to itself. Raises ConfigError
    where sampler.kind contradicts the preset asked for.
    """
    name, why = _name(config, unbounded)
    wanted: dict[str, Any] = UNBOUNDED if unbounded else OPAQUE if opaque else BOUNDED
    wanted = wanted | {"sampler.kind": SAMPLERS[name]}
    resolved = dataclasses.replace(
        config,
        preset=name,
        field=_filled(config.field, "field.", wanted),
        sampler=_filled(config.sampler, "sampler.", wanted),
    )
    if resolved.sampler.kind != SAMPLERS[name]:
        raise ConfigError(f"sampler.kind={resolved.sampler.kind} contradicts preset={name}")
    return resolved, f"preset {name} ({_WHAT[name]}): {why}"


Part = TypeVar("Part", FieldConfig, SamplerConfig)


def _filled(part: Part, prefix: str, wanted: dict[str, Any]) -> Part:
    """The part with the wanted values where it has None."""
    named = {key.removeprefix(prefix): v for key, v in wanted.items() if key.startswith(prefix)}
    return dataclasses.replace(part, **{k: v for k, v in named.items() if getattr(part, k) is None})


Name = Literal["ngp", "nerfacto"]


# nerfacto for unbounded scenes: 2 dB ahead of ngp on bonsai after five minutes.
def _name(config: RunConfig, unbounded: bool) -> tuple[Name, str]:
    if config.preset != "auto":
        return config.preset, "asked for"
    if config.sampler.kind is not None:
        proposal = config.sampler.kind == "proposal"
        return "nerfacto" if proposal else "ngp", "asked for by sampler.kind"
    return (
        ("nerfacto", "the scene is unbounded") if unbounded else ("ngp", "the scene fits its box")
    )
