"""`orefield bench`: measure the kernels one by one, or one training run."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from orefield.config import ConfigError, RunConfig, SceneFacts, resolve_preset, to_dict
from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """Measure the kernels one by one (`ops`), or one training run (`run`).

    `ops` checks every op against its definition in plain torch, then times both. `run` measures the
    seconds to each PSNR, PSNR over time, and memory. The last line printed is the result as JSON.
    """

    what: Annotated[tyro.conf.Positional[Literal["ops", "run"]], tyro.conf.arg(metavar="WHAT")]
    """What to measure: ops or run."""
    scene: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SCENE")] = "shapes"
    """For `run`: a scene's folder or JSON file, or an embedded scene."""
    psnr: tuple[float, ...] = (20.0, 25.0, 30.0)
    """For `run`: PSNRs in dB; measures the seconds to each."""
    op_seconds: float = 0.5
    """For `ops`: seconds spent on each op."""
    out: Path | None = None
    """Also write the JSON to this file."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if not self.op_seconds > 0:
            raise ConfigError(f"op_seconds must be positive, got {self.op_seconds}")


def run(args: Args) -> int:
    """Measure and print; the exit code is 1 where an op disagrees with its definition."""
    from orefield.system.threads import use_threads

    use_threads(args.config.threads)
    if args.out:  # fail now, not at the end
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.open("a").close()
    result = _ops(args) if args.what == "ops" else _run(args)
    line = json.dumps(result)
    if args.out:
        args.out.write_text(line + "\n", encoding="utf-8")
    say(line)
    return int(not all(row["agrees"] for row in result.get("ops", [])))


def _ops(args: Args) -> dict[str, Any]:
    from orefield.bench.ops import TimeBudget, bench_ops, header
    from orefield.system.devices import resolve_device, use_device

    config, _ = resolve_preset(args.config, SceneFacts())
    device = resolve_device(config.device)
    use_device(device, config.deterministic)
    about, rows = header(config, device), []
    say(f"{about['device']}, {about['why']}")
    say(f"a copy moves {about['copy_gigabytes_per_second']:.1f} GB/s")
    say(f"{'op':<20}{'ms':>9}{'GB/s':>9}{'of copy':>9}{'definition':>12}  agrees within")
    for row in bench_ops(config, device, TimeBudget(args.op_seconds)):
        rows.append(row)
        say(
            f"{row['op']:<20}{row['ms']:9.3f}{row['gigabytes_per_second']:9.1f}"
            f"{100 * row['share_of_copy']:8.0f}%{row['times_faster']:11.1f}x  "
            f"{row['error']:.1e} {'' if row['agrees'] else 'DISAGREES'}",
        )
    return {**about, "ops": rows, "config": to_dict(config)}


def _run(args: Args) -> dict[str, Any]:
    from orefield.bench.run import bench_run
    from orefield.evaluation.views import refuse_small_views
    from orefield.scenes import describe, open_scene

    scene = open_scene(args.scene, args.config.scene)
    refuse_small_views(scene, args.config.calibration.exposure, args.config.lpips)
    say(describe(scene))
    say(resolve_preset(args.config, scene.facts)[1])
    result = bench_run(scene, args.config, args.psnr)
    for goal, seconds in result["seconds_to_psnr"].items():
        say(f"{goal} dB after " + ("–" if seconds is None else f"{seconds:.1f} s"))
    say(f"test: {result['test']['psnr']:.2f} dB after {result['seconds']:.1f} s of training")
    return result
