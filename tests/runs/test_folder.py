"""Laws of run folders: complete at any time, never another's, and read back as written."""

import dataclasses
import json
import os
from pathlib import Path

import pytest
import safetensors
import safetensors.torch
import torch

from limits import small_files
from orefield.config import FieldConfig, RunConfig
from orefield.errors import RunError
from orefield.rendering.render import render_view
from orefield.runs.folder import create_run, load_run, load_trainer, save_run
from orefield.runs.header import RunHeader, header_of, read_config
from orefield.runs.scene_digest import SceneDigest
from orefield.scenes import Scene
from orefield.training.trainer import Trainer

WORLD = ((2.0, 0.0, 0.0, -1.0), (0.0, 2.0, 0.0, -1.0), (0.0, 0.0, 2.0, -1.0), (0.0, 0.0, 0.0, 1.0))
VIEWS = SceneDigest(6, 2, 11, 22, tuple(i / 8 for i in range(24)))
HEADER = RunHeader("/some/scene", 0.25, 4, WORLD, RunConfig(seed=7), VIEWS, "7" * 32)


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


def test_overwriting_removes_a_link_to_pictures_and_not_where_it_leads(trained, tmp_path) -> None:
    folder, _ = trained
    (tmp_path / "album").mkdir()
    (tmp_path / "album" / "holiday.png").write_bytes(b"precious")
    (folder / "renders").symlink_to(tmp_path / "album", target_is_directory=True)
    (folder / "plots").symlink_to(tmp_path / "nowhere")
    create_run(folder, HEADER, overwrite=True)
    assert [path.name for path in folder.iterdir()] == ["config.json"]
    assert (tmp_path / "album" / "holiday.png").read_bytes() == b"precious"


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


def test_a_name_that_could_not_be_opened_again_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")  # as in an old archive
    with pytest.raises(RunError, match=r"caf\\udce9: is no valid UTF-8"):
        create_run(folder, HEADER)
    assert not any(tmp_path.iterdir())


def test_no_space_leaves_the_last_save_whole(trained) -> None:
    """The operating system refuses files above a limit, in the middle of a write."""
    folder, trainer = trained
    before = contents(folder)
    trainer.advance()
    with small_files(), pytest.raises(OSError, match=r"too large.*state\.safetensors"):
        save_run(folder, trainer)
    assert contents(folder) == before


@pytest.mark.parametrize("version", [1, 2])
def test_a_run_of_an_older_version_names_the_version_that_reads_it(trained, version: int) -> None:
    folder, _ = trained
    edit(folder / "config.json", format=version)
    with pytest.raises(RunError) as refused:
        load_run(folder)
    line = f"'format' is {version}, this version reads 6; orefield 0.1.0 reads it"
    assert str(refused.value) == f"{folder / 'config.json'}: {line}"


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 99}, "'format' is 99, this version reads 6; a newer orefield reads it"),
        ({"format": None}, "'format' is missing"),
        ({"scene": 3}, "'scene' is missing or of the wrong kind"),
        ({"near": "close"}, "'near' is missing or of the wrong kind"),
        ({"to_world": None}, "'to_world' is missing or of the wrong kind"),
        ({"background_extent": 1.5}, "'background_extent' is missing or of the wrong kind"),
        ({"config": {"mining": {"rule": "luck"}}}, r"mining\.rule must be one of plain"),
        ({"config": {"color": 1}}, "unknown setting color"),
        ({"config": {"optim": {"lr": 10**400}}}, r"optim\.lr must be a number below 1e308"),
        ({"format": True}, "'format' is missing or of the wrong kind"),
        ({"scene": "a\0b"}, "'scene' is missing or of the wrong kind"),
        ({"near": 10**400}, "'near' is missing or of the wrong kind; expected a number from 0"),
        ({"near": -0.1}, "'near' is missing or of the wrong kind"),
        ({"near": True}, "'near' is missing or of the wrong kind"),
        ({"near": float("nan")}, "not readable as JSON: NaN is no number in JSON"),
        ({"background_extent": 3}, "'background_extent' .* expected a power of two up to 128"),
        ({"background_extent": True}, "'background_extent' is missing or of the wrong kind"),
        ({"to_world": [[1.0] * 4] * 3}, "'to_world' .* expected 4 rows of 4 finite numbers"),
        ({"to_world": [[1.0] * 3 + [10**400]] * 4}, "'to_world' is missing or of the wrong kind"),
        ({"to_world": [{}] * 4}, "'to_world' is missing or of the wrong kind"),
        ({"run": "../x"}, "'run' is missing or of the wrong kind"),
        ({"views": {}}, "'views' is missing or of the wrong kind"),
        ({"frustum": 3}, "'frustum' is missing or of the wrong kind; expected null, or 17 numbers"),
        ({"frustum": [0.0] * 17}, "'frustum' is missing or of the wrong kind"),
        ({"frustum": [*[0.5] * 14, 1, 1, True]}, "'frustum' is missing or of the wrong kind"),
        ({"frustum": [*[0.5] * 14, 1, 1, 0.5]}, "'background_extent' .* 1 beside a frustum"),
    ],
    ids=str,
)
def test_bad_headers_name_the_file_and_the_field(tmp_path: Path, changes, message) -> None:
    create_run(tmp_path / "run", HEADER)
    edit(tmp_path / "run" / "config.json", **changes)
    with pytest.raises(RunError, match=rf"config\.json: {message}"):
        read_config(tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "message"), [('{"format": 4,', "not readable as JSON"), ("[1]", "expected a JSON obj")]
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


def test_equal_runs_have_one_name_and_others_another(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    run = header_of(tiny_scene, tiny_config).run
    for how in (
        {"threads": 1},
        {"device": "cpu"},
        {"save_every": 1.0},
        {"eval_every": 1.0},
        {"lpips": "vgg"},
    ):
        assert header_of(tiny_scene, dataclasses.replace(tiny_config, **how)).run == run
    for what in ({"seed": 1}, {"steps": 13}, {"field": FieldConfig(levels=5)}):
        assert header_of(tiny_scene, dataclasses.replace(tiny_config, **what)).run != run
    fewer = dataclasses.replace(tiny_scene, train=tiny_scene.train[1:])
    assert header_of(fewer, tiny_config).run != run


@pytest.mark.parametrize("name", ["rays", "samples", "step", "device", "hints"])
@pytest.mark.parametrize("value", [-1, 2**60, 10**400, "x", None, 1.5, [0, 10**9]], ids=str)
def test_facts_that_no_training_gives_are_refused(
    name: str, value: object, trained, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """Some of them say how large buffers are."""
    folder, _ = trained
    path = folder / "state.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        entry = json.loads(file.metadata()["orefield"])
    facts = entry["facts"]
    (facts["training_step"] if name == "hints" else facts)[name] = value
    safetensors.torch.save_file(tensors, path, {"orefield": json.dumps(entry)})
    with pytest.raises(RunError, match=rf"state\.safetensors: '(training_step/)?{name}' is "):
        load_trainer(folder, Trainer(tiny_scene, tiny_config))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_tensors_that_are_not_finite_are_named(trained, value: float) -> None:
    folder, _ = trained
    path = folder / "field.safetensors"
    with safetensors.safe_open(path, "pt") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        facts = file.metadata()
    tensors["sampler/densities"][0, 1, 2, 3] = value
    safetensors.torch.save_file(tensors, path, facts)
    with pytest.raises(RunError, match=r"tensor 'sampler/densities' holds numbers that are not f"):
        load_run(folder)
