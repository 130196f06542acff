"""Laws of run folders: complete at any time, never another's, and read back as written."""

import dataclasses
import json
import resource
from pathlib import Path

import pytest
import torch

from orefield.config import FieldConfig, RunConfig
from orefield.errors import RunError
from orefield.rendering.render import render_view
from orefield.runs.folder import (
    RunHeader,
    create_run,
    header_of,
    load_run,
    load_trainer,
    read_config,
    save_run,
)
from orefield.scenes import Scene
from orefield.training.trainer import Trainer

WORLD = ((2.0, 0.0, 0.0, -1.0), (0.0, 2.0, 0.0, -1.0), (0.0, 0.0, 2.0, -1.0), (0.0, 0.0, 0.0, 1.0))
HEADER = RunHeader("/some/scene", 0.25, 4, WORLD, RunConfig(seed=7))


@pytest.fixture
def trained(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> tuple[Path, Trainer]:
    """A run folder, saved after three steps, and its trainer at that moment."""
    folder, trainer = tmp_path / "run", Trainer(tiny_scene, tiny_config)
    create_run(folder, header_of(tiny_scene, trainer.config))
    for _ in range(3):
        trainer.advance()
    save_run(folder, trainer)
    return folder, trainer


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_saved_field_renders_identically(trained, tiny_scene: Scene) -> None:
    folder, trainer = trained
    run, view = load_run(folder), tiny_scene.test[0]
    before, after = (
        render_view(part.field, part.sampler, view.camera, view.pose, 1.0)
        for part in (trainer, run)
    )
    for name in ("color", "opacity", "depth", "median"):
        assert torch.equal(getattr(before, name), getattr(after, name))
    assert run.header == header_of(tiny_scene, trainer.config)


def test_a_header_survives_its_file(tmp_path: Path) -> None:
    create_run(tmp_path / "run", HEADER)
    assert read_config(tmp_path / "run") == HEADER


def test_a_folder_with_a_run_is_refused_and_overwriting_removes_just_the_run(trained) -> None:
    folder, _ = trained
    for name in ("renders", "plots", "mining_maps"):
        (folder / name).mkdir()
        (folder / name / "old.png").write_bytes(b"")
    (folder / "metrics.json").write_text("{}")
    (folder / "notes.txt").write_text("mine")
    before = sorted(folder.rglob("*"))
    with pytest.raises(RunError, match=r"run: holds another run; .*--overwrite"):
        create_run(folder, HEADER)
    assert sorted(folder.rglob("*")) == before
    create_run(folder, HEADER, overwrite=True)
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "notes.txt"]


def test_a_folder_with_other_files_is_refused_and_overwriting_keeps_them(tmp_path: Path) -> None:
    (tmp_path / "renders").mkdir()
    (tmp_path / "renders" / "holiday.png").write_bytes(b"precious")
    with pytest.raises(RunError, match="holds other files"):
        create_run(tmp_path, HEADER)
    create_run(tmp_path, HEADER, overwrite=True)
    assert (tmp_path / "renders" / "holiday.png").read_bytes() == b"precious"


def test_a_file_where_the_folder_should_be_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="run: is a file"):
        create_run(tmp_path / "run", HEADER, overwrite=True)


def test_no_space_leaves_the_last_save_whole(trained) -> None:
    """The operating system refuses files above a limit, in the middle of a write."""
    folder, trainer = trained
    before = contents(folder)
    trainer.advance()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"too large.*state\.safetensors"):
            save_run(folder, trainer)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert contents(folder) == before


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_older_version_names_the_version_that_reads_it(trained, version: int) -> None:
    folder, _ = trained
    edit(folder / "config.json", format=version)
    with pytest.raises(RunError) as refused:
        load_run(folder)
    line = f"'format' is {version}, this version reads 3; orefield 0.1.0 reads it"
    assert str(refused.value) == f"{folder / 'config.json'}: {line}"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "'format' is 99, this version reads 3; a newer orefield reads it"),
        ({"format": None}, "'format' is missing"),
        ({"scene": 3}, "'scene' is missing or of the wrong kind"),
        ({"near": "close"}, "'near' is missing or of the wrong kind"),
        ({"to_world": None}, "'to_world' is missing or of the wrong kind"),
        ({"background_extent": 1.5}, "'background_extent' is missing or of the wrong kind"),
        ({"config": {"mining": {"rule": "luck"}}}, r"mining\.rule must be one of plain"),
        ({"config": {"color": 1}}, "unknown setting color"),
    ],
    ids=str,
)
def test_bad_headers_name_the_file_and_the_field(tmp_path: Path, changes, message) -> None:
    create_run(tmp_path / "run", HEADER)
    edit(tmp_path / "run" / "config.json", **changes)
    with pytest.raises(RunError, match=rf"config\.json: {message}"):
        read_config(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"), [('{"format": 3,', "not readable as JSON"), ("[1]", "expected a JSON obj")]
)
def test_malformed_json_is_named(tmp_path: Path, text: str, message: str) -> None:
    create_run(tmp_path / "run", HEADER)
    (tmp_path / "run" / "config.json").write_text(text)
    with pytest.raises(RunError, match=rf"config\.json: {message}"):
        read_config(tmp_path / "run")


def test_missing_files_and_folders_are_named(trained, tmp_path: Path) -> None:
    folder, _ = trained
    for name in ("field.safetensors", "config.json"):
        (folder / name).unlink()
        with pytest.raises(RunError, match=f"{name}: missing"):
            load_run(folder)
    with pytest.raises(RunError, match="nowhere: no such run folder"):
        load_run(tmp_path / "nowhere")


def test_state_of_other_settings_is_refused(
    trained, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder, _ = trained
    field = dataclasses.replace(tiny_config.field, levels=5)
    other = Trainer(tiny_scene, dataclasses.replace(tiny_config, field=field))
    with pytest.raises(RunError, match=r"state\.safetensors: tensor .* these settings need"):
        load_trainer(folder, other)
    header = header_of(tiny_scene, dataclasses.replace(tiny_config, field=FieldConfig(kind="nerf")))
    edit(folder / "config.json", config=dataclasses.asdict(header.config))
    with pytest.raises(RunError, match=r"field\.safetensors: tensor .* is missing"):
        load_run(folder)
