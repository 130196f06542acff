"""`orefield resume`: go on where a run stopped."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orefield.config import RunConfig
from orefield.errors import RunError


@dataclass(frozen=True)
class Args:
    """Go on with a run exactly where it stopped, then evaluate it.

    Without flags the run uses up the budget it was started with.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    seconds: float = 0.0
    """New training time in all, the part already done included; 0 keeps the run's own."""
    steps: int = 0
    """New number of steps in all, those already done included; 0 keeps the run's own."""
    device: str = ""
    """Where to go on: auto, cpu, cuda, cuda:1, mps; exactly so only on the type of device where the
    run stopped. Nothing keeps the run's own."""


def run(args: Args) -> int:
    """Rebuild the trainer from the run folder and train on."""
    from orefield.checkpoint import read_config, resume_run, write_config
    from orefield.commands.session import Session, finish, open_source, read_history, train
    from orefield.threads import use_threads
    from orefield.train import Trainer, warm_up

    header = read_config(args.run)
    config = with_budget(header.config, args.seconds, args.steps)
    config = dataclasses.replace(config, device=args.device or config.device)
    use_threads(config.threads)
    scene, _ = open_source(header.source, config.scene)
    trainer = Trainer(scene, config)
    resume_run(args.run, trainer)
    session = Session(args.run, scene, config, trainer, read_history(args.run))
    if trainer.progress() >= 1:
        used = f"{trainer.step} steps in {trainer.seconds:.1f} s"
        raise RunError(f"{args.run}: has used its budget ({used}); pass --seconds or --steps")
    write_config(args.run, dataclasses.replace(header, config=config))
    print(f"going on after {trainer.step} steps and {trainer.seconds:.1f} s")
    warm_up(scene, config)
    return finish(session) if train(session) else 130


def with_budget(config: RunConfig, seconds: float, steps: int) -> RunConfig:
    """The same settings with a new total budget; a time budget replaces a step budget."""
    if steps:
        return dataclasses.replace(config, steps=steps)
    if seconds:
        return dataclasses.replace(config, seconds=seconds, steps=0)
    return config
