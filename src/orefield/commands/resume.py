"""`orefield resume`: go on where a run stopped."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from orefield.commands.viewer_flags import ViewerFlags
from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """Go on with a run exactly where it was last saved, then evaluate it.

    Without flags the run goes on to the end of its own budget.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    seconds: float = 0.0
    """New total training time, from the start of the run; 0 keeps the run's own."""
    steps: int = 0
    """New total number of steps, from the start of the run; 0 keeps the run's own."""
    device: str = ""
    """Where to go on: auto, cpu, cuda, cuda:1, mps; empty keeps the run's own. On another type of
    device the random numbers differ."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""
    watched: Annotated[ViewerFlags, tyro.conf.arg(name="")] = field(default_factory=ViewerFlags)


def run(args: Args) -> int:
    """Rebuild the trainer from the run folder, and train on."""
    from orefield.runs.header import read_config
    from orefield.runs.loop import resume_run
    from orefield.runs.progress import train_to_end
    from orefield.scenes import describe
    from orefield.system.threads import use_threads
    from orefield.training.trainer import warm_up

    use_threads(read_config(args.run).config.threads)
    budget = args.seconds, args.steps
    with args.watched.page() as page:
        resumed = resume_run(args.run, None, *budget, args.device, args.scene, args.allow_outside)
        say(describe(resumed.scene))
        done = resumed.trainer
        say(f"going on after {done.step} steps and {done.seconds:.1f} s")
        warm_up(resumed.scene, resumed.config)
        viewer = None if page is None else page.watch(resumed, args.watched.viewer_share)
        return train_to_end(resumed, viewer)
