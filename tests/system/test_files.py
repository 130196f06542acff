"""Laws of files: whole or as before, and JSON or refused."""

import errno
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from orefield.errors import RunError, SceneError
from orefield.system.files import (
    read_json,
    remove_leftovers,
    sync_folder,
    write_atomically,
    write_json,
)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_not_json_are_never_written(tmp_path: Path, number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "metrics.json", {"psnr": number})
    assert list(tmp_path.iterdir()) == []


def test_what_is_written_is_read(tmp_path: Path) -> None:
    value = {"psnr": 20.5, "views": [{"name": "ä"}], "none": None}
    write_json(tmp_path / "a.json", {})
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", RunError) == value
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"nowhere/a\.json"):
        write_atomically(tmp_path / "nowhere" / "a.json", b"{}")
    (tmp_path / "a.json").mkdir()  # nothing can be moved over a folder
    with pytest.raises(OSError, match=r"a\.json"):
        write_atomically(tmp_path / "a.json", b"{}")
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"format": 3,', "not readable as JSON"),
        (b"\xff\xfe{", "not readable as JSON"),
        (b"[" * 200_000, "not readable as JSON"),
        (b"[1]", "expected a JSON object, got list"),
        (b" " * 2000, "is larger than 1000 bytes"),
    ],
    ids=["cut", "no UTF-8", "too deep", "list", "large"],
)
def test_what_is_no_json_object_is_an_error_of_the_callers_kind(
    tmp_path: Path, data: bytes, message: str
) -> None:
    largest = 1000 if data.isspace() else 2**20
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(SceneError, match=rf"a\.json: .*{message}"):
        read_json(tmp_path / "a.json", SceneError, largest)
    with pytest.raises(RunError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json", RunError)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a": 1, "b": 2, "a": 3}', "key 'a' is repeated"),
        ('{"a": {"b": 1, "b": 1}}', "key 'b' is repeated"),
        ('{"a": NaN}', "NaN is no number in JSON"),
        ('{"a": [-Infinity]}', "-Infinity is no number in JSON"),
    ],
)
def test_what_is_never_written_is_not_read_where_that_matters(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    assert read_json(tmp_path / "a.json", RunError)
    with pytest.raises(RunError, match=rf"a\.json: not readable as JSON: {message}"):
        read_json(tmp_path / "a.json", RunError, strict=True)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a device"])
def test_what_is_no_file_is_never_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path = Path("/dev/zero")
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(RunError, match="is not a regular file"):
        read_json(path, RunError)


@pytest.fixture
def calls(monkeypatch) -> list[tuple[str, str]]:
    """The calls that bring a file to the disk, in order, with what they are about."""
    told: list[tuple[str, str]] = []

    def name(target: object) -> str:
        path = Path(f"/proc/self/fd/{target}").readlink() if isinstance(target, int) else target
        return Path(str(path)).name

    for what in ("write", "fsync", "rename", "replace"):
        real = getattr(os, what)

        def called(target, *rest, what=what, real=real):
            told.append((what, name(target)))
            return real(target, *rest)

        monkeypatch.setattr(os, what, called)
    return told


def test_data_reach_the_disk_before_the_name_does(tmp_path: Path, calls) -> None:
    """In any other order a power cut may leave an empty file under the name."""
    write_atomically(tmp_path / "a", b"x" * 3_000_000)
    beside = f".a.{os.getpid()}"
    assert calls == [
        *[("write", beside)] * 3,
        ("fsync", beside),
        ("replace", beside),
        ("fsync", tmp_path.name),
    ]
    assert (tmp_path / "a").read_bytes() == b"x" * 3_000_000


@pytest.mark.parametrize(
    ("number", "fails"), [(errno.EINVAL, False), (errno.ENOTSUP, False), (errno.EIO, True)]
)
def test_a_file_system_that_cannot_sync_is_no_error_but_a_failed_sync_is(
    tmp_path: Path, number: int, fails: bool, monkeypatch
) -> None:
    def refuses(file: int) -> None:
        raise OSError(number, os.strerror(number))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", refuses)
    if fails:
        with pytest.raises(OSError, match=r"Input/output error: .*/a'"):
            write_atomically(tmp_path / "a", b"new")
        with pytest.raises(OSError, match="Input/output error"):
            sync_folder(tmp_path)
    else:
        write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "a").read_bytes() == (b"old" if fails else b"new")
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_link_planted_as_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (tmp_path / f".a.{os.getpid()}").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "a", b"new")
    assert (tmp_path / "precious").read_text() == "precious"


def test_leftovers_of_dead_processes_go_and_those_of_others_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    leftovers = [f".a.json.{dead.pid}", f".a.json.{os.getpid()}", ".a.json.99999999999999999999"]
    others = ["a.json", ".a.json.1", ".a.json.x", f".b.json.{dead.pid}", ".a.json.²"]
    for name in (*leftovers, *others):
        (tmp_path / name).write_text("")
    remove_leftovers(tmp_path, ["a.json"])
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(others)
