"""Laws of stopping from outside: whatever ends a run politely, it is saved and can go on."""

import errno
import json
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from orefield.cli import main
from orefield.runs import loop
from orefield.system.lock import LOCK_FILE, FolderLock
from orefield.training.trainer import StepStats, fit


def metrics(run: Path) -> dict:
    return json.loads((run / "metrics.json").read_text())


def test_sigterm_in_the_shell_saves_and_says_how_to_go_on(
    tiny_folder: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run = tmp_path / "a run"
    flags = [flag for flag in tiny_flags if not flag.startswith("--steps")]
    words = ["train", str(tiny_folder), "--out", str(run), *flags, "--save-every", "0.01"]
    command = [sys.executable, "-m", "orefield", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert any("kernels ready" in line for line in process.stdout)
        while not (run / "state.safetensors").exists():
            assert process.poll() is None
        # Another process is refused in one line, and the live run is left alone.
        done = subprocess.run(
            [*command, "--overwrite"], capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"orefield: {run}: is in use by process {process.pid}\n"
        process.send_signal(signal.SIGTERM)
        printed = process.stdout.read()
        assert process.wait() == 143
    assert f"go on with: orefield resume {shlex.quote(str(run))}\n" in printed
    assert not (run / LOCK_FILE).exists()
    assert main(["eval", str(run)]) == 0


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]
)
def test_eval_of_a_stopped_run_leaves_resuming_exact(
    number: int, code: int, tiny_folder, tmp_path, ends_as_whole, tiny_flags, monkeypatch
) -> None:
    def interrupted(trainer) -> Iterator[StepStats]:
        for stats in fit(trainer):
            if stats.step == 5:
                signal.raise_signal(number)
            yield stats

    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        patch.setattr(loop, "fit", interrupted)
        assert main(["train", str(tiny_folder), "--out", str(run), *tiny_flags]) == code
    if number == signal.SIGTERM:
        (run / "metrics.json").unlink()
    assert main(["eval", str(run)]) == 0
    assert "test" in metrics(run)
    assert main(["resume", str(run)]) == 0
    ends_as_whole(run)


def test_a_run_that_is_stopped_in_its_last_step_is_evaluated_later(
    tiny_folder: Path, tmp_path: Path, tiny_flags, monkeypatch, capsys
) -> None:
    def interrupted(trainer) -> Iterator[StepStats]:
        for stats in fit(trainer):
            if stats.step == 12:
                signal.raise_signal(signal.SIGTERM)
            yield stats

    monkeypatch.setattr(loop, "fit", interrupted)
    run = tmp_path / "run"
    assert main(["train", str(tiny_folder), "--out", str(run), *tiny_flags]) == 143
    assert f"go on with: orefield eval {run}\n" in capsys.readouterr().out
    assert main(["eval", str(run)]) == 0


def test_a_closed_pipe_in_the_shell_saves_and_says_so_elsewhere(
    tiny_folder: Path, tmp_path: Path, tiny_flags: list[str]
) -> None:
    run = tmp_path / "run"
    code = "import sys; from orefield.runs import progress; progress._PRINT = 0.0\n"
    code += "from orefield.cli import main; sys.exit(main(sys.argv[1:]))"
    words = ["train", str(tiny_folder), "--out", str(run), *tiny_flags, "--steps", "100000"]
    command = [sys.executable, "-c", code, *words]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert any(line.startswith("step ") for line in process.stdout)
        process.stdout.close()
        told = process.stderr.read()
        assert process.wait() == 1
    assert f"go on with: orefield resume {run}\n" in told
    assert "Traceback" not in told
    assert metrics(run)["training"]["steps"] > 0


def test_another_thread_trains_without_handling_signals(
    tiny_folder: Path, tmp_path: Path, tiny_flags
) -> None:
    codes: list[int] = []
    words = ["train", str(tiny_folder), "--out", str(tmp_path / "run"), *tiny_flags]
    thread = threading.Thread(target=lambda: codes.append(main(words)))
    thread.start()
    thread.join()
    assert codes == [0]


@pytest.mark.parametrize("command", ["eval", "resume"])
def test_a_run_in_use_is_one_line(command: str, trained: Path, monkeypatch, capsys) -> None:
    def busy(lock: FolderLock) -> bool:
        raise BlockingIOError(errno.EWOULDBLOCK, "busy")

    (trained / LOCK_FILE).write_text("123")
    monkeypatch.setattr("orefield.system.lock._lock", busy)
    before = {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()}
    assert main([command, str(trained)]) == 1
    assert capsys.readouterr().err == f"orefield: {trained}: is in use by process 123\n"
    assert {file: file.read_bytes() for file in trained.rglob("*") if file.is_file()} == before
