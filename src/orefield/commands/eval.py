"""`orefield eval`: score a run's test views again."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Render a run's test views again, score them, and rewrite metrics.json and renders/."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; need not be where the run was trained."""


def run(args: Args) -> int:
    """Load, render, score, write."""
    from orefield.errors import RunError
    from orefield.evaluation.protocol import protocol
    from orefield.runs.evaluate import evaluate_run
    from orefield.runs.folder import load_run
    from orefield.scenes import describe, open_scene
    from orefield.system.files import read_json, write_json
    from orefield.system.threads import use_threads

    loaded = load_run(args.run, args.device)
    config = loaded.header.config
    use_threads(config.threads)
    scene = open_scene(loaded.header.source, config.scene)
    print(describe(scene))
    renders = args.run / "renders"
    test = evaluate_run(loaded.field, loaded.sampler, scene, config, renders, progress=True)
    path = args.run / "metrics.json"
    training = read_json(path, RunError).get("training") if path.exists() else None
    scored = dataclasses.replace(config, device=args.device)
    facts = {"protocol": protocol(scene, scored), "training": training}
    write_json(path, {**facts, "test": test})
    if test is None:
        print("the scene has no test views: nothing to evaluate")
    else:
        print(f"test: {test['psnr']:.2f} dB PSNR, {test['ssim']:.4f} SSIM")
    print(f"see {args.run}/renders and {path}")
    return 0
