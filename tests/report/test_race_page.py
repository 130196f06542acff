"""Laws of a race's page that need no folder."""

import re

from made_runs import HOSTILE, made_facts, made_history
from orefield.config import RunConfig, to_dict
from orefield.report.race_page import RaceFacts, race_page


def spread(value: float) -> dict[str, float]:
    return {"mean": value, "min": value, "max": value + 1}


def made(name: str, reached: float | None = 3.0, peak: float | None = None) -> RaceFacts:
    summary = {
        "psnr": {"0.25": spread(20.0), "1.0": spread(25.0)},
        "test_psnr": spread(24.0),
        "test_ssim": spread(0.8),
        "seconds_to_plain": {"0.25": 1.0, "1.0": reached},
        "steps": spread(100),
        "ms_per_step": spread(20.5),
        "ms_per_stage": {name: 5.0},
        "kept_share": spread(0.25),
        "rays": 10.0,
        "peak_bytes": peak,
    }
    settings = to_dict(RunConfig(seconds=8.0))
    arm = made_facts(name, settings=settings, history=made_history(), views=())
    return RaceFacts(name, 8.0, settings, name, (arm, arm), (0, 1), {name: summary}, ())


def test_names_are_escaped_wherever_they_stand() -> None:
    page = race_page(made(HOSTILE), to_dict(RunConfig()))
    assert page.count("<script>") == page.count("</script>") == 1
    assert not re.search(r"<img[^>]*onerror", page)


def test_what_is_not_known_is_said() -> None:
    page = race_page(made("plain", reached=None), to_dict(RunConfig()))
    cost = page[page.index("<h2>Cost") : page.index("<h2>Protocol")]
    assert "never" in cost
    assert "not known" in cost
    assert 'value="2.0">2<' in race_page(made("plain", peak=2.0**21), to_dict(RunConfig()))


def test_times_are_shares_of_the_race() -> None:
    page = race_page(made("plain"), to_dict(RunConfig()))
    assert "PSNR at 2 s" in page
    assert "PSNR at 8 s" in page
