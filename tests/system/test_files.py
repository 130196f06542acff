"""Laws of files: whole or as before, and JSON or refused."""

import math
from pathlib import Path

import pytest

from orefield.errors import RunError, SceneError
from orefield.system import files
from orefield.system.files import read_json, write_atomically, write_json


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
    tmp_path: Path, data: bytes, message: str, monkeypatch
) -> None:
    monkeypatch.setattr(files, "LARGEST_JSON", 1000 if data.isspace() else 2**20)
    (tmp_path / "a.json").write_bytes(data)
    with pytest.raises(SceneError, match=rf"a\.json: .*{message}"):
        read_json(tmp_path / "a.json", SceneError)
    with pytest.raises(RunError, match=r"b\.json: no such file"):
        read_json(tmp_path / "b.json", RunError)
