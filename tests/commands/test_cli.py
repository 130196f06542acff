import errno
import io
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest
import torch

from orefield import __version__
from orefield.runs.folder import load_run, save_run
from orefield.cli import COMMANDS, main
from orefield.commands import session
from orefield.runs.evaluate import file_stem
from orefield.commands.train import free_folder
from orefield.config import to_dict
from orefield.training.trainer import StepStats, Trainer, fit

TINY = [
    *(
        "--field.levels=4",
        "--field.log2-table=10",
        "--field.base_resolution=4",
        "--field.max_resolution=32",
    ),
    *("--field.width=16", "--sampler.resolution=16", "--sampler.steps_per_diagonal=64"),
    *("--optim.target_samples=1024", "--steps=12"),
]


@pytest.fixture
def trained(tiny_folder: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    assert main(["train", str(tiny_folder), "--out", str(run), *TINY]) == 0
    return run


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.parametrize("words", [["--help"], *([name, "--help"] for name in COMMANDS)], ids=str)
def test_help_answers_at_once_and_without_torch(words: list[str]) -> None:
    probe = f"""
import sys
from orefield.cli import main
try:
    main({words})
except SystemExit:
    pass
sys.exit("torch" in sys.modules)"""
    start = perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    # About 0.4 s on an idle machine; the rest is room for a busy one.
    assert perf_counter() - start < 3
    assert done.returncode == 0, done.stderr
    assert "orefield" in done.stdout


def test_train_help_shows_every_setting_with_its_default(capsys, tiny_config) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name, value in to_dict(type(tiny_config)()).items():
        for flag in [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]:
            assert "--" + flag.replace("_", "-") in text
    words = re.sub(r"[\s│]+", " ", text)
    assert "(default: chance)" in words
    assert "(default: 60.0)" in words


def test_train_writes_a_whole_run_folder(trained: Path, tiny_folder: Path, capsys) -> None:
    files = {str(file.relative_to(trained)) for file in trained.rglob("*") if file.is_file()}
    assert files == {
        "config.json",
        "field.safetensors",
        "metrics.json",
        "plots/kept.png",
        "plots/psnr.png",
        "renders/contact.png",
        "renders/test_r_0.png",
        "renders/test_r_1.png",
        "state.safetensors",
    }
    facts = metrics(trained)
    assert facts["protocol"]["scene"] == tiny_folder.name
    training, test = facts["training"], facts["test"]
    assert training["steps"] == 12
    assert len(training["points"]) == 12
    assert all(0 < point["kept_share"] <= 1 for point in training["points"])
    # Early checks may be skipped as too dear for so short a run; the last never is.
    assert training["checks"][-1]["step"] == 12
    assert training["peak_memory_bytes"] >= training["peak_memory_before_training_bytes"] > 0
    assert test["psnr"] == pytest.approx(sum(view["psnr"] for view in test["views"]) / 2)


def test_eval_gives_the_same_scores_again(trained: Path) -> None:
    before = metrics(trained)
    (trained / "renders" / "test_r_1.png").unlink()
    assert main(["eval", str(trained)]) == 0
    assert metrics(trained)["test"] == before["test"]
    assert metrics(trained)["training"] == before["training"]
    assert (trained / "renders" / "test_r_1.png").exists()


@pytest.mark.parametrize("flags", [["--path", "test"], ["--frames", "3", "--show", "depth"]])
def test_render_writes_frames_of_the_width_asked_for(
    trained: Path, tmp_path, flags, capsys
) -> None:
    out = tmp_path / "pictures"
    assert main(["render", str(trained), "--out", str(out), "--width", "12", *flags]) == 0
    names = sorted(file.name for file in out.glob("*.png"))
    assert names == [f"{i:04d}.png" for i in range(2 if "test" in flags else 3)]
    from PIL import Image

    with Image.open(out / names[0]) as picture:
        assert picture.size == (12, 12)
    assert (out / "video.mp4").stat().st_size > 0


def test_render_without_the_video_extra_says_how_to_get_it(trained, monkeypatch, capsys) -> None:
    monkeypatch.setattr("orefield.report.video.can_write_video", lambda: False)
    assert main(["render", str(trained), "--frames", "1"]) == 0
    assert "no video: that needs pip install 'orefield[video]'" in capsys.readouterr().out
    assert (trained / "renders" / "orbit" / "0000.png").exists()


def interrupt_after(steps: int):
    """`fit`, with Ctrl-C pressed during the given step."""

    def interrupted(trainer):
        for stats in fit(trainer):
            if stats.step == steps:
                signal.raise_signal(signal.SIGINT)
            yield stats

    return interrupted


def test_ctrl_c_saves_and_resume_ends_where_an_uninterrupted_run_does(
    tiny_folder: Path, tmp_path: Path, trained: Path, monkeypatch, capsys
) -> None:
    run = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        patch.setattr(session, "fit", interrupt_after(5))
        assert main(["train", str(tiny_folder), "--out", str(run), *TINY]) == 130
    printed = capsys.readouterr().out
    assert "stopped after 5 steps and saved" in printed
    assert f"orefield resume {run}" in printed
    assert not (run / "renders").exists()
    assert "test" not in metrics(run)
    assert main(["resume", str(run)]) == 0
    whole, resumed = metrics(trained), metrics(run)
    assert resumed["test"] == whole["test"]
    steps = [point["step"] for point in resumed["training"]["points"]]
    assert steps == list(range(1, 13))


def test_a_second_ctrl_c_stops_at_once(
    tiny_folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    def impatient(trainer):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        yield from fit(trainer)

    monkeypatch.setattr(session, "fit", impatient)
    assert main(["train", str(tiny_folder), "--out", str(tmp_path / "run"), *TINY]) == 130
    assert capsys.readouterr().err == "orefield: stopped\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_resume_of_a_finished_run_needs_a_new_budget(trained: Path, capsys) -> None:
    assert main(["resume", str(trained)]) == 1
    assert "has used its budget (12 steps" in capsys.readouterr().err
    assert main(["resume", str(trained), "--steps", "15"]) == 0
    assert metrics(trained)["training"]["steps"] == 15


def test_train_refuses_a_used_folder_and_leaves_it(
    trained: Path, tiny_folder: Path, capsys
) -> None:
    before = (trained / "field.safetensors").read_bytes()
    assert main(["train", str(tiny_folder), "--out", str(trained), *TINY, "--seed", "1"]) == 1
    assert "holds another run; choose a new folder or pass --overwrite" in capsys.readouterr().err
    assert (trained / "field.safetensors").read_bytes() == before


def test_a_full_disk_is_one_line_and_the_run_so_far_survives(
    trained: Path, monkeypatch, capsys
) -> None:
    before = {file: file.read_bytes() for file in trained.iterdir() if file.is_file()}
    write_bytes = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "safetensors" in path.name:
            write_bytes(path, data[: len(data) // 2])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write_bytes(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["resume", str(trained), "--steps", "14"]) == 1
    error = capsys.readouterr().err
    assert "No space left on device" in error
    assert error.count("\n") == 1
    after = {file: file.read_bytes() for file in trained.iterdir() if file.is_file()}
    assert after.keys() == before.keys()
    assert [file.name for file in before if before[file] != after[file]] == ["config.json"]


def test_a_disk_that_is_full_for_a_while_does_not_end_the_training(
    tiny_folder: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    from orefield.commands import session

    saved = []

    def full_twice(folder: Path, trainer: Trainer) -> None:
        saved.append(trainer.step)
        if len(saved) <= 2:
            raise OSError(errno.ENOSPC, "No space left on device", str(folder))
        save_run(folder, trainer)

    monkeypatch.setattr(session, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(session, "save_run", full_twice)
    assert main(["train", str(tiny_folder), "--out", str(tmp_path / "run"), *TINY]) == 0
    assert saved == [*range(1, 13), 12]  # after each step, and at the end
    assert "not saved: " in capsys.readouterr().err
    assert load_run(tmp_path / "run").folder == tmp_path / "run"


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean 'train'?"),
        (["xyz"], 2, "unknown command 'xyz'; commands: "),
        (["train", "no/such/scene"], 1, "no/such/scene: no such file or folder"),
        (["train", "shapes", "--seconds", "-1"], 1, "seconds must be positive, got -1.0"),
        (["train", "shapes", "--mining.threshold", "-1"], 1, "mining.threshold must be at least 0"),
        (["eval", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["render", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["render", "run", "--frames", "0"], 1, "frames must be at least 1, got 0"),
        (["resume", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["scenes", "--write", "lamp"], 1, "lamp: no embedded scene"),
    ],
)
def test_bad_input_is_one_line(words: list[str], code: int, line: str, capsys) -> None:
    assert main(words) == code
    error = capsys.readouterr().err
    assert error.startswith(f"orefield: {line}")
    assert error.count("\n") == 1


def test_missing_flags_end_with_code_two(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train"])
    assert ended.value.code == 2


def test_the_overview_lists_every_command_there_is(capsys) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    folder = Path(session.__file__).parent
    defined = {file.stem for file in folder.glob("*.py") if "class Args" in file.read_text()}
    assert defined == set(COMMANDS)
    assert all(f"  {name} " in overview for name in COMMANDS)
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.endswith(f"orefield {__version__}\n")


def test_scenes_lists_and_writes(tmp_path: Path, capsys) -> None:
    assert main(["scenes"]) == 0
    assert {"shapes", "tankard"} <= {
        line.split()[0] for line in capsys.readouterr().out.splitlines()
    }
    size = ["--resolution", "16", "--train-views", "2", "--test-views", "1"]
    assert main(["scenes", "--write", "shapes", "--out", str(tmp_path / "s"), *size]) == 0
    assert (tmp_path / "s" / "transforms_train.json").exists()
    assert main(["scenes", "--write", "shapes", "--out", str(tmp_path / "s"), *size]) == 1


def test_warnings_are_one_line(tiny_folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    import warnings

    from orefield.commands import doctor

    monkeypatch.setattr(
        doctor, "run", lambda args: warnings.warn("photo.png: missing", stacklevel=1) or 0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "orefield: warning: photo.png: missing\n"


def test_a_free_folder_never_holds_anything(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for expected in ("lego", "lego-2", "lego-3"):
        folder = free_folder("lego")
        assert folder == Path("runs") / expected
        folder.mkdir(parents=True)


def test_view_names_become_file_names() -> None:
    names = {
        "./test/r_0": "test_r_0",
        "images/0001.JPG": "images_0001",
        "../x.png": "x",
        "..": "view",
    }
    assert {name: file_stem(name) for name in names} == names


def test_training_twice_gives_the_same_field(trained: Path, tiny_folder: Path, tmp_path) -> None:
    from safetensors.torch import load_file

    assert main(["train", str(tiny_folder), "--out", str(tmp_path / "again"), *TINY]) == 0
    one, other = (load_file(f / "field.safetensors") for f in (trained, tmp_path / "again"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def live_text(config, console_options: dict, steps: list) -> str:
    from rich.console import Console

    from orefield.runs.progress import LiveLine

    out = io.StringIO()
    with LiveLine(config, Console(file=out, width=200, **console_options)) as line:
        for step in steps:
            line.show(step)
    return out.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_the_live_line_says_what_the_steps_say(tiny_config, terminal: bool) -> None:
    steps = [
        StepStats(i, i * 0.5, 0.01 if i != 2 else float("nan"), 20.0, 2000, 8000, 2000, 0.01)
        for i in range(1, 5)
    ]
    text = live_text(tiny_config, {"force_terminal": terminal}, steps)
    # 8 of 12 steps to go at half a second each; the skipped step has no PSNR.
    for part in (
        "step 4",
        "4s left",
        "train 20.00 dB",
        "4.0k rays/s",
        "8.0k samples 25% kept",
        "GiB",
    ):
        assert part in text


def test_no_steps_no_line(tiny_config) -> None:
    assert live_text(tiny_config, {"force_terminal": False}, []) == ""


def test_a_reader_that_has_seen_enough_hears_no_more() -> None:
    line = f"{sys.executable} -m orefield scenes | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")
