"""`orefield train`: from a scene to a run folder."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from orefield.config import RunConfig
from orefield.system.console import say


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
    mining_maps: tyro.conf.FlagCreatePairsOff[bool] = False
    """Draw mining maps: where samples are kept, over a view and over time, in RUN/mining_maps."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def run(args: Args) -> int:
    """Read the scene, train, evaluate, and say what was written."""
    from orefield.config import resolve_preset
    from orefield.runs.folder import check_folder
    from orefield.runs.loop import start_run
    from orefield.runs.progress import train_to_end
    from orefield.scenes import describe, open_scene
    from orefield.system.threads import use_threads
    from orefield.training.trainer import warm_up

    if args.out is not None:
        check_folder(args.out, args.overwrite)  # before anything that takes long
    use_threads(args.config.threads)
    scene = open_scene(args.scene, args.config.scene)
    say(describe(scene))
    config, why = resolve_preset(args.config, scene.facts)
    say(why)
    folder = args.out or free_folder(scene.name)
    started = start_run(scene, folder, config, args.overwrite, args.mining_maps)
    say("compiling kernels (slow only in the first run) ...")
    seconds = warm_up(scene, config)
    say(f"kernels ready after {seconds:.1f} s")
    return train_to_end(started)


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that does not exist."""
    first = Path("runs") / name
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{name}-{number}")
    return folder
