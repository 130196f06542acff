"""Presets: settings that go together, chosen by name or by the scene."""

from typing import Any

from orefield.config import RunConfig, changed, to_dict
from orefield.scenes.scene import Scene

UNBOUNDED = "nerfacto"
"""The preset `auto` takes for scenes with surroundings: 2 dB ahead on bonsai after five minutes."""
PRESETS = {
    "ngp": {"sampler.kind": "occupancy"},
    "nerfacto": {"sampler.kind": "proposal"},
}
SURROUNDINGS = {
    "field.finest": 1024,
    "field.log2_table": 17,
    "sampler.steps": 100,
    "sampler.cone": 1 / 32,
}
"""Contraction leaves the box half of the cube's width, and more is to be remembered; of steps as
short as an object needs, a ray would have hundreds."""
OPAQUE = {"field.fog": 3.0}
"""Where photographs are opaque throughout, rays through a thin fog learn to see no background, all
at the same time and at all places; once they do, Adam's momentum goes on to an opaque wall before
the cameras (docs/log.md). Denser fog leaves less to learn. Long rays through surroundings and cut
out objects need none of it."""
_WHAT = {"ngp": "occupancy grid", "nerfacto": "proposal networks"}


def settle(config: RunConfig, scene: Scene) -> tuple[RunConfig, str]:
    """The configuration with its preset chosen and applied to what is left at its default.

    The second value says which and why, for people. A settled configuration settles to itself.
    """
    name: str = config.preset
    if name == "auto" and config.sampler.kind == "proposal":
        name, why = "nerfacto", "asked for by sampler.kind"
    elif name == "auto" and scene.extent > 1:
        name, why = UNBOUNDED, "the scene has surroundings"
    elif name == "auto":
        name, why = "ngp", "the scene fits its box"
    else:
        why = "asked for"
    wanted = PRESETS[name] | _for(scene)
    given, default = to_dict(config), to_dict(RunConfig())
    changes = [f"preset={name}"]
    for setting, value in wanted.items():
        part, field = setting.split(".")
        if given[part][field] == default[part][field]:
            changes.append(f"{setting}={value}")
    return changed(config, ",".join(changes)), f"preset {name} ({_WHAT[name]}): {why}"


def _for(scene: Scene) -> dict[str, Any]:
    """Settings that suit the scene, with either preset."""
    if scene.extent > 1:
        return SURROUNDINGS
    return OPAQUE if scene.opaque else {}
