"""The Python in README.md, run as it stands but for its scene and its budget."""

import re
from functools import partial
from pathlib import Path

import pytest

from orefield.evaluation.probe import PixelProbe
from orefield.runs import loop
from orefield.runs.folder import load_run

README = Path(__file__).resolve().parents[2] / "README.md"


def test_the_readmes_ten_lines_train_evaluate_save_and_resume(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (snippet,) = (block for block in blocks if "start_run" in block)
    assert len(snippet.splitlines()) <= 10
    for words, tiny in (
        ('"tankard"', repr(str(tiny_folder))),
        ("seconds=30", "steps=3"),
        ("seconds=60", "steps=5"),
    ):
        assert snippet.count(words) == 1
        snippet = snippet.replace(words, tiny)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(loop, "PixelProbe", partial(PixelProbe, count=64))
    names: dict[str, object] = {}
    exec(compile(snippet, str(README), "exec"), names)
    printed = capsys.readouterr().out
    assert re.search(r"\bstep 3\b", printed)
    assert re.search(r"\d+\.\d+ dB", printed)
    run = load_run("runs/mine")
    assert run.header.config.steps == 5
    assert names["run"].trainer.step == 5
