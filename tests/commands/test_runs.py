"""Laws of the commands that make and read run folders."""

import errno
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from orefield.cli import main
from orefield.commands.train import free_folder
from orefield.runs import loop
from orefield.training.trainer import StepStats, fit


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_train_writes_a_whole_run_folder(whole_run: Path, tiny_folder: Path) -> None:
    files = {str(file.relative_to(whole_run)) for file in whole_run.rglob("*") if file.is_file()}
    assert files == {
        *("config.json", "metrics.json", "metrics.jsonl", "report.html"),
        *("field.safetensors", "state.safetensors"),
        *("plots/kept.png", "plots/psnr.png"),
        *("renders/contact.png", "renders/test_r_0.png", "renders/test_r_1.png"),
        *(f"mining_maps/{name}.png" for name in ("overlay", "strip", "kept")),
    }
    facts = metrics(whole_run)
    assert facts["protocol"]["scene"] == tiny_folder.name
    training, test = facts["training"], facts["test"]
    assert training["steps"] == 12
    assert len(training["points"]) == 12
    assert all(0 < point["kept_share"] <= 1 for point in training["points"])
    # Early evaluations may be left out of so short a run; the last never is.
    assert training["evaluations"][-1]["step"] == 12
    assert training["peak_memory_bytes"] >= training["peak_memory_before_training_bytes"] > 0
    assert test["psnr"] == pytest.approx(sum(view["psnr"] for view in test["views"]) / 2)


def test_eval_gives_the_same_scores_again(trained: Path) -> None:
    before = metrics(trained)
    (trained / "renders" / "test_r_1.png").unlink()
    assert main(["eval", str(trained)]) == 0
    assert metrics(trained) == before
    assert (trained / "renders" / "test_r_1.png").exists()
    (trained / "metrics.json").unlink()
    assert main(["eval", str(trained)]) == 0
    assert metrics(trained) == {**before, "training": None}


def test_lpips_is_scored_and_told_where_asked_for(trained: Path, capsys) -> None:
    before = metrics(trained)
    assert main(["eval", str(trained), "--lpips", "vgg"]) == 0
    test = metrics(trained)["test"]
    assert f"SSIM, {test['lpips']:.4f} LPIPS (vgg)\n" in capsys.readouterr().out
    assert test["lpips"] == pytest.approx(sum(view["lpips"] for view in test["views"]) / 2)
    assert test["psnr"] == before["test"]["psnr"]
    assert "VGG16" in metrics(trained)["protocol"]["lpips"]
    assert main(["eval", str(trained), "--lpips", "alex"]) == 1
    assert "expected at least 31 x 31, as LPIPS needs with alex" in capsys.readouterr().err
    assert metrics(trained)["test"] == test
    assert main(["eval", str(trained), "--lpips", "none"]) == 0
    assert metrics(trained) == before


def test_a_run_is_trained_with_lpips_and_tensorboard(
    tiny_folder: Path, tmp_path: Path, tiny_flags, capsys
) -> None:
    run = tmp_path / "run"
    flags = ["--lpips", "vgg", "--log", "tensorboard", *tiny_flags]
    assert main(["train", str(tiny_folder), "--out", str(run), *flags]) == 0
    assert "LPIPS (vgg), mean of all test views" in capsys.readouterr().out
    assert metrics(run)["test"]["views"][1]["lpips"] > 0
    assert len(list((run / "tensorboard").iterdir())) == 1


@pytest.mark.parametrize("flags", [["--path", "test"], ["--frames", "3", "--show", "depth"]])
def test_render_writes_frames_of_the_given_width(whole_run: Path, tmp_path: Path, flags) -> None:
    out = tmp_path / "pictures"
    assert main(["render", str(whole_run), "--out", str(out), "--width", "12", *flags]) == 0
    names = sorted(file.name for file in out.glob("*.png"))
    assert names == [f"{i:04d}.png" for i in range(2 if "test" in flags else 3)]
    with Image.open(out / names[0]) as picture:
        assert picture.size == (12, 12)
    assert (out / "video.mp4").stat().st_size > 0


def test_render_makes_no_video_of_single_pixels(trained, capsys) -> None:
    assert main(["render", str(trained), "--frames", "1", "--width", "1"]) == 0
    assert "no video: that needs frames of 2 x 2 pixels" in capsys.readouterr().out


def test_render_without_the_video_extra_says_how_to_get_it(trained, monkeypatch, capsys) -> None:
    monkeypatch.setattr("orefield.report.video.can_write_video", lambda: False)
    assert main(["render", str(trained), "--frames", "1"]) == 0
    assert "no video: that needs pip install 'orefield[video]'" in capsys.readouterr().out
    assert (trained / "renders" / "orbit" / "0000.png").exists()


