"""How fast this machine trains, for settings that follow the budget (config/budget.py)."""

from orefield.config import RunConfig, expected_samples
from orefield.scenes import Scene
from orefield.training.trainer import Trainer

_LONG_ENOUGH = 0.5
"""Seconds of steps that are timed."""
_MOST_STEPS = 50
_LATER = 1.7
"""How much faster later steps are: in the first ones no sample is occluded (Lego, fox, bonsai on
two cores: 1.5 to 2)."""


def measure_speed(scene: Scene, config: RunConfig) -> float:
    """Samples a second, by the first steps of a throw-away trainer, to about a quarter.

    Kernels must be compiled (`warm_up`).
    """
    trainer, samples = Trainer(scene, config), 0
    trainer.advance()  # its number of rays is a guess
    trainer.synchronize()
    begun = trainer.seconds
    while trainer.seconds < begun + _LONG_ENOUGH and trainer.step <= _MOST_STEPS:
        samples += trainer.advance().evaluated
        trainer.synchronize()
    return _LATER * samples / (trainer.seconds - begun)


def samples_of_run(scene: Scene, config: RunConfig) -> float:
    """Samples of a whole run on this machine, for `config.fit_to_budget`.

    The speed is measured where the budget is in seconds; kernels must be compiled.
    """
    speed = None if config.steps else measure_speed(scene, config)
    return expected_samples(config, speed)
