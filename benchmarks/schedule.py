"""Settings raced on validation views, at equal steps or in equal seconds.

    python benchmarks/schedule.py lego=SCENES/lego bonsai=SCENES/bonsai,downscale=2 --steps 200 700
    python benchmarks/schedule.py fern=SCENES/fern --seconds 60 --arms preset=ngp preset=nerfacto

Every sixth training view is held out and scored; test views are not looked at. The arms are by
default schedules of the learning rate, whose steps take equal times.
"""

import argparse
import dataclasses
import json
import warnings
from pathlib import Path
from statistics import fmean

from orefield.config import RunConfig, changed, resolve_preset
from orefield.evaluation.views import BACKGROUND, evaluate_views
from orefield.scenes import Scene, open_scene
from orefield.system.processor import processor_name
from orefield.system.threads import use_threads
from orefield.training.trainer import Trainer, fit, warm_up

HELD_OUT = 6
SCORED = 6
ARMS = (
    "optim.lr_final=0.1,optim.decay_from=0",
    "optim.lr_final=0.3,optim.decay_from=0",
    "optim.lr_final=0.1,optim.decay_from=0.5",
    "optim.lr_final=0.1,optim.decay_from=0.75",
    "optim.lr_final=0.03,optim.decay_from=0.6",
)


def with_validation_views(scene: Scene) -> Scene:
    """The scene with some of its training views in the place of its test views."""
    held_out = scene.train[::HELD_OUT]
    rest = tuple(view for i, view in enumerate(scene.train) if i % HELD_OUT)
    return dataclasses.replace(scene, train=rest, test=held_out[:: -(-len(held_out) // SCORED)])


def score(scene: Scene, config: RunConfig) -> tuple[float, Trainer]:
    """Mean PSNR over the validation views, and the trainer."""
    trainer = Trainer(scene, config)
    for _ in fit(trainer):
        pass
    background = BACKGROUND[config.eval_background]
    views = evaluate_views(trainer.field, trainer.sampler, scene.test, background)
    return fmean(view.score.psnr for view in views), trainer


def main() -> None:
    """Race all arms on all scenes, print each score and write them all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="+", help="NAME=PATH or NAME=PATH,SETTING=VALUE")
    parser.add_argument("--steps", type=int, nargs="+", default=[])
    parser.add_argument("--seconds", type=float, nargs="+", default=[])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", nargs="+", default=list(ARMS))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    use_threads(0)
    rows = []
    for entry in asked.scenes:
        name, _, place = entry.partition("=")
        path, *settings = place.split(",")
        opened = changed(RunConfig(), ",".join(f"scene.{one}" for one in settings)).scene
        scene = with_validation_views(open_scene(path, opened))
        budgets = [{"steps": steps} for steps in asked.steps]
        budgets += [{"seconds": seconds} for seconds in asked.seconds]
        for budget in budgets or [{"steps": 200}, {"steps": 700}]:
            for seed in range(asked.seeds):
                for arm in asked.arms:
                    config = changed(RunConfig(**budget, seed=seed, scene=opened), arm)
                    config, _ = resolve_preset(config, scene.facts)
                    warm_up(scene, config)
                    psnr, trainer = score(scene, config)
                    done = {"steps": trainer.step, "seconds": round(trainer.seconds, 1)}
                    row = {"scene": name, "budget": budget, "seed": seed, "arm": arm, "psnr": psnr}
                    rows.append(row | done)
                    print(
                        f"{name} {trainer.step} steps, {trainer.seconds:.0f} s, seed {seed}, "
                        f"{arm}: {psnr:.2f} dB",
                        flush=True,
                    )
    if asked.out:
        facts = {"processor": processor_name(), "held_out": HELD_OUT, "rows": rows}
        asked.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
