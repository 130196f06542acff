"""Laws of `orefield view` and `orefield train --viewer`: what cannot be done is one line."""

from pathlib import Path

import pytest

from orefield.cli import main
from orefield.viewer import ports


def said(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    return text


def test_a_folder_without_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path / "none")]) == 1
    assert "no such run folder" in said(capsys)


@pytest.mark.parametrize("command", ["view", "train"])
def test_without_the_packages(
    command: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ports, "find_spec", lambda name: None)
    words = ["view", str(tmp_path)] if command == "view" else ["train", "tankard", "--viewer"]
    assert main(words) == 1
    assert "pip install 'orefield[viewer]'" in said(capsys)


@pytest.mark.parametrize("share", ["0", "1.5", "nan"])
def test_a_share_outside_of_its_range(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tankard", "--viewer", f"--viewer-share={share}"]) == 1
    assert "viewer_share must be in (0, 1]" in said(capsys)


def test_a_host_that_is_not_this_machine(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "tankard", "--viewer", "--viewer-host", "203.0.113.7"]) == 1
    assert "no address of this machine" in said(capsys)


def test_a_resumed_run_is_watched_too(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["resume", str(trained), "--steps", "20", "--viewer"]) == 0
    out = capsys.readouterr().out
    assert "viewer: http://127.0.0.1:" in out
    assert "going on after 12 steps" in out
    assert "trained 20 steps" in out
    assert main(["resume", str(trained), "--viewer", "--viewer-share", "2"]) == 1
    assert "viewer_share must be in (0, 1]" in said(capsys)
