"""A lock on a folder: one process holds it at a time, and it vanishes with the process."""

import errno
import os
import stat
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from weakref import WeakValueDictionary

from orefield.errors import RunError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_FILE = ".lock"
"""Holds the number of the process, and is removed when the lock is given back."""
_BUSY = {errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL}
"""What a file system answers that cannot lock, such as NFS without its lock service."""
_PAST_THE_NUMBER = 1000
"""Windows locks bytes, which nobody else can read then: one where nothing is written."""


class FolderLock:
    """An exclusive lock on a folder against other processes of Orefield.

    Within one process the latest holder wins, because a notebook keeps abandoned ones alive; the
    earlier one cannot be acquired any more.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file: int | None = None
        self._process = os.getpid()
        self._without = self._lost = False

    def acquire(self) -> bool:
        """Take the lock, or make sure that it is still held: the folder may have been replaced.

        Returns whether it was not held at all before. Raises RunError where another process holds
        it. A file system without locks is a warning, once.
        """
        if self._lost:
            raise RunError(f"{self.folder}: a later run of this process has taken it over")
        is_new = self._file is None
        if self._without or self.held:
            return is_new
        self.release()
        key = self.folder.resolve()
        earlier = _held.pop(key, None)
        if earlier is not None and earlier is not self:
            earlier.release()
            earlier._lost = True
        while not (self._without or self.held):  # a file removed before it could be locked
            self.release()
            self._open()
        if self._file is not None:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
            os.write(self._file, str(self._process).encode())
            _held[key] = self
        return is_new

    def release(self) -> None:
        """Give the lock back, if this process holds it."""
        if self._file is None or self._process != os.getpid():  # a forked copy holds nothing
            return
        held, file, self._file = self.held, self._file, None
        if held and sys.platform != "win32":
            with suppress(OSError):  # before others can lock it
                self._path.unlink()
        os.close(file)
        if held and sys.platform == "win32":
            with suppress(OSError):  # an open file cannot be removed there, also if others hold it
                self._path.unlink()

    def __enter__(self) -> "FolderLock":
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()

    @property
    def _path(self) -> Path:
        return self.folder / LOCK_FILE

    @property
    def held(self) -> bool:
        """Whether this has the lock, on the file that others find."""
        if self._file is None:
            return False
        try:
            return os.path.samestat(os.fstat(self._file), self._path.stat())
        except OSError:
            return False

    def _open(self) -> None:
        # No link: it would have another file emptied. A pipe is not waited for.
        kinds = ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK")
        flags = sum(getattr(os, kind, 0) for kind in kinds)
        file = os.open(self._path, os.O_RDWR | os.O_CREAT | flags, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(file).st_mode):
                raise RunError(f"{self._path}: is not a regular file")
            _lock(file)
        except OSError as error:
            number = os.read(file, 20).decode("ascii", "replace")
            os.close(file)
            if error.errno in _BUSY:
                holder = f"process {number}" if number.isdecimal() else "another process"
                raise RunError(f"{self.folder}: is in use by {holder}") from None
            if error.errno not in _NO_LOCKS:
                raise
            self._without = True
            why = "its file system has no locks; let no other process write there"
            warnings.warn(f"{self.folder}: {why}", stacklevel=3)
        except RunError:
            os.close(file)
            raise
        else:
            self._file = file


def _lock(file: int) -> None:
    if sys.platform == "win32":
        os.lseek(file, _PAST_THE_NUMBER, os.SEEK_SET)
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


_held: WeakValueDictionary[Path, FolderLock] = WeakValueDictionary()
"""The locks that this process holds, by folder."""
