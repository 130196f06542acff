"""Laws of the command line; whatever is not about processes is called within this one."""

import re
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from orefield import __version__, commands
from orefield.cli import COMMANDS, main
from orefield.commands import doctor
from orefield.config import RunConfig, to_dict

HELP = """
import contextlib, io, sys, time
from orefield.cli import COMMANDS, main
for words in ["--help"], *([name, "--help"] for name in COMMANDS):
    begun, out = time.perf_counter(), io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(out):
        main(words)
    assert "orefield" in out.getvalue(), words
    assert "torch" not in sys.modules, words
    print(time.perf_counter() - begun)
"""


def test_help_answers_at_once_and_without_torch() -> None:
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    seconds = [float(line) for line in done.stdout.split()]
    assert len(seconds) == 1 + len(COMMANDS)
    assert max(seconds) < 3  # about 0.4 s on an idle machine; the rest is room for a busy one


def test_train_help_shows_every_setting_with_its_default(capsys) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name, value in to_dict(RunConfig()).items():
        for flag in [f"{name}.{inner}" for inner in value] if isinstance(value, dict) else [name]:
            assert "--" + flag.replace("_", "-") in text
    words = re.sub(r"[\s│]+", " ", text)
    assert "(default: importance)" in words
    assert "(default: 60.0)" in words


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (["trian"], 2, "unknown command 'trian'; did you mean 'train'?"),
        (["xyz"], 2, "unknown command 'xyz'; commands: "),
        (["train", "no/such/scene"], 1, "no/such/scene: no such file or folder"),
        (["train", "shapes", "--seconds", "-1"], 1, "seconds must be positive and finite, got"),
        (["train", "shapes", "--seconds", "inf"], 1, "seconds must be positive and finite, got"),
        (["train", "shapes", "--mining.threshold", "-1"], 1, "mining.threshold must be at least 0"),
        (["eval", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["render", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["render", "run", "--frames", "0"], 1, "frames must be from 1 to 100000, got 0"),
        (["resume", "no/such/run"], 1, "no/such/run: no such run folder"),
        (["scenes", "--write", "lamp"], 1, "lamp: no embedded scene"),
    ],
)
def test_bad_input_is_one_line(words: list[str], code: int, line: str, capsys) -> None:
    assert main(words) == code
    error = capsys.readouterr().err
    assert error.startswith(f"orefield: {line}")
    assert error.count("\n") == 1


def test_a_device_that_is_not_there_leaves_no_folder(
    tiny_folder: Path, tmp_path: Path, capsys
) -> None:
    words = ["train", str(tiny_folder), "--out", str(tmp_path / "run"), "--device", "cuda:99"]
    assert main(words) == 1
    assert capsys.readouterr().err.startswith("orefield: device 'cuda:99' is not there; this")
    assert not (tmp_path / "run").exists()


def test_missing_flags_end_with_code_two(capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["train"])
    assert ended.value.code == 2


def test_the_overview_lists_every_command_there_is(capsys) -> None:
    assert main(["--help"]) == 0
    overview = capsys.readouterr().out
    folder = Path(commands.__file__).parent
    defined = {file.stem for file in folder.glob("*.py") if "class Args" in file.read_text()}
    assert defined == set(COMMANDS)
    assert all(f"  {name} " in overview for name in COMMANDS)
    assert main([]) == 2
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.endswith(f"orefield {__version__}\n")


def test_scenes_lists_and_writes(tmp_path: Path, capsys) -> None:
    assert main(["scenes"]) == 0
    listed = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert {"shapes", "tankard"} <= listed
    size = ["--resolution", "16", "--train-views", "2", "--test-views", "1"]
    assert main(["scenes", "--write", "shapes", "--out", str(tmp_path / "s"), *size]) == 0
    assert (tmp_path / "s" / "transforms_train.json").exists()
    assert main(["scenes", "--write", "shapes", "--out", str(tmp_path / "s"), *size]) == 1


def test_warnings_are_one_line(monkeypatch, capsys) -> None:
    def warns(args: doctor.Args) -> int:
        warnings.warn("photo.png: missing", stacklevel=1)
        return 0

    monkeypatch.setattr(doctor, "run", warns)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert main(["doctor"]) == 0
    assert capsys.readouterr().err == "orefield: warning: photo.png: missing\n"


def test_a_reader_that_has_seen_enough_hears_no_more() -> None:
    line = f"{sys.executable} -m orefield scenes | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")


@pytest.mark.parametrize("words", ["scenes", "--version", "scenes 2>&-"])
def test_an_output_closed_from_the_start_is_no_error(words: str) -> None:
    line = f"{sys.executable} -m orefield {words} >&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
