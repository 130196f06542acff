import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from orefield.bench import race as race_module
from orefield.bench.race import race
from orefield.bench.race_report import markdown, psnr_at, seconds_to, stage_table, summarize
from orefield.cli import main
from orefield.config import RunConfig
from orefield.errors import SceneError
from orefield.runs.schedule import COMPARE_AT
from orefield.scenes import Scene
from orefield.system.memory import working_memory
from orefield.training.trainer import warm_up


@pytest.fixture(autouse=True)
def few_test_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(race_module, "PROBE", 256)


def arm(rule: str, seed: int, psnr: list[float]) -> dict:
    points = [
        {
            "seconds": 10.0 * (i + 1),
            "psnr": value,
            "kept_share": 0.5,
            "rays": 100,
            "peak_bytes": None,
        }
        for i, value in enumerate(psnr)
    ]
    test = {"psnr": psnr[-1], "ssim": 0.9}
    stages = {"march": 1.0, "forward": 2.0}
    base = {"arm": rule, "seed": seed, "steps": 10, "ms_per_step": 3.0}
    return {**base, "test": test, "ms_per_stage": stages, "points": points}


CURVE = [20.0, 24.0, 26.0, 27.0]


def test_a_curve_is_read_between_its_points_and_never_beyond() -> None:
    one = arm("plain", 0, CURVE)
    assert psnr_at(one, 10.0) == 20
    assert psnr_at(one, 15.0) == pytest.approx(22)
    assert (psnr_at(one, 5.0), psnr_at(one, 400.0)) == (20, 27)


def test_seconds_to_a_quality_invert_quality_at_a_time() -> None:
    one = arm("plain", 0, CURVE)
    for seconds in (10.0, 13.0, 20.0, 37.5, 40.0):
        assert seconds_to(one, psnr_at(one, seconds)) == pytest.approx(seconds)
    assert seconds_to(one, 27.1) is None


def test_a_dip_does_not_move_the_first_time_a_quality_was_reached() -> None:
    assert seconds_to(arm("plain", 0, [20.0, 24.0, 22.0, 27.0]), 23.0) == pytest.approx(17.5)


def test_an_arm_that_copies_plain_twice_as_fast_needs_half_the_time() -> None:
    plain = [arm("plain", seed, [20.0, 22.0, 24.0, 26.0]) for seed in (0, 1)]
    fast = [arm("threshold", seed, [22.0, 26.0, 28.0, 29.0]) for seed in (0, 1)]
    rows = summarize([*plain, *fast], 40.0)
    assert rows["threshold"]["seconds_to_plain"]["1.0"] == pytest.approx(20)
    assert rows["plain"]["seconds_to_plain"]["1.0"] == pytest.approx(40)
    assert rows["plain"]["psnr"]["1.0"] == {"mean": 26.0, "min": 26.0, "max": 26.0}
    lines = markdown(rows, 40.0).splitlines()
    assert len({line.count("|") for line in lines}) == 1  # every row has the header's columns
    assert "| threshold | 1.0 | 2.0 |" in stage_table(rows)


def test_an_arm_that_misses_plains_quality_on_one_seed_has_no_time() -> None:
    plain = [arm("plain", seed, CURVE) for seed in (0, 1)]
    slow = [arm("hsm", 0, CURVE), arm("hsm", 1, [v - 1 for v in CURVE])]
    assert summarize([*plain, *slow], 40.0)["hsm"]["seconds_to_plain"]["1.0"] is None


def test_working_memory_sees_a_block_that_is_gone_at_the_end() -> None:
    with working_memory() as peak:
        block = torch.ones(2**23)
        del block
    if peak.above_start is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert 0.9 * 2**25 < peak.above_start < 3 * 2**25


def test_arms_are_scored_at_the_same_times_on_their_own_clocks(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = replace(tiny_config, seconds=0.3, steps=0)
    warm_up(tiny_scene, config)
    (facts,) = race(tiny_scene, config, ("plain", "threshold"), (0,), 0.05)
    assert [one["arm"] for one in facts] == ["plain", "threshold"]
    for one in facts:
        times = [point["seconds"] for point in one["points"]]
        assert len(times) == len(COMPARE_AT)
        assert all(early <= late for early, late in pairwise(times))
        assert all(time >= 0.3 * mark for time, mark in zip(times, COMPARE_AT, strict=True))
        stages = sum(one["ms_per_stage"].values())
        assert 0.5 * one["ms_per_step"] < stages <= 1.01 * one["ms_per_step"]
    plain, mined = (one["points"][-1] for one in facts)
    assert plain["kept_share"] == 1
    assert mined["kept_share"] < 1


def test_a_race_without_test_views_is_refused(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    with pytest.raises(SceneError, match="at least one test view"):
        next(race(replace(tiny_scene, test=()), tiny_config, ("plain",), (0,)))


def test_the_command_writes_table_plot_and_json_into_a_new_folder(
    tiny_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "race"
    flags = "--seconds 0.05 --seeds 2 --slice-seconds 0.05 --arms plain threshold --mining-maps"
    small = (
        "--field.levels 4 --field.log2-hashmap-size 10 --sampler.resolution 16 "
        "--sampler.steps-per-diagonal 64 --optim.target-samples 512"
    )
    assert main(["race", str(tiny_folder), "--out", str(out), *flags.split(), *small.split()]) == 0
    result = json.loads((out / "race.json").read_text())
    assert {(one["arm"], one["seed"]) for one in result["arms"]} == {
        (rule, seed) for rule in ("plain", "threshold") for seed in (0, 1)
    }
    assert result["protocol"]["scene"] == tiny_folder.name
    assert (out / "race.png").stat().st_size > 1000
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") == 2 * (1 + 2 * 2) + 2  # two views: a photograph, and each arm's two
    assert {file.stem for file in (out / "mining_maps").iterdir()} == {"overlay", "strip", "kept"}
    assert "| threshold |" in (out / "table.md").read_text()


@pytest.mark.parametrize("flags", ["--seeds 0", "--arms plain plain", "--steps 5"])
def test_senseless_races_are_refused(flags: str, tiny_folder: Path, capsys) -> None:
    assert main(["race", str(tiny_folder), *flags.split()]) == 1
    assert capsys.readouterr().err.startswith("orefield: ")