def test_ctrl_c_saves_and_resume_ends_where_an_uninterrupted_run_does(
    tiny_folder: Path, tmp_path: Path, ends_as_whole, tiny_flags, monkeypatch, capsys
) -> None:
    """The other run was trained by another call: so training twice gives the same field, too."""

    def interrupted(trainer) -> Iterator[StepStats]:
        for stats in fit(trainer):
            if stats.step == 5:
                signal.raise_signal(signal.SIGINT)
            yield stats

    run = tmp_path / "stopped run"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", interrupted)
        assert main(["train", str(tiny_folder), "--out", str(run), *tiny_flags]) == 130
    printed = capsys.readouterr().out
    assert "stopped after 5 steps and saved" in printed
    assert f"orefield resume '{run}'" in printed
    assert not (run / "renders").exists()
    assert "test" not in metrics(run)
    assert main(["resume", str(run)]) == 0
    assert "going on after 5 steps" in capsys.readouterr().out
    ends_as_whole(run)


def test_a_second_ctrl_c_stops_at_once(
    tiny_folder: Path, tmp_path: Path, tiny_flags, monkeypatch, capsys
) -> None:
    def impatient(trainer) -> Iterator[StepStats]:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield from fit(trainer)

    monkeypatch.setattr(loop, "fit", impatient)
    assert main(["train", str(tiny_folder), "--out", str(tmp_path / "run"), *tiny_flags]) == 130
    assert capsys.readouterr().err == "orefield: stopped\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_of_a_finished_run_needs_a_new_budget(trained: Path, capsys) -> None:
    assert main(["resume", str(trained)]) == 1
    assert "has used its budget (12 steps" in capsys.readouterr().err
    assert main(["resume", str(trained), "--steps", "15"]) == 0
    assert metrics(trained)["training"]["steps"] == 15


def test_train_refuses_a_used_folder_and_leaves_it(
    trained: Path, tiny_folder: Path, tiny_flags, capsys
) -> None:
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    words = ["train", str(tiny_folder), "--out", str(trained), *tiny_flags, "--seed", "1"]
    assert main(words) == 1
    assert "holds another run; choose a new folder or pass --overwrite" in capsys.readouterr().err
    assert {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()} == before


def test_a_full_disk_is_one_line_and_the_run_so_far_survives(
    trained: Path, monkeypatch, capsys
) -> None:
    before = {file: file.read_bytes() for file in trained.iterdir() if file.is_file()}
    write = os.write

    def full(file: int, data: memoryview) -> int:
        if len(data) > 40_000:  # config.json still fits
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(file, data)

    monkeypatch.setattr(os, "write", full)
    assert main(["resume", str(trained), "--steps", "14"]) == 1
    error = capsys.readouterr().err
    assert "run: the last save, after step 14, failed: [Errno 28] No space left on device" in error
    assert error.endswith("the save after step 12 remains\n")
    assert error.count("\n") == 1
    after = {file: file.read_bytes() for file in trained.iterdir() if file.is_file()}
    assert after.keys() == before.keys()
    assert {file.name for file in before if before[file] != after[file]} == {
        *("config.json", "metrics.jsonl")
    }


def test_an_old_run_is_one_line_that_says_what_reads_it(trained: Path, capsys) -> None:
    config = trained / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "format": 2}))
    for command in ("resume", "eval", "render"):
        assert main([command, str(trained)]) == 1
        error = capsys.readouterr().err
        assert error.endswith("'format' is 2, this version reads 6; orefield 0.1.0 reads it\n")
        assert error.count("\n") == 1


def test_a_free_folder_never_holds_anything(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("lego", "lego-2", "lego-3"):
        folder = free_folder("lego")
        assert folder == Path("runs") / expected
        folder.mkdir(parents=True)


@pytest.mark.parametrize("command", ["eval", "render"])
def test_pictures_are_not_written_through_a_link(
    trained: Path, tmp_path: Path, capsys, command
) -> None:
    shutil.rmtree(trained / "renders")
    (tmp_path / "elsewhere").mkdir()
    (trained / "renders").symlink_to(tmp_path / "elsewhere")
    assert main([command, str(trained)]) == 1
    assert "renders: is a link; expected a folder, or none" in capsys.readouterr().err
    assert not any((tmp_path / "elsewhere").iterdir())
    assert (
        main(["render", str(trained), "--frames", "1", "--out", str(tmp_path / "elsewhere")]) == 0
    )


def test_every_command_is_told_where_a_moved_scene_is(
    trained: Path, tiny_folder: Path, tmp_path: Path, capsys
) -> None:
    place = Path(shutil.copytree(tiny_folder, tmp_path / "moved scene"))
    facts = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**facts, "scene": str(tmp_path / "gone")}))
    flags = {"eval": [], "render": ["--frames", "1"], "resume": ["--steps", "13"]}
    for command, more in flags.items():
        assert main([command, str(trained), *more]) == 1
        line = f"orefield: {tmp_path / 'gone'}: the run's scene is not there; --scene says where"
        assert capsys.readouterr().err.startswith(line)
        assert main([command, str(trained), *more, "--scene", str(place)]) == 0
    assert json.loads((trained / "config.json").read_text())["scene"] == str(place)
