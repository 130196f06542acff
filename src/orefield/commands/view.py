"""`orefield view`: look at a run in the browser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """Look at a trained run in the browser, and make films of it; Ctrl-C ends it.

    Nothing of the run is changed; camera paths and films are written into its folder. Needs
    `pip install 'orefield[viewer]'`.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    host: str = "127.0.0.1"
    """Address at which the page is served: this machine alone, unless another is given."""
    port: int = 0
    """Port of the page; 0 takes the first free one from 7007 on."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; need not be where the run was trained."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""


def run(args: Args) -> int:
    """Serve the page until somebody stops the process."""
    from orefield.runs.folder import load_run
    from orefield.runs.reopen import reopen_scene
    from orefield.runs.watching import open_page
    from orefield.scenes import describe
    from orefield.system.interrupts import interruptible
    from orefield.system.threads import use_threads

    with open_page(args.host, args.port) as page:
        loaded = load_run(args.run, args.device)
        use_threads(loaded.header.config.threads)
        scene = reopen_scene(loaded.header, args.scene, args.allow_outside)
        say(describe(scene))
        with interruptible() as stop:
            viewer = page.look_at(loaded, scene)
            say("Ctrl-C ends the viewer")
            viewer.serve(stop.is_set)
    return 0
