"""Laws of a race's page from its folder: every arm, every seed, and what does not fit is named."""

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from made_runs import edit_json, made_race
from orefield.bench.race_folder import read_race, write_race_report
from orefield.errors import LONGEST, RunError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return made_race(tmp_path / "race")


def test_what_was_raced_is_read(folder: Path) -> None:
    race = read_race(folder)
    assert [arm.name for arm in race.arms] == ["plain", "hsm:optim.lr=0.03"] * 2
    assert (race.seeds, race.seconds, race.scene) == ((0, 1), 8.0, "bench")
    assert [arm.settings["optim"]["lr"] for arm in race.arms] == [0.02, 0.03] * 2
    assert [arm.settings["seed"] for arm in race.arms] == [0, 0, 1, 1]
    assert [e.test_psnr for e in race.arms[1].history.evaluations] == [22, 23, 25, 29]
    assert [len(arm.views) for arm in race.arms] == [1, 1, 0, 0]  # the first seed's renders
    assert race.summary["plain"]["test_psnr"] == {"mean": 28.0, "min": 27.5, "max": 28.5}


def test_the_page_shows_arms_curves_views_and_settings(folder: Path) -> None:
    page = write_race_report(folder).read_text(encoding="utf-8")
    assert page == (folder / "report.html").read_text(encoding="utf-8")
    for value in ("28.0", "27.5", "28.5", "33.3", "22.3"):
        assert f'<data value="{value}">' in page
    assert "27.50 to 28.50" in page
    time = page[page.index("PSNR of test pixels over time") :]
    lines = re.findall(r'class="curve dots (c\d) d\d"', time[: time.index("</figure>")])
    assert lines == ["c0", "c1", "c0", "c1", "c0", "c1"]  # two in the legend, then each seed's
    assert page.count("<img") == 3 + 3
    between = page[page.index("Settings that differ between arms") :]
    table = between[: between.index("</table>")]
    assert re.findall("<code>(.*?)</code>", table) == ["mining.rule", "optim.lr"]
    own = between[between.index("Settings of all arms") :]
    assert re.findall("<code>(.*?)</code>", own) == ["seconds"]


def test_a_race_of_one_arm_and_one_seed_has_a_page(folder: Path) -> None:
    arms = json.loads((folder / "race.json").read_text())["arms"]
    edit_json(folder / "race.json", "arms", to=arms[1:2])
    page = write_race_report(folder, folder / "there" / "page.html").read_text(encoding="utf-8")
    assert "There is one arm." in page
    assert " to " not in page[page.index("<h2>Result") : page.index("<h2>Cost")]


def test_a_race_of_before_there_were_renders_has_a_page(folder: Path) -> None:
    result = json.loads((folder / "race.json").read_text())
    for arm in result["arms"]:
        del arm["renders"], arm["test"]["views"]
    edit_json(folder / "race.json", to=result)
    page = write_race_report(folder).read_text(encoding="utf-8")
    assert "Test views" not in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("keys", "value", "named"),
    [
        (["arms"], [], "'arms'"),
        (["protocol"], None, "'protocol'"),
        (["protocol", "config"], 1, "'config'"),
        (["protocol", "config", "seed"], "one", "seed must be a whole number"),
        (["arms", 1, "arm"], "hsm:optim.lr=x", "optim.lr"),
        (["arms", 1, "arm"], "nobody's", "mining.rule"),
        (["arms", 0, "points"], [], "number 0: 'points'"),
        (["arms", 0, "points", 1, "psnr"], None, "number 0: 'points'"),
        (["arms", 2, "ms_per_stage"], {"other": 1.0}, "'ms_per_stage'"),
        (["arms", 0, "renders"], "../../elsewhere", "'renders'"),
        (["arms", 0, "test", "views", 0, "picture"], "../x.png", "'picture'"),
    ],
)
def test_what_does_not_fit_is_one_line(folder: Path, keys: list, value: Any, named: str) -> None:
    edit_json(folder / "race.json", *keys, to=value)
    with pytest.raises(RunError) as refused:
        write_race_report(folder)
    assert str(refused.value).startswith(str(folder / "race.json"))
    assert named in str(refused.value)


def outcome(folder: Path) -> str:
    try:
        write_race_report(folder)
    except RunError as error:
        return str(error)
    return "read"


def test_any_damage_ends_in_a_page_or_in_one_line(folder: Path) -> None:
    path = folder / "race.json"
    whole = path.read_text()
    draw = random.Random(0)
    junk = [None, True, -1, 0, 1e299, 10**400, "", "\ud800", [], {}, [[]], {"a": 1}]
    for _ in range(80):
        facts = json.loads(whole)
        inner: Any = facts
        while isinstance(inner, (dict, list)) and len(inner):
            at = draw.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
            if draw.random() < 0.3 or not isinstance(inner[at], (dict, list)):
                inner[at] = draw.choice(junk)
                break
            inner = inner[at]
        path.write_text(json.dumps(facts))
        line = outcome(folder)
        assert line.isprintable()
        assert 0 < len(line) <= LONGEST
