"""Measure one training run: seconds to each PSNR, PSNR at fixed times, and memory."""

from collections.abc import Sequence
from typing import Any

import torch

from orefield.bench.race_report import psnr_at, seconds_to
from orefield.config import RunConfig, fit_to_budget, to_dict
from orefield.errors import SceneError
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.evaluation.views import BACKGROUND, score_test_views
from orefield.runs.schedule import COMPARE_AT, Schedule
from orefield.scenes.scene import Scene
from orefield.system.memory import peak_bytes
from orefield.training.speed import samples_of_run
from orefield.training.trainer import Trainer, fit, warm_up

Facts = dict[str, Any]

PROBE = 65_536
"""Test pixels rendered at each evaluation. All views are rendered at the end."""


def bench_run(scene: Scene, config: RunConfig, goals: Sequence[float]) -> Facts:
    """Train and return the measurements as plain JSON types; `goals` are PSNRs in dB to time.

    Raises SceneError where the scene has no test view.
    """
    if not scene.test:
        raise SceneError(f"scene {scene.name}: a benchmark needs at least one test view")
    probe = PixelProbe(scene, BACKGROUND[config.eval_background], PROBE)
    compiling = warm_up(scene, config)
    config = fit_to_budget(config, scene.facts, samples_of_run(scene, config))
    trainer = Trainer(scene, config)
    if trainer.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(trainer.device)
    points, evaluated, kept = _train(trainer, probe)
    # Read before the views are rendered, which takes memory too.
    memory = _memory(trainer.device)
    test = score_test_views(trainer.field, trainer.sampler, scene, config)
    arm = {"points": points}
    return {
        "protocol": protocol(scene, config),
        "seconds": trainer.seconds,
        "seconds_are": "training alone: no reading, compiling or evaluation",
        "compiling_seconds": compiling,
        "steps": trainer.step,
        "ms_per_step": 1e3 * trainer.seconds / max(trainer.step, 1),
        "skipped_steps": trainer.skipped,
        "samples_per_second": evaluated / max(trainer.seconds, 1e-9),
        "kept_share": kept / max(evaluated, 1),
        "fixed_shapes": trainer.fixed,
        "cuda_graph": trainer.replay is not None and trainer.replay.graph is not None,
        "seconds_to_psnr": {f"{goal:g}": seconds_to(arm, goal) for goal in goals},
        "psnr_at": {
            f"{share * trainer.seconds:.3g}": psnr_at(arm, share * trainer.seconds)
            for share in (0.25, 0.5, 1.0)
        },
        "probe": f"PSNR of up to {PROBE} fixed test pixels together; interpolated between points",
        "test": {name: mean for name, mean in test.items() if name != "views"},
        "memory": memory,
        "points": points,
        "config": to_dict(config),
    }


def _train(trainer: Trainer, probe: PixelProbe) -> tuple[list[Facts], int, int]:
    """The evaluations, the samples evaluated and the samples kept."""
    points, schedule = [], Schedule(COMPARE_AT)
    evaluated = kept = 0
    for stats in fit(trainer):
        evaluated, kept = evaluated + stats.evaluated, kept + stats.kept
        if not schedule.due(trainer.progress(), trainer.seconds):
            continue
        trainer.synchronize()
        psnr = probe.psnr(trainer.field, trainer.sampler)
        points.append({"seconds": trainer.seconds, "steps": trainer.step, "psnr": psnr})
    return points, evaluated, kept


def _memory(device: torch.device) -> Facts:
    if device.type == "cuda":
        return {
            "peak_bytes": torch.cuda.max_memory_allocated(device),
            "peak_is": "torch's allocations on the GPU while training, the photographs included",
        }
    return {"peak_bytes": peak_bytes(), "peak_is": "resident size of the process, torch included"}
