"""What benchmarks/gpu.sh runs: tests and benchmarks on one device, each within what time is left.

Each stage writes its JSON as it ends, so a machine that is taken away leaves what was done.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from charts import bar_chart, line_chart

from orefield.bench.ops import TimeBudget, bench_ops, header
from orefield.bench.race import race
from orefield.bench.race_report import markdown, summarize
from orefield.bench.run import bench_run
from orefield.commands.doctor import installed
from orefield.config import RunConfig, SceneFacts, changed, resolve_preset
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.scenes import Scene, open_scene
from orefield.system.devices import devices_there, resolve_device, synchronize, use_device
from orefield.system.threads import use_threads
from orefield.training.trainer import Trainer, warm_up

Facts = dict[str, Any]
ROOT = Path(__file__).resolve().parent.parent
TESTS = (
    "tests/ops",
    "tests/training/test_step.py",
    "tests/training/test_cuda_graph.py",
    "tests/system/test_devices.py",
)
VARIANTS = {
    "plain": "mining.rule=plain",
    "importance": "mining.rule=importance",
    "importance, no graph": "mining.rule=importance,cuda_graph=off",
    "importance, dynamic": "mining.rule=importance,fixed_shapes.use=never",
    "importance, fp32": "mining.rule=importance,field.precision=fp32",
}


def main() -> int:
    """Run the stages; 1 when one failed."""
    args = _arguments()
    plan: dict[str, tuple[float, Callable[[argparse.Namespace], Facts]]] = {
        "ops": (40, ops),
        "agreement": (45, agreement),
        "determinism": (30, determinism),
        "run": (len(VARIANTS) * (args.seconds + 12), runs),
        "race": (4 * args.seconds + 40, mining_race),
        "tests": (120, tests),
    }
    begun, done = time.perf_counter(), {}
    use_threads(0)
    for name, (takes, stage) in plan.items():
        if args.stages and name not in args.stages:
            continue
        left = 60 * args.minutes - (time.perf_counter() - begun)
        if left < takes:
            done[name] = f"left out: takes {takes:.0f} s, {left:.0f} s are left"
        else:
            done[name] = _run(name, stage, argparse.Namespace(**vars(args), left=left))
        say(f"{name}: {done[name]}")
    done["seconds"] = time.perf_counter() - begun
    _write(args.out, "summary", {**environment(args), "stages": done})
    return int(any(str(state).startswith("failed") for state in done.values()))


def environment(args: argparse.Namespace) -> Facts:
    """What the figures were taken on."""
    names = ("torch", "triton", "numba", "numpy", "pillow", "jaxtyping", "pytest", "hypothesis")
    about = header(RunConfig(), resolve_device(args.device))
    return {**about, "devices": devices_there(), "packages": {n: installed(n) for n in names}}


def ops(args: argparse.Namespace) -> Facts:
    """Every op checked against its definition and timed, at two sizes of batch and table."""
    device, found = resolve_device(args.device), {}
    use_device(device)
    for name, changes in {
        "65k samples, table 2^16": "optim.target_samples=65536,field.log2_hashmap_size=16",
        "262k samples, table 2^19": "optim.target_samples=262144,field.log2_hashmap_size=19",
    }.items():
        config = changed(RunConfig(), changes if not args.tiny else "optim.target_samples=512")
        config, _ = resolve_preset(config, SceneFacts())
        found[name] = list(bench_ops(config, device, TimeBudget(0.3)))
        bars = {row["op"]: row["share_of_copy"] for row in found[name]}
        chart = args.out / f"ops_{name.partition(' ')[0]}.png"
        bar_chart(chart, f"share of the copy bandwidth, {name}", bars)
        wrong = [row["op"] for row in found[name] if not row["agrees"]]
        if wrong:
            _write(args.out, "ops", found)
            raise AssertionError(f"{', '.join(wrong)}: not what the definition says")
    return found


def agreement(args: argparse.Namespace) -> Facts:
    """The same number of steps on `shapes` on the CPU and here: PSNRs and their difference."""
    shapes = _shapes()
    probe, found = PixelProbe(shapes, 1.0, 16_384), {}
    steps = 5 if args.tiny else 250
    for device in ("cpu", args.device):
        trainer = Trainer(shapes, replace(RunConfig(steps=steps), device=device))
        for _ in range(steps):
            trainer.advance()
        found[device] = probe.psnr(trainer.field, trainer.sampler)
    difference = found[args.device] - found["cpu"]
    return {"psnr": found, "difference": difference, "within_0.1_dB": abs(difference) <= 0.1}


def determinism(args: argparse.Namespace) -> Facts:
    """Two runs of one seed, as they come and with `deterministic`, and what a step costs then."""
    shapes, found = _shapes(), {}
    steps = 5 if args.tiny else 200
    for wanted in (False, True):
        config = RunConfig(steps=steps, device=args.device, deterministic=wanted)
        warm_up(shapes, config)
        tables, begun = [], time.perf_counter()
        for _ in range(2):
            trainer = Trainer(shapes, config)
            for _ in range(steps):
                trainer.advance()
            tables.append(next(trainer.field.parameters()).detach().clone())
        synchronize(trainer.device)
        taken = (time.perf_counter() - begun) / (2 * steps)
        same = torch.equal(*tables)
        found[f"deterministic={wanted}"] = {"repeats": same, "ms_per_step": 1e3 * taken}
    torch.use_deterministic_algorithms(False)
    return found


def runs(args: argparse.Namespace) -> Facts:
    """The scene trained in several ways, each for the same time."""
    config = RunConfig(seconds=args.seconds, device=args.device)
    config = replace(config, scene=replace(config.scene, max_test_views=args.views))
    read = open_scene(args.scene, config.scene)
    found = {}
    for name, changes in VARIANTS.items():
        found[name] = bench_run(read, changed(config, changes + args.more), (20, 25, 30, 33))
        _write(args.out, "run", found)
        say(f"  {name}: {found[name]['test']['psnr']:.2f} dB, {found[name]['steps']} steps")
    lines = {
        name: [[(point["seconds"], point["psnr"]) for point in facts["points"]]]
        for name, facts in found.items()
    }
    line_chart(args.out / "run.png", read.name, "training seconds", "test PSNR (dB)", lines)
    return found


def mining_race(args: argparse.Namespace) -> Facts:
    """plain against the default rule, two seeds, on equal terms."""
    config = RunConfig(seconds=args.seconds, device=args.device)
    config = replace(config, scene=replace(config.scene, max_test_views=args.views))
    config = changed(config, args.more.strip(",")) if args.more else config
    read = open_scene(args.scene, config.scene)
    arms: list[Facts] = []
    for finished in race(read, config, ("plain", "importance"), (0, 1)):
        arms += finished
    summary = summarize(arms, config.seconds)
    (args.out / "race.md").write_text(markdown(summary, config.seconds) + "\n", encoding="utf-8")
    lines: dict[str, list[list[tuple[float, float]]]] = {}
    for arm in arms:
        points = [(point["seconds"], point["psnr"]) for point in arm["points"]]
        lines.setdefault(arm["arm"], []).append(points)
    line_chart(args.out / "race.png", read.name, "training seconds", "test PSNR (dB)", lines)
    return {"protocol": protocol(read, config), "summary": summary, "arms": arms}


def tests(args: argparse.Namespace) -> Facts:
    """The tests that put compiled kernels to their laws, where pytest and hypothesis are there."""
    lacks = [name for name in ("pytest", "hypothesis", "jaxtyping") if not installed(name)]
    if lacks:
        return {"passed": None, "why": f"{', '.join(lacks)} not installed; the stage ops checked"}
    quick = ["-q", "-p", "no:cacheprovider", "-W", "default", *TESTS]
    log = args.out / "tests.txt"
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *quick],
            cwd=ROOT, stdout=file, stderr=subprocess.STDOUT, timeout=args.left, check=False,
        )  # fmt: skip
    if done.returncode:
        raise AssertionError(f"tests failed, see {log.name}")
    return {"passed": True, "tests": TESTS}


@lru_cache(maxsize=1)
def _shapes() -> Scene:
    return open_scene("shapes", RunConfig().scene)


def say(line: str) -> None:
    """One line on the terminal, at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _run(name: str, stage: Callable[[argparse.Namespace], Facts], args: argparse.Namespace) -> str:
    begun = time.perf_counter()
    try:
        facts = stage(args)
    # One stage's failure must not cost the others on a machine that is lent for minutes.
    except (Exception, subprocess.TimeoutExpired) as error:
        return f"failed: {type(error).__name__}: {' '.join(str(error).split())[:400]}"
    _write(args.out, name, facts)
    return f"done in {time.perf_counter() - begun:.0f} s"


def _write(out: Path, name: str, facts: Facts) -> None:
    (out / f"{name}.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("scene", help="a scene's folder or JSON file, or an embedded scene")
    parser.add_argument("out", type=Path, help="folder for JSON and plots")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.5, help="for everything")
    parser.add_argument("--seconds", type=float, default=20.0, help="training time of a run")
    parser.add_argument("--stages", nargs="*", default=[], help="these alone, by name")
    parser.add_argument("--tiny", action="store_true", help="try the script itself, also on a CPU")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    small = (
        ",field.levels=4,field.log2_hashmap_size=10,optim.target_samples=512,sampler.resolution=16"
    )
    args.more, args.views = (small, 1) if args.tiny else ("", 8)
    if not find_spec("triton"):
        say("triton is not installed: the torch definitions run")
    return args


if __name__ == "__main__":
    sys.exit(main())
