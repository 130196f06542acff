"""Run folders and races of made-up numbers: nothing is trained, so that they are ready at once."""

import json
from pathlib import Path
from typing import Any

import torch

from orefield.config import RunConfig, to_dict
from orefield.report.facts import RunFacts, ScoredView
from orefield.report.history import Evaluation, History, HistoryPoint
from orefield.report.pictures import comparison, save_picture
from orefield.runs.header import RunHeader, write_config
from orefield.runs.scene_digest import CAMERA_SUMS, SceneDigest
from orefield.system.files import write_json

HOSTILE = "<script>document.title='taken'</script>\n\"'&<img src=x onerror=document.title='taken'>"
"""A name that a page must not obey, with a line break in it."""
EYE = tuple(tuple(float(i == j) for j in range(4)) for i in range(4))


def made_history(count: int = 20) -> History:
    """Curves that rise and fall as those of a training do, with a skipped stretch."""
    points = [
        HistoryPoint(
            step=10 * i,
            seconds=0.5 * i,
            train_psnr=None if i == 7 else 30 - 16 / i,
            losses={} if i == 7 else {"color": 0.04 / i, "distortion": 1e-4 / i**2},
            rays_per_step=500.0,
            evaluated_per_step=20_000.0,
            kept_share=0.2 + 0.8 / i,
        )
        for i in range(1, count + 1)
    ]
    tested = [Evaluation(10 * i, 0.5 * i, 28 - 12 / i) for i in (1, 2, 5, 10, count) if i <= count]
    return History(points, tested)


def save_comparison(path: Path, width: int = 60, height: int = 40, shade: float = 0.2) -> None:
    """Photograph, render and error: a ramp of red, a ramp of green, and what lies between."""
    across = torch.linspace(0, 1, width).expand(height, width)
    photograph = torch.stack([across, torch.full_like(across, shade), 1 - across], -1)
    render = torch.stack([torch.full_like(across, shade), across, 1 - across], -1)
    save_picture(comparison(photograph, render, "a view", 12.34), path)


def made_run(
    folder: Path,
    config: RunConfig | None = None,
    scene: str = "bench",
    names: tuple[str, ...] = ("./test/r_0", "./test/r_1"),
    size: tuple[int, int] = (60, 40),
) -> Path:
    """A run folder with its config.json, metrics.json and renders/, as if trained and evaluated."""
    config = config or RunConfig(preset="ngp", seed=3)
    digest = SceneDigest(5, len(names), 1, 2, (0.0,) * CAMERA_SUMS)
    folder.mkdir(parents=True)
    write_config(folder, RunHeader(f"/photos/{scene}", 0.1, 1, EYE, config, digest, "0" * 32))
    views = [
        {"name": n, "psnr": 25.123456 + i, "ssim": 0.812345 - i / 1e3, "picture": f"v{i}.png"}
        for i, n in enumerate(names)
    ]
    for view in views:
        save_comparison(folder / "renders" / view["picture"], *size)
    mean = {key: sum(view[key] for view in views) / len(views) for key in ("psnr", "ssim")}
    training = {"steps": 200, "seconds": 10.0, "peak_memory_bytes": 2**30}
    write_json(
        folder / "metrics.json",
        {
            "protocol": made_protocol(scene, config, len(names)),
            "training": {**training, **made_history().to_dict()},
            "test": {**mean, "views": views},
        },
    )
    return folder


def made_protocol(scene: str, config: RunConfig, test_views: int) -> dict[str, Any]:
    """As evaluation.protocol writes it, of a machine that is nobody's."""
    return {
        "scene": scene,
        "split": "every 8th image",
        "train_views": 5,
        "test_views": test_views,
        "resolution": ["60x40"],
        "background": "white",
        "seed": config.seed,
        "rule": config.mining.rule,
        "device": "cpu: An Abacus 9000",
        "threads": 7,
        "versions": {"orefield": "0.2.0", "torch": "2.13.0"},
    }


def made_facts(name: str = "a run", **changes: Any) -> RunFacts:
    """A run as a page takes it, without any file."""
    config = RunConfig(preset="ngp", seed=3)
    views = (
        ScoredView("one", {"psnr": 20.5, "ssim": 0.71}, None),
        ScoredView("two", {"psnr": 31.25, "ssim": 0.82}, None),
    )
    facts: dict[str, Any] = {
        "name": name,
        "source": "/photos/bench",
        "version": "0.2.0",
        "train_views": 5,
        "test_views": 2,
        "settings": to_dict(config),
        "protocol": made_protocol("bench", config, 2),
        "training": {"steps": 200, "seconds": 10.0, "peak_memory_bytes": 2**30},
        "history": made_history(),
        "scores": {"psnr": 25.875, "ssim": 0.765},
        "views": views,
        "mining_maps": (),
    }
    return RunFacts(**(facts | changes))


def made_race(folder: Path, seeds: tuple[int, ...] = (0, 1)) -> Path:
    """A race's folder with its race.json and renders/, as if raced."""
    config = RunConfig(seconds=8.0)
    arms = []
    for seed in seeds:
        for number, name in enumerate(("plain", "hsm:optim.lr=0.03")):
            points = [
                {
                    "seconds": float(t),
                    "steps": 30 * t,
                    "psnr": 20 + t + number + seed / 10,
                    "kept_share": 1.0 if number == 0 else 0.4,
                    "rays": 100,
                    "peak_bytes": None if number else 2**25,
                }
                for t in (1, 2, 4, 8)
            ]
            stem = ("plain", "hsm_optim.lr_0.03")[number]
            views = [{"name": "r_0", "psnr": 27.5 + number, "ssim": 0.9, "picture": "r_0.png"}]
            arms.append(
                {
                    "arm": name,
                    "seed": seed,
                    "steps": 240,
                    "seconds": 8.0,
                    "ms_per_step": 33.3,
                    "ms_per_stage": {"march": 11.0, "backward": 22.3},
                    "test": {"psnr": 27.5 + number + seed, "ssim": 0.9, "views": views},
                    "renders": stem if seed == seeds[0] else None,
                    "points": points,
                }
            )
            save_comparison(folder / "renders" / stem / "r_0.png", shade=0.1 * number)
    about = {**made_protocol("bench", config, 1), "slice_seconds": 1.0, "config": to_dict(config)}
    del about["rule"], about["seed"]
    write_json(folder / "race.json", {"protocol": about, "summary": {}, "arms": arms})
    return folder


def edit_json(path: Path, *keys: Any, to: Any) -> None:
    """Put a value in the place of another; without keys, of the whole."""
    facts = json.loads(path.read_text())
    if not keys:
        facts = to
    else:
        inner = facts
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to
    path.write_text(json.dumps(facts))
