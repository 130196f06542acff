"""The benchmarks measure what they say, and notice an op that is wrong."""

import dataclasses
import json
import time
from pathlib import Path

import pytest
import torch

from orefield.bench import ops, run
from orefield.bench.ops import TimeBudget, bench_ops, copy_bandwidth, header, interleaved
from orefield.bench.ops_cases import cases
from orefield.bench.run import bench_run
from orefield.cli import main
from orefield.config import OptimConfig, RunConfig, SceneFacts, resolve_preset
from orefield.errors import SceneError
from orefield.ops.cpu import volume_rendering
from orefield.runs.schedule import COMPARE_AT
from orefield.scenes import Scene

CPU = torch.device("cpu")
QUICK = TimeBudget(seconds=0.001, fewest=1, most=1)
OPS = {
    "march", "march_fixed", "hash_grid", "hash_grid_backward", "volume_rendering",
    "volume_rendering_backward", "transmittance", "compact", "sparse_adam",
}  # fmt: skip


@pytest.fixture
def config(tiny_config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> RunConfig:
    monkeypatch.setattr(run, "PROBE", 256)
    monkeypatch.setattr(ops, "_COPY", {"cpu": 2**22})
    small = dataclasses.replace(tiny_config, optim=OptimConfig(target_samples=512))
    return resolve_preset(small, SceneFacts())[0]


def test_every_op_agrees_with_its_definition(config: RunConfig) -> None:
    rows = list(bench_ops(config, CPU, QUICK))
    assert {row["op"] for row in rows} == OPS
    for row in rows:
        assert row["agrees"], row
        assert row["times_faster"] == pytest.approx(row["definition_ms"] / row["ms"])
        assert row["gigabytes_per_second"] == pytest.approx(row["bytes"] / row["ms"] / 1e6)
        assert row["share_of_copy"] > 0
    json.dumps(rows, allow_nan=False)


def test_a_wrong_op_is_noticed(config: RunConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    right = volume_rendering.backward
    monkeypatch.setattr(volume_rendering, "backward", lambda *inputs: 1.001 * right(*inputs))
    wrong = {row["op"] for row in bench_ops(config, CPU, QUICK) if not row["agrees"]}
    assert wrong == {"volume_rendering_backward"}


def test_inputs_are_of_the_size_of_a_step(config: RunConfig) -> None:
    found = {case.name: case for case in cases(config, CPU)}
    (features,) = found["hash_grid"].run(found["hash_grid"].make())
    assert 0.5 * 512 < features.shape[1] < 1.5 * 512


def test_times_are_medians_taken_in_turns() -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        time.sleep(0.004)

    found = interleaved(
        {"slow": slow, "fast": lambda: order.append("fast")}, CPU, TimeBudget(10.0, 1, 3)
    )
    assert order == ["slow", "fast"] * 4  # the first go warms up
    assert found["fast"] < 0.004 <= found["slow"]


def test_the_header_names_the_device_and_what_runs_there(config: RunConfig) -> None:
    about = header(config, CPU)
    assert about["device"].startswith("cpu: ")
    assert about["twin"] == "cpu"
    assert copy_bandwidth(CPU, QUICK) > 1e8


def test_a_run_is_measured_by_its_own_clock(tiny_scene: Scene, config: RunConfig) -> None:
    config = dataclasses.replace(config, steps=20)
    facts = bench_run(tiny_scene, config, (5.0, 90.0))
    assert facts["ms_per_step"] == pytest.approx(1e3 * facts["seconds"] / 20)
    points = facts["points"]
    first = [next(s for s in range(1, 21) if s / 20 >= share) for share in COMPARE_AT]
    assert [point["steps"] for point in points] == first
    times = [point["seconds"] for point in points]
    assert times == sorted(times)
    assert times[-1] <= facts["seconds"]
    assert facts["seconds_to_psnr"]["5"] is not None
    assert facts["seconds_to_psnr"]["90"] is None
    assert len(facts["psnr_at"]) == 3
    assert 0 < facts["kept_share"] < 1
    assert facts["memory"]["peak_bytes"] > 0
    json.dumps(facts, allow_nan=False)
    with pytest.raises(SceneError, match="at least one test view"):
        bench_run(dataclasses.replace(tiny_scene, test=()), config, ())


SMALL = "--field.levels 4 --field.log2-hashmap-size 10 --optim.target_samples 512 --device cpu"


def test_the_commands_print_their_result_as_the_last_line(
    tiny_folder: Path, tmp_path: Path, config: RunConfig, capsys
) -> None:
    out = tmp_path / "new" / "ops.json"
    words = ["bench", "ops", "--op-seconds", "0.001", "--out", str(out), *SMALL.split()]
    assert main(words) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert json.loads(last) == json.loads(out.read_text())
    assert {row["op"] for row in json.loads(last)["ops"]} == OPS
    grid = "--sampler.resolution 16 --sampler.steps_per_diagonal 64 --steps 6 --psnr 5 6"
    assert main(["bench", "run", str(tiny_folder), *grid.split(), *SMALL.split()]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["steps"] == 6
    assert set(result["seconds_to_psnr"]) == {"5", "6"}


def test_a_benchmark_of_nothing_known_is_refused(capsys) -> None:
    assert main(["bench", "ops", "--op-seconds", "0"]) == 1
    assert "op_seconds must be positive" in capsys.readouterr().err
    assert main(["bench", "ops", "--device", "cuda:99"]) == 1
    assert "device 'cuda:99' is not there" in capsys.readouterr().err
