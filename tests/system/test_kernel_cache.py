"""Where compiled kernels are kept, and that no file there ever stops a run."""

import errno
import importlib.util
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numba import config
from numba.core.caching import IndexDataCacheFile

from orefield.system import kernel_cache
from orefield.system.kernel_cache import cache_folder

SOURCE = """
from orefield.system.kernel_cache import kernel

@kernel()
def {name}(x):
    return {factor} * x.sum()
"""


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A home and a temporary folder of the test's own; nothing remembered of other tests."""
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(config, "CACHE_DIR", "")
    before = os.umask(0o022)
    _forget()
    yield
    os.umask(before)
    _forget()


def _forget() -> None:
    """As a new process does."""
    cache_folder.cache_clear()
    kernel_cache._digest_of.cache_clear()
    kernel_cache._said.clear()


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "package" / "kernels"
    folder.mkdir(parents=True)
    write(folder)
    return folder


def write(folder: Path, name: str = "double", factor: int = 2) -> None:
    (folder / f"{name}.py").write_text(SOURCE.format(name=name, factor=factor))


def load(folder: Path, name: str = "double"):
    """The kernel as a new process has it, and its answer for [1, 2], right or wrong."""
    _forget()
    spec = importlib.util.spec_from_file_location(name, folder / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found = getattr(module, name)
    return found, float(found(np.ones(2)))


def hits(function) -> int:
    return sum(function.stats.cache_hits.values())


def kept(sources: Path, ending: str) -> Path:
    (file,) = (sources / "__pycache__").glob(f"double*.{ending}")
    return file


def test_a_kernel_is_compiled_once_for_all_processes(sources: Path) -> None:
    first, answer = load(sources)
    assert (hits(first), answer) == (0, 4.0)
    second, answer = load(sources)
    assert (hits(second), answer) == (1, 4.0)
    assert Path(second.stats.cache_path) == sources / "__pycache__"


def test_a_change_beside_or_above_a_kernel_compiles_it_anew(sources: Path) -> None:
    """Kernels take in functions and constants of other modules."""
    load(sources)
    (sources / "helper.py").write_text("a = 1\n")
    assert hits(load(sources)[0]) == 0
    (sources.parent / "constants.py").write_text("b = 1\n")
    assert hits(load(sources)[0]) == 0
    assert hits(load(sources)[0]) == 1


def test_places_are_tried_in_order_and_the_last_ones_are_told(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "named"))
    assert tmp_path / "named" in Path(load(sources)[0].stats.cache_path).parents
    monkeypatch.setattr(config, "CACHE_DIR", "")
    (sources / "__pycache__").write_text("")
    assert tmp_path / "home" in Path(load(sources)[0].stats.cache_path).parents
    monkeypatch.setenv("XDG_CACHE_HOME", str(sources / "double.py"))
    with pytest.warns(UserWarning, match="kept in .*temporary.* only; set NUMBA_CACHE_DIR"):
        found, answer = load(sources)
    assert tmp_path / "temporary" in Path(found.stats.cache_path).parents
    assert kernel_cache.is_temporary(Path(found.stats.cache_path))
    assert answer == 4.0
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "absent"))
    with pytest.warns(UserWarning, match="cannot be kept, every run compiles") as told:
        found, answer = load(sources)
    assert (found.stats.cache_path, answer, len(told)) == (None, 4.0, 1)


def test_a_named_folder_that_cannot_be_used_is_told(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(sources / "double.py"))
    with pytest.warns(UserWarning, match="NUMBA_CACHE_DIR: .*double.py cannot be used"):
        assert cache_folder(sources) == sources / "__pycache__"


