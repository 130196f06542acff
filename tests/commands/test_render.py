"""`orefield render`: what is shown, from where, how large, and how it goes on."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from limits import small_files
from orefield.cameras.path_file import CameraPath, PathPose, write_path
from orefield.cameras.paths import look_at
from orefield.cli import main
from orefield.runs.folder import load_run


def render(run: Path, out: Path, *flags: str) -> int:
    return main(["render", str(run), "--out", str(out), *flags])


def pixels(file: Path) -> np.ndarray:
    with Image.open(file) as picture:
        return np.asarray(picture)


@pytest.fixture
def path_file(whole_run: Path, tmp_path: Path) -> Path:
    """Three frames round the middle of the run's box, in the coordinates of the files."""
    to_world = torch.tensor(load_run(whole_run).header.to_world, dtype=torch.float64)
    middle = to_world[:3, :3] @ torch.full((3,), 0.5).double() + to_world[:3, 3]
    up = torch.tensor([0.0, 0.0, 1.0]).double()
    frames = []
    for angle in (0.0, 1.0, 2.0):
        away = torch.tensor([math.cos(angle), math.sin(angle), 0.3]).double()
        pose = look_at(middle + 2 * float(to_world[0, 0]) * away, middle, up)
        frames.append(PathPose(pose, 40.0))
    file = tmp_path / "path.json"
    write_path(file, CameraPath(tuple(frames), 24, 16, fps=10.0))
    return file


def test_a_path_file_has_its_frames_size_and_rate(whole_run, tmp_path, path_file):
    assert render(whole_run, tmp_path / "out", "--path", str(path_file)) == 0
    files = sorted((tmp_path / "out").glob("*.png"))
    assert [pixels(file).shape for file in files] == [(16, 24, 3)] * 3
    assert (tmp_path / "out" / "video.mp4").exists()
    assert render(whole_run, tmp_path / "wide", "--path", str(path_file), "--width", "48") == 0
    assert pixels(tmp_path / "wide" / "0000.png").shape == (32, 48, 3)


@pytest.mark.parametrize("show", ["opacity", "normals", "error", "hardness"])
def test_every_kind_of_picture_is_written(whole_run, tmp_path, show):
    assert render(whole_run, tmp_path / show, "--path", "test", "--show", show) == 0
    picture = pixels(tmp_path / show / "0000.png")
    assert picture.shape[2] == 3
    assert picture.std() > 0


def test_rgba_over_a_color_is_the_color_picture(whole_run, tmp_path, path_file, capsys):
    flags = "--path", str(path_file)
    assert render(whole_run, tmp_path / "a", *flags, "--show", "rgba") == 0
    assert "no video: it would have no transparency" in capsys.readouterr().out
    assert render(whole_run, tmp_path / "b", *flags, "--background", "#ff0080") == 0
    rgba, over = (pixels(tmp_path / name / "0001.png") / 255 for name in "ab")
    alpha = rgba[..., 3:]
    want = rgba[..., :3] * alpha + (1 - alpha) * np.array([1.0, 0.0, 128 / 255])
    assert np.abs(want - over).max() < 3 / 255


def test_depth_is_also_written_in_the_files_units_and_in_16_bits(
    whole_run, tmp_path, path_file, capsys
):
    out = tmp_path / "out"
    assert render(whole_run, out, "--path", str(path_file), "--show", "depth") == 0
    said = capsys.readouterr().out
    scale = float(said.split("that over ")[1].split(",")[0])
    depth, held = np.load(out / "depth" / "0000.npy"), pixels(out / "depth" / "0000.png")
    assert depth.shape == held.shape == (16, 24)
    assert held.max() > 1000
    assert np.abs(held * scale - depth).max() <= scale
    # The camera is two sides of the box from its middle.
    side = load_run(whole_run).header.to_world[0][0]
    assert side < depth[depth > 0].min()
    assert depth.max() < 3.5 * side


