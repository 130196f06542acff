"""`orefield eval`: score a run's test views again."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """Render a run's test views again, score them, and rewrite scores, renders/ and report.html."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; need not be where the run was trained."""
    lpips: Literal["none", "alex", "vgg"] | None = None
    """Also score LPIPS, with AlexNet or VGG16; None does what the run was trained with."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""


def run(args: Args) -> int:
    """Load, render, score, write."""
    from orefield.errors import RunError
    from orefield.evaluation.protocol import protocol
    from orefield.evaluation.views import refuse_small_views, told
    from orefield.runs.evaluate import evaluate_run
    from orefield.runs.folder import load_run, lock_run, refuse_links
    from orefield.runs.reopen import reopen_scene
    from orefield.runs.report import write_run_report
    from orefield.scenes import describe
    from orefield.system.files import read_json, write_json
    from orefield.system.threads import use_threads

    path = args.run / "metrics.json"
    with lock_run(args.run)[0]:  # a run in training would change under the evaluation
        refuse_links(args.run)
        loaded = load_run(args.run, args.device)
        config = loaded.header.config
        config = dataclasses.replace(config, lpips=args.lpips or config.lpips)
        use_threads(config.threads)
        training = read_json(path, RunError, strict=True).get("training") if path.exists() else None
        scene = reopen_scene(loaded.header, args.scene, args.allow_outside)
        refuse_small_views(scene, config.calibration.exposure, config.lpips)
        say(describe(scene))
        parts = loaded.field, loaded.sampler, scene, config
        test = evaluate_run(*parts, args.run / "renders", progress=True)
        scored = dataclasses.replace(config, device=args.device)
        facts = {"protocol": protocol(scene, scored), "training": training}
        write_json(path, {**facts, "test": test})
        page = write_run_report(args.run)
    if test is None:
        say("the scene has no test views: nothing to evaluate")
    else:
        say(f"test: {told(test, config.lpips)}")
    say(f"see {page}, {args.run}/renders and {path}")
    return 0
