"""Where compiled kernels are kept for the next process, and what happens where they cannot be.

The first of these folders that can be written is used: NUMBA_CACHE_DIR, `__pycache__` beside the
kernels, the user's cache, a temporary folder of this user's. Where none can, or a file is damaged
or a disk full, one warning says so, and kernels are compiled in this process's memory.

A kept kernel is code that will run. So a folder in which anybody may write is not used, and none is
made; and code is taken back only where it comes from these sources, for this processor, whole.
"""

import hashlib
import os
import pickle
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from numba import config, njit
from numba.core.caching import CompileResultCacheImpl, FunctionCache, _CacheLocator
from numba.core.serialize import dumps
from numba.misc.appdirs import AppDirs

REMEDY = "set NUMBA_CACHE_DIR to a writable folder"
_OTHERS_WRITE = 0o022


def kernel(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """`numba.njit` with these options, whose compiled code the next process finds again."""

    def compiled(function: Callable[..., Any]) -> Any:
        dispatcher = njit(**options)(function)
        if dispatcher is function:  # NUMBA_DISABLE_JIT
            return function
        if cache_folder(Path(function.__code__.co_filename).parent) is not None:
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return compiled


@lru_cache
def cache_folder(sources: Path) -> Path | None:
    """The folder for compiled kernels of the modules in `sources`; None where there is none.

    Warns, once, where that is not one of the usual places.
    """
    below: str = _CacheLocator.get_suitable_cache_subpath(str(sources / "kernels.py"))
    if config.CACHE_DIR:
        if _usable(folder := Path(config.CACHE_DIR, below)):
            return folder
        _say(f"NUMBA_CACHE_DIR: {config.CACHE_DIR} cannot be used for compiled kernels")
    users = Path(AppDirs(appname="numba", appauthor=False).user_cache_dir, below)
    for folder in (sources / "__pycache__", users):
        if _usable(folder):
            return folder
    with suppress(OSError):
        if _usable(folder := _own_temporary_folder() / below):
            _say(f"compiled kernels are kept in {folder.parent} only; {REMEDY} that stays")
            return folder
    _say(f"compiled kernels cannot be kept, every run compiles them; {REMEDY}")
    return None


def is_temporary(folder: Path) -> bool:
    """Whether a folder for compiled kernels is the one below the system's temporary folder."""
    return folder.parent.name.startswith(_TEMPORARY)


_TEMPORARY = "orefield-kernels-"


def _own_temporary_folder() -> Path:
    """A folder that this user alone may write in; an OSError where somebody else made it."""
    user = os.getuid() if hasattr(os, "getuid") else "user"  # Windows has a folder for each user
    folder = Path(tempfile.gettempdir(), f"{_TEMPORARY}{user}")
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()  # not of where a link leads
    if hasattr(os, "getuid") and (found.st_uid != user or found.st_mode & 0o170077 != 0o040000):
        raise PermissionError(f"{folder}: not a folder of this user alone")
    return folder


def _usable(folder: Path) -> bool:
    try:
        _prepare(folder)
    except OSError:
        return False
    return True


def _prepare(folder: Path) -> None:
    """Make the folder and write into it; an OSError where that fails or anybody else may write."""
    with _for_this_user():
        folder.mkdir(parents=True, exist_ok=True)
        if os.name == "posix" and folder.stat().st_mode & 0o002:
            raise PermissionError(f"{folder}: anybody may write there")
        tempfile.TemporaryFile(dir=folder).close()


@contextmanager
def _for_this_user() -> Iterator[None]:
    """What is made inside the block, nobody else may write, whatever the process's umask."""
    before = os.umask(_OTHERS_WRITE)
    os.umask(before | _OTHERS_WRITE)
    try:
        yield
    finally:
        os.umask(before)


@lru_cache
def _digest_of(sources: Path) -> str:
    """Of all modules there and one folder up: a kernel is made of functions of several of them."""
    digest = hashlib.sha256()
    for file in sorted([*sources.glob("*.py"), *sources.parent.glob("*.py")]):
        digest.update(file.read_bytes())
    return digest.hexdigest()


class _Locator(_CacheLocator):  # type: ignore[misc]
    """Numba's question of where to keep a function, answered by `cache_folder`."""

    def __init__(self, function: Callable[..., Any], file: str) -> None:
        self.sources, self.line = Path(file).parent, function.__code__.co_firstlineno
        folder = cache_folder(self.sources)
        assert folder is not None  # see `kernel`
        self.folder = folder

    def ensure_cache_path(self) -> None:
        _prepare(self.folder)

    def get_cache_path(self) -> str:
        return str(self.folder)

    def get_source_stamp(self) -> str:
        return _digest_of(self.sources)

    def get_disambiguator(self) -> str:
        return str(self.line)

    @classmethod
    def from_function(cls, function: Callable[..., Any], file: str) -> "_Locator":
        return cls(function, file)


class _Sealed(CompileResultCacheImpl):  # type: ignore[misc]
    """Compiled code with a checksum and with what it was compiled from and for."""

    _locator_classes = [_Locator]  # noqa: RUF012  (as the parent has it)

    def reduce(self, result: Any) -> tuple[str, bytes]:
        data = dumps(super().reduce(result))
        return self._seal(result.library.codegen, data), data

    def rebuild(self, target_context: Any, kept: tuple[str, bytes]) -> Any:
        seal, data = kept
        if seal != self._seal(target_context.codegen(), data):
            raise ValueError("not what was written")
        return super().rebuild(target_context, pickle.loads(data))

    def _seal(self, codegen: Any, data: bytes) -> str:
        made = self.locator.get_source_stamp(), self.filename_base, codegen.magic_tuple()
        return hashlib.sha256(repr(made).encode() + data).hexdigest()


class KernelCache(FunctionCache):  # type: ignore[misc]
    """Numba's cache of one function, for which no file is reason enough to stop."""

    _impl_class = _Sealed

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for a signature; None where there is none, or none that is whole."""
        try:
            found = super().load_overload(sig, target_context)
            if found is None or tuple(found.signature.args) == tuple(sig):
                return found
            raise ValueError("compiled for other arguments")
        except OSError as error:
            self._tell_that_nothing_is_kept(error)
        except Exception as error:  # unpickling damaged bytes raises nearly everything
            _say(f"{self.cache_path}: damaged kernels are compiled anew ({_short(error)})")
            with suppress(OSError), _for_this_user():
                self.flush()
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep compiled code; where that fails, this process has it all the same."""
        try:
            with _for_this_user():
                super().save_overload(sig, data)
        except Exception as error:  # a damaged index is read before another can be written
            self._tell_that_nothing_is_kept(error)

    def _tell_that_nothing_is_kept(self, error: Exception) -> None:
        _say(
            f"{self.cache_path}: compiled kernels cannot be kept ({_short(error)}); every run "
            f"compiles them until they can, or {REMEDY}"
        )


def _short(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


_said: set[str] = set()


def _say(line: str) -> None:
    """Warn once of each kind: a cache has many files."""
    kind = line.partition("(")[0]
    if kind not in _said:
        _said.add(kind)
        warnings.warn(line, stacklevel=3)