def test_a_crop_hides_what_lies_outside(whole_run, tmp_path, path_file, capsys):
    flags = "--path", str(path_file), "--show", "opacity"
    to_world = torch.tensor(load_run(whole_run).header.to_world)
    corner, side = to_world[:3, 3], to_world[0, 0]

    def crop(low: float, high: float) -> list[str]:
        ends = torch.cat([corner + low * side, corner + high * side])
        return ["--crop", *(f"{value:.6f}" for value in ends.tolist())]

    assert render(whole_run, tmp_path / "all", *flags) == 0
    assert render(whole_run, tmp_path / "same", *flags, *crop(-0.1, 1.1)) == 0
    assert render(whole_run, tmp_path / "part", *flags, *crop(0.0, 0.3)) == 0
    whole, same, part = (pixels(tmp_path / n / "0000.png") for n in ("all", "same", "part"))
    assert np.array_equal(whole, same)
    assert part.astype(float).mean() < 0.7 * whole.mean()
    capsys.readouterr()
    assert render(whole_run, tmp_path / "none", *flags, *crop(5.0, 6.0)) == 1
    assert "outside of the scene" in capsys.readouterr().err


def test_a_stopped_film_goes_on_and_another_begins_anew(
    whole_run, tmp_path, path_file, capsys, monkeypatch
):
    import orefield.runs.painting as painting

    out, flags = tmp_path / "out", ("--path", str(path_file))
    once = painting.render_view
    calls = []

    def stopped(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return once(*args)

    monkeypatch.setattr(painting, "render_view", stopped)
    assert render(whole_run, out, *flags) == 130
    assert "1 of 3 frames are in" in capsys.readouterr().out
    first = (out / "0000.png").stat().st_mtime_ns
    assert render(whole_run, out, *flags) == 0
    assert "going on: 1 of 3 frames" in capsys.readouterr().out
    assert (out / "0000.png").stat().st_mtime_ns == first
    (out / "notes.txt").write_text("mine")
    assert render(whole_run, out, *flags, "--show", "opacity") == 0
    assert (out / "0000.png").stat().st_mtime_ns != first
    assert (out / "notes.txt").read_text() == "mine"
    assert json.loads((out / "render.json").read_text())["show"] == "opacity"


def test_a_full_disk_keeps_the_frames_made_and_the_same_command_goes_on(
    whole_run, tmp_path, path_file, capsys
):
    out, flags = tmp_path / "out", ("--path", str(path_file), "--width", "96")
    with small_files(1000):
        assert render(whole_run, out, *flags) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{out}/000" in said
    assert render(whole_run, out, *flags) == 0
    frames = {file.name: file.read_bytes() for file in out.glob("*.png")}
    video = (out / "video.mp4").read_bytes()
    assert len(frames) == 3
    with small_files(len(video) // 2):
        assert render(whole_run, out, *flags) == 1
    assert f"{out}/video.mp4" in capsys.readouterr().err
    assert (out / "video.mp4").read_bytes() == video
    assert {file.name for file in out.iterdir()} == {*frames, "video.mp4", "render.json"}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--show", "error"], "show=error needs photographs: it goes with --path test"),
        (["--path", "x.txt"], "path must be orbit, test or a .json file, got 'x.txt'"),
        (["--path", "no.json"], "no.json: no such file"),
        (["--background", "blue"], "background must be white, black or #rrggbb, got 'blue'"),
        (["--path", "test", "--width", "9", "--height", "9"], "test views keep their proportions"),
    ],
)
def test_bad_input_is_one_line(whole_run, tmp_path, capsys, flags, message):
    assert render(whole_run, tmp_path / "out", *flags) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda facts: facts.pop("camera_path"), "'camera_path' must be a list"),
        (lambda facts: facts["camera_path"][1].update(fov=float("nan")), "camera_path[1]: 'fov'"),
        (
            lambda facts: facts["camera_path"][0]["camera_to_world"].__setitem__(3, float("inf")),
            "camera_path[0]: 'camera_to_world' must be 16 finite numbers",
        ),
        (lambda facts: facts.update(camera_type="fisheye"), "'camera_type' is 'fisheye'"),
        (lambda facts: facts.update(render_width=0), "'render_width' must be a number from 1"),
    ],
)
def test_a_damaged_path_names_its_field(whole_run, tmp_path, path_file, capsys, spoil, message):
    facts = json.loads(path_file.read_text())
    spoil(facts)
    path_file.write_text(json.dumps(facts))
    assert render(whole_run, tmp_path / "out", "--path", str(path_file)) == 1
    assert f"path.json: {message}" in capsys.readouterr().err
