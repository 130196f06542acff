import dataclasses
import json
import resource
from pathlib import Path

import pytest
import safetensors.torch
import torch

from orefield.runs.folder import (
    RunHeader,
    create_run,
    header_of,
    load_run,
    read_config,
    resume_run,
    save_run,
    write_json,
)
from orefield.config import FieldConfig, RunConfig
from orefield.errors import RunError
from orefield.rendering.render import render_view
from orefield.scenes import Scene
from orefield.training.trainer import Trainer, fit

WORLD = ((2.0, 0.0, 0.0, -1.0), (0.0, 2.0, 0.0, -1.0), (0.0, 0.0, 2.0, -1.0), (0.0, 0.0, 0.0, 1.0))


@pytest.fixture
def trained(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> tuple[Path, Trainer]:
    """A run folder, saved half-way, and its trainer at that moment."""
    folder = tmp_path / "run"
    trainer = Trainer(tiny_scene, tiny_config)
    create_run(folder, header_of(tiny_scene, "tiny", trainer.config))
    for _ in range(tiny_config.steps // 2):
        trainer.advance()
    save_run(folder, trainer)
    return folder, trainer


def state_of(trainer: Trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.state()[0].items()}


def test_a_saved_field_renders_identically(trained, tiny_scene: Scene) -> None:
    folder, trainer = trained
    run = load_run(folder)
    view = tiny_scene.test[0]
    before = render_view(trainer.field, trainer.sampler, view.camera, view.pose, 1.0)
    after = render_view(run.field, run.sampler, view.camera, view.pose, 1.0)
    for name in ("color", "opacity", "depth"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert run.header == header_of(tiny_scene, "tiny", trainer.config)


def test_stop_and_resume_equals_an_uninterrupted_run(
    trained, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder, uninterrupted = trained
    resumed = Trainer(tiny_scene, tiny_config)
    resume_run(folder, resumed)
    assert resumed.step == tiny_config.steps // 2
    losses = [[step.loss for step in fit(trainer)] for trainer in (uninterrupted, resumed)]
    assert losses[0] == losses[1]
    assert len(losses[0]) == tiny_config.steps // 2
    one, other = state_of(uninterrupted), state_of(resumed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_settings_survive_the_round_trip(tmp_path: Path, tiny_config: RunConfig) -> None:
    header = RunHeader("/some/scene", 0.25, 4, WORLD, tiny_config)
    create_run(tmp_path / "run", header)
    assert read_config(tmp_path / "run") == header


def test_a_folder_with_a_run_is_refused_unless_overwritten(trained, tiny_config: RunConfig) -> None:
    folder, _ = trained
    (folder / "renders").mkdir()
    (folder / "renders" / "old.png").write_bytes(b"")
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match=r"run: holds another run; .*--overwrite"):
        create_run(folder, RunHeader("tiny", 0.1, 1, WORLD, tiny_config))
    assert (folder / "field.safetensors").exists()
    create_run(folder, RunHeader("tiny", 0.1, 1, WORLD, tiny_config), overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "notes.txt"]


def test_a_folder_with_other_files_is_refused_and_overwrite_keeps_them(
    tmp_path: Path, tiny_config: RunConfig
) -> None:
    (tmp_path / "renders").mkdir()
    (tmp_path / "renders" / "holiday.png").write_bytes(b"precious")
    with pytest.raises(RunError, match="holds other files"):
        create_run(tmp_path, RunHeader("tiny", 0.1, 1, WORLD, tiny_config))
    create_run(tmp_path, RunHeader("tiny", 0.1, 1, WORLD, tiny_config), overwrite=True)
    assert (tmp_path / "renders" / "holiday.png").read_bytes() == b"precious"


def test_a_file_in_the_folders_place_is_refused(tmp_path: Path, tiny_config: RunConfig) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="run: is a file"):
        create_run(tmp_path / "run", RunHeader("tiny", 0.1, 1, WORLD, tiny_config), overwrite=True)


def test_no_space_leaves_the_last_save_whole(trained) -> None:
    """The operating system refuses files above a limit, in the middle of a write."""
    folder, trainer = trained
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    trainer.advance()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            save_run(folder, trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_numbers_that_are_not_json_are_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"psnr": float("nan")})
    assert list(tmp_path.iterdir()) == []


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"format": 99},
            r"config\.json: 'format' is 99, written by orefield 0.*; this version reads",
        ),
        ({"format": None}, r"config\.json: 'format' is missing"),
        ({"scene": 3}, r"config\.json: 'scene' is missing or of the wrong kind"),
        ({"near": "close"}, r"config\.json: 'near' is missing or of the wrong kind"),
        (
            {"config": {"mining": {"rule": "luck"}}},
            r"config\.json: mining\.rule must be one of plain",
        ),
        ({"config": {"color": 1}}, r"config\.json: unknown setting color"),
    ],
)
def test_bad_headers_name_the_file_and_the_field(trained, changes, message) -> None:
    folder, _ = trained
    edit(folder / "config.json", **changes)
    with pytest.raises(RunError, match=message):
        load_run(folder)


@pytest.mark.parametrize("name", ["config.json", "field.safetensors"])
def test_missing_files_are_named(trained, name: str) -> None:
    folder, _ = trained
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{name}: missing"):
        load_run(folder)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        load_run(tmp_path / "nowhere")


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_truncated_tensors_are_damage_in_a_named_file(trained, keep: int) -> None:
    folder, _ = trained
    path = folder / "field.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"field\.safetensors: damaged"):
        load_run(folder)


def test_malformed_json_is_named(trained) -> None:
    folder, _ = trained
    (folder / "config.json").write_text('{"format": 1,')
    with pytest.raises(RunError, match=r"config\.json: not JSON"):
        load_run(folder)
    (folder / "config.json").write_text("[1]")
    with pytest.raises(RunError, match=r"config\.json: expected a JSON object, got list"):
        load_run(folder)


def test_a_tensor_of_the_wrong_shape_or_absent_is_named(trained) -> None:
    folder, _ = trained
    path = folder / "field.safetensors"
    tensors = safetensors.torch.load_file(path)
    wrong = {**tensors, "field.table": torch.zeros(3, 2)}
    safetensors.torch.save_file(wrong, path, {"facts": "{}"})
    with pytest.raises(
        RunError, match=r"safetensors: tensor 'field\.table' is .*\[3, 2\]; .* need"
    ):
        load_run(folder)
    del tensors["sampler.occupied"]
    safetensors.torch.save_file(tensors, path, {"facts": "{}"})
    with pytest.raises(RunError, match=r"safetensors: tensor 'sampler\.occupied' is missing"):
        load_run(folder)


def test_state_of_other_settings_is_refused(
    trained, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder, _ = trained
    field = FieldConfig(
        levels=5, log2_hashmap_size=10, base_resolution=4, max_resolution=32, width=16
    )
    other = Trainer(tiny_scene, dataclasses.replace(tiny_config, field=field))
    with pytest.raises(RunError, match=r"state\.safetensors: tensor .* these settings need"):
        resume_run(folder, other)


def test_state_without_its_facts_is_refused(
    trained, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder, _ = trained
    path = folder / "state.safetensors"
    tensors = safetensors.torch.load_file(path)
    for header, message in (({}, "lacks 'facts'"), ({"facts": '{"step": 1}'}, "lacks 'ahead'")):
        safetensors.torch.save_file(tensors, path, header)
        with pytest.raises(RunError, match=message):
            resume_run(folder, Trainer(tiny_scene, tiny_config))
