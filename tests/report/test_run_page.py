"""Laws of a run's page: what it has to say, of one run and of several."""

import re

import pytest

from made_runs import HOSTILE, made_facts, made_history
from orefield.config import MiningConfig, RunConfig, to_dict
from orefield.report.history import History
from orefield.report.markup import text
from orefield.report.run_page import facts_list, protocol_facts, run_page

DEFAULTS = to_dict(RunConfig())


def pairs(page: str) -> dict[str, str]:
    """Names and values of the protocol, as text."""
    found = re.findall(r"<dt>(.*?)</dt><dd[^>]*>(.*?)</dd>", page)
    return {name: value.replace("<wbr>", "") for name, value in found}


def test_a_page_says_what_has_to_be_known_of_a_run() -> None:
    said = pairs(run_page([made_facts()], DEFAULTS))
    assert said["Scene"] == "bench"
    assert said["Resolution"] == "60 × 40"
    assert said["Views"] == "5 for training, 2 for testing"
    assert said["Split"] == "every 8th image"
    assert said["Background"] == "white"
    assert said["Rule"] == "importance"
    assert said["Training time"] == "10.0 s"
    assert said["Steps"] == "200"
    assert said["Device"] == "cpu: An Abacus 9000"
    assert said["Version"] == "Orefield 0.2.0"
    assert said["Files"] == "/photos/bench"


def test_scores_lead_the_page() -> None:
    page = run_page([made_facts()], DEFAULTS)
    header = page[page.index("<header") : page.index("</header>")]
    assert '<data value="25.875">25.88</data>' in header
    assert '<data value="0.765">0.7650</data>' in header


def test_a_run_that_was_not_evaluated_has_a_page_with_what_there_is() -> None:
    run = made_facts(protocol={}, scores={}, views=())
    page = run_page([run], DEFAULTS)
    said = pairs(page)
    assert (said["Split"], said["Device"]) == ("not recorded", "not recorded")
    assert said["Steps"] == "200"
    assert "stopped or not evaluated yet" in page
    assert "Nothing was evaluated." in page
    assert "PSNR over time" in page
    empty = made_facts(protocol={}, scores={}, views=(), training={}, history=History())
    assert "No course of the training is recorded." in run_page([empty], DEFAULTS)


def test_the_settings_of_one_run_are_those_other_than_the_defaults() -> None:
    page = run_page([made_facts()], DEFAULTS)
    table = page[page.index("Settings other than the defaults") :]
    assert re.findall("<code>(.*?)</code>", table) == ["preset", "seed"]


def test_of_several_runs_only_what_differs_is_in_columns() -> None:
    other = to_dict(RunConfig(preset="ngp", seed=4, mining=MiningConfig(rule="hsm")))
    one, two = made_facts("first"), made_facts("second", settings=other, scores={"psnr": 24.5})
    page = run_page([one, two], DEFAULTS)
    table = page[page.index("Settings that differ") :]
    assert re.findall("<code>(.*?)</code>", table) == ["seed", "mining.rule"]
    protocol = page[page.index("<h2>Protocol") : page.index("<h2>Training")]
    rows = re.findall(r'<th scope="row">(.*?)</th>', protocol)
    assert rows == ["Rule", "Seed"]
    assert pairs(page)["Split"] == "every 8th image"
    scores = page[page.index("<h2>Scores") : page.index("<h2>Protocol")]
    assert 'value="24.5"' in scores
    assert 'value="25.875"' in scores


def test_nothing_that_differs_is_said_to_be_nothing() -> None:
    page = run_page([made_facts("one"), made_facts("two")], DEFAULTS)
    assert "<p>None.</p>" in page[page.index("Settings that differ") :]


@pytest.mark.parametrize("count", [1, 2])
def test_whatever_a_scene_and_its_folder_are_called_the_page_shows_it(count: int) -> None:
    settings = to_dict(RunConfig()) | {"device": HOSTILE}
    protocol = {"scene": HOSTILE, "split": HOSTILE, "resolution": [HOSTILE], HOSTILE: HOSTILE}
    history = made_history()
    for point in history.points:
        point.losses[HOSTILE] = 0.1
    runs = [
        made_facts(
            f"{HOSTILE}{i}",
            source=HOSTILE,
            version=HOSTILE,
            settings=settings | {"seed": i},
            protocol=protocol,
            history=history,
        )
        for i in range(count)
    ]
    page = run_page(runs, DEFAULTS)
    assert page.count("<script>") == page.count("</script>") == 1
    assert not re.search(r"<img[^>]*onerror", page)
    assert text(HOSTILE) in page


def test_a_page_names_no_address_outside_of_it() -> None:
    page = run_page([made_facts(), made_facts("b")], DEFAULTS)
    assert "http://" not in page
    assert "https://" not in page
    assert not re.search(r'(src|href|action)="(?!data:)', page)


def test_parts_of_a_protocol_that_are_not_known_here_are_shown_too() -> None:
    protocol = {"novel_part": 3, "versions": {"torch": "2.13.0", "numpy": "2.4"}, "psnr": "a mean"}
    facts = protocol_facts(made_facts(protocol=protocol))
    assert facts["Novel part"] == "3"
    assert facts["Versions"] == "torch 2.13.0, numpy 2.4"
    assert facts["PSNR"] == "a mean"


def test_long_values_have_a_line_of_their_own_at_the_end() -> None:
    shown = facts_list({"a": "x" * 50, "b": "short"})
    assert shown.index("short") < shown.index("xxx")
    assert shown.count('class="wide"') == 1
