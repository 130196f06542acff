"""`orefield train`: a scene in, a run folder out."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from orefield.config import RunConfig


@dataclass(frozen=True)
class Args:
    """Train a field on a scene and write a run folder.

    Ctrl-C finishes the step, saves, and says how to go on.
    """

    scene: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SCENE")]
    """A scene's folder or JSON file, or an embedded scene: tankard, shapes."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="RUN")] = None
    """Folder for the run; None takes runs/SCENE, with a number where that is taken."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace the run that the folder holds."""
    pictures: tyro.conf.FlagCreatePairsOff[bool] = False
    """Draw where samples are kept, in RUN/hardness: on a view, over time, and as a share."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)


def run(args: Args) -> int:
    """Read the scene, train, evaluate, and say where to look."""
    from orefield.checkpoint import create_run, header_of
    from orefield.commands.session import Session, finish, open_source, settled, train
    from orefield.evaluate import BACKGROUND
    from orefield.mined import Album
    from orefield.report.history import History
    from orefield.threads import use_threads
    from orefield.train import Trainer, warm_up

    use_threads(args.config.threads)
    scene, source = open_source(args.scene, args.config.scene)
    config = settled(args.config, scene)
    folder = args.out or free_folder(scene.name)
    create_run(folder, header_of(scene, source, config), args.overwrite)
    print("compiling kernels (only the first run takes long) ...", flush=True)
    seconds = warm_up(scene, config)
    print(f"kernels ready after {seconds:.1f} s, cached for the next run")
    trainer = Trainer(scene, config)
    album = None
    if args.pictures:
        album = Album(trainer, scene, BACKGROUND[config.eval_background])
    session = Session(folder, scene, config, trainer, History(), album)
    return finish(session) if train(session) else 130


def free_folder(name: str) -> Path:
    """runs/NAME, or the first of runs/NAME-2, runs/NAME-3, ... that does not exist."""
    first = Path("runs") / name
    folder, number = first, 1
    while folder.exists():
        number += 1
        folder = first.with_name(f"{name}-{number}")
    return folder
