"""Laws of metrics.json: what is read is checked, and what does not fit is named."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from made_runs import edit_json, made_run
from orefield.errors import LONGEST, RunError
from orefield.runs.metrics import read_metrics

NAN = float("nan")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return made_run(tmp_path / "run") / "metrics.json"


def test_what_was_written_is_read(path: Path) -> None:
    facts, metrics = json.loads(path.read_text()), read_metrics(path, path.parent / "renders")
    assert metrics.protocol == facts["protocol"]
    assert metrics.training["steps"] == 200
    assert len(metrics.history.points) == 20
    assert metrics.scores == {name: facts["test"][name] for name in ("psnr", "ssim")}
    view, written = metrics.views[1], facts["test"]["views"][1]
    assert (view.name, view.scores["psnr"]) == (written["name"], written["psnr"])
    assert view.picture == path.parent / "renders" / "v1.png"


@pytest.mark.parametrize("facts", [{}, {"protocol": None, "training": None, "test": None}])
def test_what_is_not_there_is_empty(path: Path, facts: dict) -> None:
    edit_json(path, to=facts)
    metrics = read_metrics(path, path.parent)
    assert (metrics.protocol, metrics.training, metrics.scores, metrics.views) == ({}, {}, {}, ())
    assert metrics.history.points == []


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (["protocol"], [], "'protocol'"),
        (["training"], 3, "'training'"),
        (["training", "points"], {}, "'training': 'points'"),
        (["training", "points", 0, "step"], "one", "'points', number 0"),
        (["training", "seconds"], "long", "'training': 'seconds'"),
        (["training", "steps"], -1, "'training': 'steps'"),
        (["test"], "good", "'test'"),
        (["test", "psnr"], "good", "'test': 'psnr'"),
        (["test", "psnr"], NAN, "NaN"),
        (["test", "views"], 1, "'views'"),
        (["test", "views", 0], [], "'views', number 0"),
        (["test", "views", 1, "ssim"], True, "'views', number 1: 'ssim'"),
        (["test", "views", 1, "psnr"], 10**400, "'views', number 1: 'psnr'"),
        (["test", "views", 1, "name"], None, "'views', number 1: 'name'"),
        *(
            (["test", "views", 1, "picture"], value, "'views', number 1: 'picture'")
            for value in ("../a.png", "/etc/passwd", "a\\b", "..", "", "C:x", "a\0", 3, "x" * 300)
        ),
    ],
)
def test_what_does_not_fit_is_one_line_that_names_it(
    path: Path, keys: list, value: Any, named: str
) -> None:
    edit_json(path, *keys, to=value)
    with pytest.raises(RunError) as refused:
        read_metrics(path, path.parent)
    assert str(refused.value).startswith(str(path))
    assert named in str(refused.value)


def test_a_score_that_is_null_is_left_out(path: Path) -> None:
    edit_json(path, "test", "views", 0, "ssim", to=None)
    assert list(read_metrics(path, path.parent).views[0].scores) == ["psnr"]


def outcome(path: Path) -> str:
    try:
        read_metrics(path, path.parent)
    except RunError as error:
        return str(error)
    return "read"


def test_any_damage_ends_in_metrics_or_in_one_line(path: Path) -> None:
    """A value somewhere in the tree becomes another, or the file is cut."""
    whole = path.read_text()
    draw = random.Random(0)
    junk = [None, True, -1, 1e308, 10**400, "", "\ud800", "\x1b", [], {}, [[]], {"a": 1}]
    for _ in range(150):
        facts = json.loads(whole)
        inner: Any = facts
        while isinstance(inner, (dict, list)) and len(inner):
            at = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if draw.random() < 0.35 or not isinstance(inner[at], (dict, list)):
                inner[at] = draw.choice(junk)
                break
            inner = inner[at]
        path.write_text(json.dumps(facts)[: draw.choice([None, None, None, 500])])
        line = outcome(path)
        assert line.isprintable()
        assert 0 < len(line) <= LONGEST
