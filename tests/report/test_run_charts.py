"""Laws of the charts of a run: which curves there are, and which points they have."""

import re

from made_runs import made_facts, made_history
from orefield.report.history import History
from orefield.report.run_charts import curves_section


def titles(shown: str) -> list[str]:
    return re.findall("<h3>(.*?)</h3>", shown)


def test_one_run_has_quality_over_time_and_steps_losses_and_the_kept_share() -> None:
    shown = curves_section([made_facts()])
    assert titles(shown) == [
        "PSNR over time",
        "PSNR over steps",
        "Terms of the loss, weighted (logarithmic)",
        "Share of samples kept",
    ]
    time = shown[: shown.index("PSNR over steps")]
    assert [label in time for label in ("training rays", "test pixels", "all test views")] == [
        True
    ] * 3
    assert time.count("<circle") == 2 + len(made_history().evaluations) + 1  # legend, curve, star


def test_a_run_that_was_not_evaluated_has_no_score_at_the_end() -> None:
    shown = curves_section([made_facts(scores={})])
    assert "all test views" not in shown


def test_several_runs_have_a_curve_each_and_a_chart_for_each_term() -> None:
    shown = curves_section([made_facts("one"), made_facts("two")])
    assert titles(shown)[-2:] == ["Loss: color (logarithmic)", "Loss: distortion (logarithmic)"]
    kept = shown[shown.index("Share of samples kept") : shown.index("Loss: color")]
    assert re.findall(r"</svg>(\w+)</li>", kept) == ["one", "two"]
    styles = re.findall(r'class="curve line (c\d d\d)"', kept)
    assert styles[:2] == styles[2:] == ["c0 d0", "c1 d1"]


def test_runs_of_one_name_have_one_color() -> None:
    shown = curves_section([made_facts("arm"), made_facts("other"), made_facts("arm")])
    kept = shown[shown.index("Share of samples kept") :]
    styles = re.findall(r'class="curve line (c\d) d\d"', kept[: kept.index("</figure>")])
    assert styles == ["c0", "c1", "c0", "c1", "c0"]


def test_without_a_course_there_is_a_sentence() -> None:
    assert "No course of the training" in curves_section([made_facts(history=History(), scores={})])
