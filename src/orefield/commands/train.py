"""`orefield train`: from a scene to a run folder."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from orefield.commands.viewer_flags import ViewerFlags
from orefield.config import FieldConfig, OptimConfig, RunConfig, SamplerConfig, chosen
from orefield.system.console import say

if TYPE_CHECKING:
    from orefield.runs.watching import ViewerPage


@dataclass(frozen=True)
class Args:
    """Train a field on a scene and write a run folder.

    Ctrl-C finishes the step, saves, and says how to go on; so do SIGTERM and a closed terminal.
    """

    scene: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SCENE")]
    """A scene's folder or JSON file, or an embedded scene: tankard, shapes."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder for the run; None takes runs/SCENE, or runs/SCENE-2 and so on where that exists."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run in the folder, if there is one."""
    budget_of: float | None = None
    """Do not train: show the settings that would be chosen for so many seconds on this machine."""
    mining_maps: tyro.conf.FlagCreatePairsOff[bool] = False
    """Draw mining maps: where samples are kept, over a view and over time, in RUN/mining_maps."""
    watched: Annotated[ViewerFlags, tyro.conf.arg(name="")] = field(default_factory=ViewerFlags)
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def run(args: Args) -> int:
    """Read the scene, train, evaluate, and say what was written."""
    from orefield.runs.folder import check_folder

    if args.budget_of is not None:
        return _train(args, None)
    if args.out is not None:
        check_folder(args.out, args.overwrite)  # before anything that takes long
    with args.watched.page() as page:
        return _train(args, page)


def _train(args: Args, page: "ViewerPage | None") -> int:
    from orefield.config import fit_to_budget, resolve_preset
    from orefield.evaluation.views import refuse_small_views
    from orefield.runs.loop import start_run
    from orefield.runs.progress import train_to_end
    from orefield.runs.tensorboard import check_log
    from orefield.scenes import describe, open_scene
    from orefield.system.threads import use_threads
    from orefield.training.speed import samples_of_run
    from orefield.training.trainer import warm_up

    asked = args.config
    if args.budget_of is not None:
        asked = dataclasses.replace(asked, seconds=args.budget_of, steps=0)
    check_log(asked)
    use_threads(asked.threads)
    scene = open_scene(args.scene, asked.scene)
    refuse_small_views(scene, asked.calibration.exposure, asked.lpips)
    say(describe(scene))
    say(resolve_preset(asked, scene.facts)[1])
    say("compiling kernels (slow only in the first run) ...")
    seconds = warm_up(scene, asked)
    say(f"kernels ready after {seconds:.1f} s")
    samples = samples_of_run(scene, asked)
    config, _ = resolve_preset(fit_to_budget(asked, scene.facts, samples), scene.facts)
    say(describe_budget(config, samples))
    if args.budget_of is not None:
        say(" ".join(chosen_options(config)))
        return 0
    folder = args.out or free_folder(scene.name)
    started = start_run(scene, folder, config, args.overwrite, args.mining_maps)
    viewer = None if page is None else page.watch(started, args.watched.viewer_share)
    return train_to_end(started, viewer)


def describe_budget(config: RunConfig, samples: float) -> str:
    """How many steps a run will have, of how many samples, and how fine a hash grid."""
    each = chosen(config.optim.target_samples, "optim.target_samples")
    about = f"{config.steps:,} steps" if config.steps else f"about {samples / each:,.0f} steps"
    size, finest = config.field.log2_hashmap_size, config.field.max_resolution
    grid = f"hash grid of 2^{size} entries a level, finest level {finest}"
    return f"{about} of {each:,} samples: {grid}"


def chosen_options(config: RunConfig) -> list[str]:
    """Every setting that was chosen for the scene and the budget, as options of this command."""
    options = [f"--preset {config.preset}"]
    for name, part, defaults in (
        ("field", config.field, FieldConfig()),
        ("sampler", config.sampler, SamplerConfig()),
        ("optim", config.optim, OptimConfig()),
    ):
        for setting, value in dataclasses.asdict(part).items():
            if getattr(defaults, setting) is None:
                options.append(f"--{name}.{setting.replace('_', '-')} {value}")
    return options


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that does not exist."""
    first = Path("runs") / name
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{name}-{number}")
    return folder
