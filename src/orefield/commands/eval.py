"""`orefield eval`: score a run's test views again."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro


@dataclass(frozen=True)
class Args:
    """Render a run's test views again, score them, and write metrics.json and renders/ anew."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; on whatever the run was trained."""


def run(args: Args) -> int:
    """Load, render, score, write."""
    from orefield.checkpoint import load_run, read_json, write_json
    from orefield.commands.score import score_views
    from orefield.commands.session import open_source
    from orefield.evaluate import protocol
    from orefield.threads import use_threads

    loaded = load_run(args.run, args.device)
    use_threads(loaded.header.config.threads)
    scene, _ = open_source(loaded.header.source, loaded.header.config.scene)
    test = score_views(
        loaded.field, loaded.sampler, scene, loaded.header.config, args.run / "renders"
    )
    path = args.run / "metrics.json"
    training = read_json(path).get("training") if path.exists() else None
    scored = dataclasses.replace(loaded.header.config, device=args.device)
    facts = {"protocol": protocol(scene, scored), "training": training}
    write_json(path, {**facts, "test": test})
    if test:
        print(f"test: {test['psnr']:.2f} dB PSNR, {test['ssim']:.4f} SSIM")
    print(f"look at {args.run}/renders and {path}")
    return 0
