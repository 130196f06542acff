"""Train radiance fields (NeRF), back-propagating only through samples that still teach something.

The public names; everything else may change. Each is imported when first used, so that `import
orefield` stays instant.

    open_scene       read a scene: a folder, a JSON file, or `tankard` or `shapes`
    scene_of_views   a scene of photographs that are in memory already
    Scene            photographs with known cameras, in the unit cube
    View             one photograph and where it was taken
    Camera           a lens, its pixels, and the rays through them
    RunConfig        every setting of a run, with a part for each room below
    SceneConfig      how photographs are read
    FieldConfig      the network: hash grid or the original MLP
    SamplerConfig    where along each ray the field is evaluated
    ProposalConfig   proposal networks
    MiningConfig     which samples earn a backward pass
    OptimConfig      learning rate, batch size, background
    start_run        a new run: a trainer and the folder it leaves behind
    resume_run       go on exactly where a run stopped
    load_run         read a run for rendering
    TrainingRun      what start_run and resume_run return: train(), save(), evaluate()
    Trainer          training without a folder
    fit              train until the budget is used, yielding after each step
    render_view      color, opacity and depth of a view
    evaluate_views   render and score views
    view_rays        rays through all pixels of a camera at a pose
    PixelSampler     random training pixels with their rays
    orbit            a camera path round what the photographs look at
    mine             hard sample mining for your own network and loop
    MiningStats      what `mine` kept
    OrefieldError    the parent of every error for bad input
"""

from importlib import import_module
from typing import TYPE_CHECKING

from orefield._version import __version__ as __version__

if TYPE_CHECKING:
    from orefield.cameras import Camera as Camera
    from orefield.cameras import view_rays as view_rays
    from orefield.cameras.paths import orbit as orbit
    from orefield.config import FieldConfig as FieldConfig
    from orefield.config import MiningConfig as MiningConfig
    from orefield.config import OptimConfig as OptimConfig
    from orefield.config import ProposalConfig as ProposalConfig
    from orefield.config import RunConfig as RunConfig
    from orefield.config import SamplerConfig as SamplerConfig
    from orefield.config import SceneConfig as SceneConfig
    from orefield.errors import OrefieldError as OrefieldError
    from orefield.evaluation.views import evaluate_views as evaluate_views
    from orefield.mining import MiningStats as MiningStats
    from orefield.mining import mine as mine
    from orefield.rendering.render import render_view as render_view
    from orefield.runs.folder import load_run as load_run
    from orefield.runs.loop import TrainingRun as TrainingRun
    from orefield.runs.loop import resume_run as resume_run
    from orefield.runs.loop import start_run as start_run
    from orefield.scenes import PixelSampler as PixelSampler
    from orefield.scenes import Scene as Scene
    from orefield.scenes import View as View
    from orefield.scenes import open_scene as open_scene
    from orefield.scenes import scene_of_views as scene_of_views
    from orefield.training.trainer import Trainer as Trainer
    from orefield.training.trainer import fit as fit

_HOME = {
    "open_scene": "scenes",
    "scene_of_views": "scenes",
    "Scene": "scenes",
    "View": "scenes",
    "Camera": "cameras",
    "RunConfig": "config",
    "SceneConfig": "config",
    "FieldConfig": "config",
    "SamplerConfig": "config",
    "ProposalConfig": "config",
    "MiningConfig": "config",
    "OptimConfig": "config",
    "start_run": "runs.loop",
    "resume_run": "runs.loop",
    "load_run": "runs.folder",
    "TrainingRun": "runs.loop",
    "Trainer": "training.trainer",
    "fit": "training.trainer",
    "render_view": "rendering.render",
    "evaluate_views": "evaluation.views",
    "view_rays": "cameras",
    "PixelSampler": "scenes",
    "orbit": "cameras.paths",
    "mine": "mining",
    "MiningStats": "mining",
    "OrefieldError": "errors",
}

__all__ = [*_HOME]


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'orefield' has no attribute {name!r}")
    value: object = getattr(import_module(f"orefield.{_HOME[name]}"), name)
    globals()[name] = value  # the next look-up does not come here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
