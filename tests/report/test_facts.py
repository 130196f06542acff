"""Laws of what a page is told."""

import pytest

from made_runs import made_facts
from orefield.report.facts import kept_share, score_title
from orefield.report.history import History, HistoryPoint


def point(step: int, evaluated: float, kept: float) -> HistoryPoint:
    return HistoryPoint(step, 0.1 * step, 20.0, {}, 1.0, evaluated, kept)


def test_the_kept_share_counts_samples_and_not_points() -> None:
    """10 steps of 100 samples, all kept; 30 steps of 300 samples, a tenth kept."""
    history = History([point(10, 100.0, 1.0), point(40, 300.0, 0.1)])
    assert kept_share(history) == pytest.approx((1000 + 900) / (1000 + 9000))
    assert kept_share(History()) is None
    assert kept_share(History([point(10, 0.0, 0.0)])) is None


def test_a_scene_is_called_as_the_protocol_calls_it_else_as_its_folder() -> None:
    assert made_facts().scene == "bench"
    assert made_facts(protocol={}, source="/photos/garden").scene == "garden"
    assert made_facts(protocol={}, source="tankard").scene == "tankard"


def test_scores_that_nobody_has_heard_of_keep_their_names() -> None:
    assert score_title("psnr") == ("PSNR", "dB", 2)
    assert score_title("lpips")[0] == "LPIPS"
    assert score_title("novel") == ("novel", "", 4)
