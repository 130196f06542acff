"""Train radiance fields (NeRF), back-propagating only through samples that still teach something.

The public names are the ones listed here; everything else may change. Each is imported when
first used, so that `import orefield` stays instant.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from orefield.checkpoint import load_run as load_run
    from orefield.config import FieldConfig as FieldConfig
    from orefield.config import MiningConfig as MiningConfig
    from orefield.config import OptimConfig as OptimConfig
    from orefield.config import RunConfig as RunConfig
    from orefield.config import SamplerConfig as SamplerConfig
    from orefield.config import SceneConfig as SceneConfig
    from orefield.errors import OrefieldError as OrefieldError
    from orefield.evaluate import evaluate_views as evaluate_views
    from orefield.mining import mine as mine
    from orefield.render import render_view as render_view
    from orefield.scenes import open_scene as open_scene
    from orefield.scenes.scene import Scene as Scene
    from orefield.train import Trainer as Trainer
    from orefield.train import fit as fit

__version__ = "0.1.0"

_HOME = {
    "FieldConfig": "config",
    "MiningConfig": "config",
    "OptimConfig": "config",
    "OrefieldError": "errors",
    "RunConfig": "config",
    "SamplerConfig": "config",
    "Scene": "scenes.scene",
    "SceneConfig": "config",
    "Trainer": "train",
    "evaluate_views": "evaluate",
    "fit": "train",
    "load_run": "checkpoint",
    "mine": "mining",
    "open_scene": "scenes",
    "render_view": "render",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'orefield' has no attribute {name!r}")
    value: object = getattr(import_module(f"orefield.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted(_HOME)
