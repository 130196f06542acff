"""metrics.jsonl: how the training goes, while it does, one line of JSON after the other.

A line has the averages over the steps since the line before it:

    step, seconds           at its end; seconds of training alone
    train_psnr              of the training rays, dB; null if every step was skipped
    losses                  each term of the loss, weighted
    rays_per_step, evaluated_per_step, kept_share, rays_per_second
    lr                      the learning rate of its last step
    test_psnr               of fixed test pixels, dB; only where they were evaluated

Lines are written about every second, at each evaluation and at each save, each in one call to the
system, so that a killed process leaves whole lines and what can be resumed from ends with one. A
resumed run cuts off what comes after its step.
"""

import errno
import json
import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic
from typing import Any

from orefield.config import RunConfig
from orefield.errors import RunError
from orefield.report.history import History
from orefield.runs.tensorboard import TensorBoardLog
from orefield.system.files import sync_file
from orefield.system.lock import FolderLock
from orefield.training.trainer import StepStats

METRICS_LOG = "metrics.jsonl"
_INTERVAL = 1.0
"""Seconds between two lines, at least, where nothing else asks for one."""
_LONGEST = 2**16
"""Bytes of a line; one has about 300."""
_FLAGS = sum(getattr(os, kind, 0) for kind in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"))
"""No link is followed: it would have another file cut. A pipe is not waited for."""


class MetricsLog:
    """Takes in steps and writes lines, also for TensorBoard if `config.log` says so.

    What cannot be written, as on a full disk, is a warning, once, and is part of the next line that
    can be.
    """

    def __init__(self, lock: FolderLock, config: RunConfig) -> None:
        """`lock`: on the run's folder; nothing is written without it."""
        self.lock, self.path, self._kind = lock, lock.folder / METRICS_LOG, config.log
        self._board: TensorBoardLog | None = None
        self._steps = History()
        """Steps since the last line."""
        self._lr = 0.0
        self._at: tuple[int, float] = (0, 0.0)
        """Step and seconds of the last line."""
        self._now: tuple[int, float] = (0, 0.0)
        self._written = monotonic()
        self._unsynced = self._warned = False

    @contextmanager
    def going_on(self, step: int, seconds: float) -> Iterator[None]:
        """Inside, the training goes on from there; lines of later steps are cut off before.

        So is a line that is not whole. Raises RunError where the folder for TensorBoard is a link.
        """
        self._at = self._now = (step, seconds)
        self._written = monotonic()
        try:
            _cut(self.path, step)
            if self._kind == "tensorboard":
                self._board = TensorBoardLog(self.lock.folder, step)
        except OSError as error:
            self._warn(error)
        try:
            yield
        finally:
            board, self._board = self._board, None
            if board is not None:
                with suppress(OSError):  # the first line that failed has said so
                    board.close()

    def record(self, step: StepStats) -> None:
        """Take in a step."""
        self._steps.add(step, 0.0)
        self._now, self._lr = (step.step, step.seconds), step.lr

    def tick(self, test_psnr: float | None = None) -> None:
        """After a step: write a line if one is due, or if test pixels were evaluated."""
        if test_psnr is not None or monotonic() - self._written >= _INTERVAL:
            self.write(test_psnr)

    def write(self, test_psnr: float | None = None) -> None:
        """Write a line with all steps since the last one, if there is anything to say."""
        line = self._line()
        if test_psnr is not None:
            line |= {"step": self._now[0], "seconds": self._now[1], "test_psnr": test_psnr}
        if not line or not self.lock.folder.is_dir():  # the next save makes it anew
            return
        self._written = monotonic()
        try:
            self.lock.acquire()
            self._append((json.dumps(line, allow_nan=False) + "\n").encode())
        except RunError:  # another run has the folder now; the next save says so
            return
        except OSError as error:
            self._warn(error)
            return
        self._steps, self._at = History(), self._now
        self._unsynced, self._warned = True, False
        self._show(line)

    def save(self) -> None:
        """Before a save of the run: write a line that ends here, and bring all to the disk."""
        self.write()
        if not self._unsynced:
            return
        try:
            sync_file(self.path)
            self._unsynced = False
        except OSError as error:
            self._warn(error)

    def _line(self) -> dict[str, Any]:
        """The averages over the steps since the last line; empty where there are none."""
        (line, *_) = self._steps.to_dict()["points"] or [{}]
        if line:
            steps, seconds = (now - at for now, at in zip(self._now, self._at, strict=True))
            rays = line["rays_per_step"] * steps
            line |= {"rays_per_second": rays / max(seconds, 1e-9), "lr": self._lr}
        return dict(line)

    def _append(self, data: bytes) -> None:
        file = _open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            before = os.fstat(file).st_size
            try:
                if os.write(file, data) < len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError:
                os.ftruncate(file, before)  # only whole lines
                raise
        finally:
            os.close(file)

    def _show(self, line: dict[str, Any]) -> None:
        """In TensorBoard, as long as that can be written."""
        try:
            if self._board is not None:
                self._board.add(line)
        except OSError as error:
            self._board = None
            warnings.warn(f"no more is written for TensorBoard: {error}", stacklevel=4)

    def _warn(self, error: OSError) -> None:
        """Once, until a line could be written again."""
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.path}: not written: {error}; training goes on", stacklevel=4)


def _open(path: Path, how: int) -> int:
    file = os.open(path, how | _FLAGS, 0o666)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "is not a regular file", str(path))
    return file


def _cut(path: Path, step: int) -> None:
    """Keep the whole lines at the beginning that end at `step` or before."""
    if not os.path.lexists(path):
        return
    with open(_open(path, os.O_RDWR), "r+b", buffering=_LONGEST) as file:
        kept = 0
        for line in iter(lambda: file.readline(_LONGEST), b""):
            if not line.endswith(b"\n") or not 0 < _step_of(line) <= step:
                break
            kept += len(line)
        file.truncate(kept)


def _step_of(line: bytes) -> int:
    """The step of a line; 0 where it is none of ours."""
    try:
        step = json.loads(line)["step"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return 0
    return step if type(step) is int else 0