def _truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def _flip(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0x10
    file.write_bytes(data)


def _flip_late(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[-len(data) // 8] ^= 0x01
    file.write_bytes(data)


DAMAGE = {
    "empty": lambda file: file.write_bytes(b""),
    "truncated": _truncate,
    "a bit": _flip,
    "a late bit": _flip_late,
    "text": lambda file: file.write_text("not a kernel"),
    "pickle of something else": lambda file: file.write_bytes(b"\x80\x04]\x94."),
}


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_one_line_and_is_replaced(
    sources: Path, ending: str, damage: str
) -> None:
    load(sources)
    DAMAGE[damage](kept(sources, ending))
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found, answer = load(sources)
    assert (answer, hits(found)) == (4.0, 0)
    assert len(told) <= 1  # an index of another version or for other sources is no damage
    if ending == "nbc":
        assert "damaged kernels are compiled anew" in str(told[0].message)
    found, answer = load(sources)
    assert (answer, hits(found)) == (4.0, 1)


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_folder_in_a_files_place_is_told_and_no_more(sources: Path, ending: str) -> None:
    load(sources)
    file = kept(sources, ending)
    file.unlink()
    file.mkdir()
    with pytest.warns(UserWarning, match="compiled"):
        found, answer = load(sources)
    assert (answer, hits(found)) == (4.0, 0)


def test_code_of_another_kernel_or_for_other_arguments_is_not_run(sources: Path) -> None:
    write(sources, "triple", 3)
    load(sources)
    load(sources, "triple")
    (other,) = (sources / "__pycache__").glob("triple*.nbc")
    kept(sources, "nbc").write_bytes(other.read_bytes())
    with pytest.warns(UserWarning, match="damaged"):
        assert load(sources)[1] == 4.0
    found, _ = load(sources)
    found(np.ones(2, np.float32))
    one, two = sorted((sources / "__pycache__").glob("double*.nbc"))
    two.write_bytes(one.read_bytes())
    with pytest.warns(UserWarning, match="damaged"):
        assert load(sources)[0](np.ones(2, np.float32)) == 4.0


def _fails(number: int):
    def fail(*_):
        raise OSError(number, os.strerror(number))

    return fail


@pytest.mark.parametrize("write", ["_save_index", "_save_data"])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EIO])
def test_what_cannot_be_written_is_told_once(
    sources: Path, write: str, number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And the code of earlier sources, to which a new index may then lead, is not run."""
    load(sources)
    with (sources / "double.py").open("a") as file:
        file.write("\nPI = 3\n")
    with monkeypatch.context() as patch:
        patch.setattr(IndexDataCacheFile, write, _fails(number))
        with pytest.warns(UserWarning, match=r"cannot be kept \(.*NUMBA_CACHE_DIR") as told:
            assert load(sources)[0](np.ones(2, np.float32)) == 4.0
    assert len(told) == 1
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        assert load(sources)[1] == 4.0
    assert hits(load(sources)[0]) == 1


def test_a_damaged_index_on_a_full_disk_is_told(
    sources: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(sources)
    _truncate(kept(sources, "nbi"))
    monkeypatch.setattr(IndexDataCacheFile, "_save_index", _fails(errno.ENOSPC))
    with pytest.warns(UserWarning, match="compiled") as told:
        assert load(sources)[1] == 4.0
    assert len(told) == 2


def test_the_folder_that_goes_away_is_told(sources: Path) -> None:
    _, answer = load(sources)
    found, _ = load(sources)
    for file in (sources / "__pycache__").iterdir():
        file.unlink()
    (sources / "__pycache__").rmdir()
    (sources / "__pycache__").write_text("")
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert found(np.ones(2, np.float32)) == answer


posix = pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")


@posix
def test_nothing_is_made_that_others_may_write(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "CACHE_DIR", str(tmp_path / "named" / "deep"))
    os.umask(0)
    load(sources)
    made = [tmp_path / "named", *(tmp_path / "named").rglob("*")]
    assert any(path.suffix == ".nbc" for path in made)
    assert not any(path.stat().st_mode & 0o022 for path in made)
    assert os.umask(0) == 0


@posix
def test_a_folder_in_which_anybody_may_write_is_not_used(sources: Path, tmp_path: Path) -> None:
    (sources / "__pycache__").mkdir()
    (sources / "__pycache__").chmod(0o777)
    assert tmp_path / "home" in cache_folder(sources).parents


@posix
@pytest.mark.parametrize("trap", ["anybody's", "a group's", "a link", "a file", "another user's"])
def test_a_temporary_folder_of_somebody_else_is_not_used(
    trap: str, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sources / "__pycache__").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(sources / "double.py"))
    folder = tmp_path / "temporary" / f"orefield-kernels-{os.getuid()}"
    if trap == "a link":
        (tmp_path / "target").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "target")
    elif trap == "a file":
        folder.write_text("")
    elif trap == "another user's":
        user = os.getuid() + 1
        monkeypatch.setattr(os, "getuid", lambda: user)
        folder.with_name(f"orefield-kernels-{user}").mkdir(mode=0o700)
    else:
        folder.mkdir()
        folder.chmod(0o777 if trap == "anybody's" else 0o770)
    with pytest.warns(UserWarning, match="cannot be kept, every run compiles"):
        assert cache_folder(sources) is None


@posix
def test_the_temporary_folder_is_this_users_alone(
    sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (sources / "__pycache__").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(sources / "double.py"))
    os.umask(0)
    with pytest.warns(UserWarning, match="only; set NUMBA_CACHE_DIR"):
        found = cache_folder(sources)
    assert found.parent.stat().st_mode & 0o777 == 0o700
    _forget()
    with pytest.warns(UserWarning, match="only; set NUMBA_CACHE_DIR"):
        assert cache_folder(sources) == found  # the next process's, too
