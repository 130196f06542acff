"""Laws of the lock on a folder: one process at a time, none after its death."""

import errno
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from orefield.errors import RunError
from orefield.system import lock as lock_module
from orefield.system.lock import LOCK_FILE, FolderLock

HOLD = """
import sys, time
from pathlib import Path
from orefield.system.lock import FolderLock
lock = FolderLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that holds the lock."""
    words = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_second_process_is_told_who_holds_it_until_it_is_killed(tmp_path: Path, holder) -> None:
    for _ in range(2):
        with pytest.raises(RunError) as refused:
            FolderLock(tmp_path).acquire()
        assert str(refused.value) == f"{tmp_path}: is in use by process {holder.pid}"
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    with FolderLock(tmp_path) as lock:
        assert lock.held
        assert (tmp_path / LOCK_FILE).read_text() == str(os.getpid())
    assert list(tmp_path.iterdir()) == []


def test_the_latest_holder_of_one_process_wins(tmp_path: Path) -> None:
    first, second = FolderLock(tmp_path), FolderLock(tmp_path)
    assert first.acquire()
    assert not first.acquire()
    assert second.acquire()
    with pytest.raises(RunError, match="a later run of this process has taken it over"):
        first.acquire()
    first.release()
    assert second.held
    second.release()
    second.release()
    assert list(tmp_path.iterdir()) == []


def test_a_lock_that_nobody_keeps_is_given_back(tmp_path: Path) -> None:
    FolderLock(tmp_path).acquire()
    assert list(tmp_path.iterdir()) == []


def test_a_forked_process_does_not_give_it_back(tmp_path: Path) -> None:
    lock = FolderLock(tmp_path)
    lock.acquire()
    lock._process = -1  # as seen from a fork
    lock.release()
    assert lock.held
    lock._process = os.getpid()


def test_a_folder_that_was_replaced_is_locked_again(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lock = FolderLock(folder)
    lock.acquire()
    for _ in range(2):
        shutil.rmtree(folder)
        folder.mkdir()
        assert not lock.held
        assert not lock.acquire()  # it was never given back
        assert not lock.acquire()
        assert lock.held
    lock.release()


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_is_a_warning_once(
    tmp_path: Path, number: int, monkeypatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", none)
    lock = FolderLock(tmp_path)
    with pytest.warns(UserWarning, match="its file system has no locks"):
        lock.acquire()
    lock.acquire()
    lock.release()


def test_other_errors_are_errors(tmp_path: Path, monkeypatch) -> None:
    def broken(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(lock_module, "_lock", broken)
    with pytest.raises(OSError, match="Input/output error"):
        FolderLock(tmp_path).acquire()


def test_a_link_or_a_pipe_in_its_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match=r"\.lock"):
        FolderLock(tmp_path).acquire()
    assert (tmp_path / "precious").read_text() == "precious"
    (tmp_path / LOCK_FILE).unlink()
    os.mkfifo(tmp_path / LOCK_FILE)
    with pytest.raises(RunError, match="is not a regular file"):
        FolderLock(tmp_path).acquire()
