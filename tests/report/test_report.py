"""Laws of reports: histories average what they take in, pictures show what they say."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from limits import small_files
from orefield.errors import RunError
from orefield.report.history import Evaluation, History, history_from_dict
from orefield.report.pictures import (
    comparison,
    contact_sheet,
    error_pixels,
    save_picture,
)
from orefield.report.plots import plot_kept, plot_psnr


@dataclass
class FakeStep:
    step: int
    seconds: float
    losses: dict[str, float] = field(default_factory=lambda: {"color": 0.01})
    rays: int = 100
    evaluated: int = 1000
    kept: int = 250


def colored(step: int, loss: float, evaluated: int = 1000, kept: int = 250) -> FakeStep:
    return FakeStep(step, 0.1 * step, {"color": loss}, evaluated=evaluated, kept=kept)


@given(st.integers(1, 1500), st.integers(1, 300))
def test_history_has_a_point_for_each_hundredth_that_some_step_passes(
    steps: int, saved_every: int
) -> None:
    history = History()
    for step in range(1, steps + 1):
        history.add(FakeStep(step, step * 0.01), step / steps)
        if step % saved_every == 0:
            history.to_dict()  # what a save does; it leaves no trace
    assert len(history.points) == min(steps, 100)
    assert history.points[-1].step == steps
    assert history.points[0].train_psnr == pytest.approx(20.0)
    assert {point.kept_share for point in history.points} == {0.25}


def test_a_resumed_history_goes_on_at_its_new_budgets_pace() -> None:
    history = History()
    for step in range(1, 1001):
        history.add(FakeStep(step, step * 0.01), step / 1000)
    resumed = history_from_dict(history.to_dict(), "metrics.json")
    resumed.skip_to(1000 / 2000)
    for step in range(1001, 2001):
        resumed.add(FakeStep(step, step * 0.01), step / 2000)
    assert [point.step for point in resumed.points[100:]] == list(range(1020, 2001, 20))


def test_history_averages_losses_and_weighs_shares_by_samples() -> None:
    history = History()
    history.add(FakeStep(1, 0.1, {"color": 0.1, "depth": 2.0}, evaluated=100, kept=100), 0.001)
    history.add(colored(2, 0.3, evaluated=300, kept=0), 0.002)
    assert history.points == []
    pending = history.to_dict()["points"]
    history.close_point()
    (point,) = history.points
    assert point.train_psnr == pytest.approx(-10 * np.log10(0.2))
    assert point.losses == {"color": pytest.approx(0.2), "depth": 2.0}
    assert (point.kept_share, point.step, point.seconds) == (0.25, 2, 0.2)
    assert history.to_dict()["points"] == pending  # what is saved on the way lacks nothing


def test_skipped_steps_do_not_spoil_the_average() -> None:
    history = History()
    history.add(colored(1, float("nan")), 0.001)
    history.add(colored(2, 0.01), 0.5)
    history.add(colored(3, float("inf")), 0.6)
    assert [point.train_psnr for point in history.points] == [pytest.approx(20.0), None]


def test_history_survives_json_and_names_what_does_not_fit() -> None:
    history = History()
    history.add(FakeStep(1, 0.1), 1.0)
    history.evaluations.append(Evaluation(1, 0.1, 12.5))
    written = history.to_dict()
    assert list(written) == ["points", "evaluations"]
    assert {"evaluated_per_step", "losses"} <= set(written["points"][0])
    again = history_from_dict(written, "metrics.json")
    assert (again.points, again.evaluations) == (history.points, history.evaluations)
    for wrong, message in (
        ({"points": [{"step": 1}], "evaluations": []}, "'points', number 0: expected step, sec"),
        ({"points": [], "evaluations": [[]]}, "'evaluations', number 0: expected step, seconds"),
        ({"points": []}, "'evaluations' is missing or no list"),
        ({"points": {}, "evaluations": []}, "'points' is missing or no list"),
    ):
        with pytest.raises(RunError, match=rf"metrics\.json: {message}"):
            history_from_dict(wrong, "metrics.json")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("step", value) for value in (-1, 1.0, True, "1", None, 10**400)),
        *(("seconds", value) for value in (float("nan"), float("inf"), "1", [], 10**400)),
        *(("losses", value) for value in (None, [], {"color": "low"}, {"color": float("nan")})),
        ("train_psnr", "high"),
    ],
)
def test_a_history_with_a_value_of_another_kind_is_refused(name: str, value: object) -> None:
    history = History()
    history.add(FakeStep(1, 0.1), 1.0)
    written = history.to_dict()
    written["points"][0][name] = value
    with pytest.raises(RunError, match=f"'points', number 0: '{name}' is "):
        history_from_dict(written, "metrics.json")


def test_a_term_of_the_loss_that_overflowed_is_left_out() -> None:
    history = History()
    history.add(FakeStep(1, 0.1, {"color": 0.1, "depth": float("inf")}), 1.0)
    assert list(history.to_dict()["points"][0]["losses"]) == ["color"]


def test_error_is_dark_where_equal_and_brightest_from_a_quarter_on() -> None:
    truth = torch.zeros(1, 3, 3)
    render = torch.tensor([[[0.0] * 3, [0.25, 0.0, 0.0], [0.0, 0.9, 0.0]]])
    dark, quarter, more = error_pixels(render, truth)[0].astype(int)
    assert dark.sum() < 10 < quarter.sum()
    assert (quarter == more).all()


def test_a_comparison_shows_photograph_render_and_error_in_this_order() -> None:
    truth, render = torch.zeros(20, 30, 3), torch.ones(20, 30, 3)
    sheet = np.asarray(comparison(truth, render, "a very long name of a view" * 3, 0.0))
    below = sheet[-20:]
    assert (below[:, :30] == 0).all()
    assert (below[:, 34:64] == 255).all()
    assert (below[:, 68:] == error_pixels(render, truth)).all()
    # The label is cut: it never runs into the gap beside its panel.
    assert (sheet[:-20, 30:34] == 255).all()


def test_a_contact_sheet_has_a_cell_for_every_picture() -> None:
    pictures = [Image.new("RGB", (10 + i, 8), (0, 40 * i, 0)) for i in range(3)]
    sheet = contact_sheet(pictures, columns=2)
    assert sheet.size == (2 * 12 + 4, 2 * 8 + 4)
    corners = [sheet.getpixel(at) for at in ((0, 0), (16, 0), (0, 12))]
    assert corners == [(0, 0, 0), (0, 40, 0), (0, 80, 0)]


def test_plots_show_the_curves(tmp_path: Path) -> None:
    """More data, more ink: the written picture differs from that of an empty history."""
    history = History()
    for step in range(1, 11):
        history.add(colored(step, 0.1 / step), step / 10)
    history.add(colored(11, float("nan")), 1.0)
    history.evaluations.append(Evaluation(10, 10.0, 19.0))
    for plot in (plot_psnr, plot_kept):
        full, empty = tmp_path / "plots" / "full.png", tmp_path / "plots" / "empty.png"
        plot(full, history, "a run")
        plot(empty, History(), "a run")
        with Image.open(full) as one, Image.open(empty) as other:
            assert one.size == other.size == (910, 520)
            assert np.asarray(one).tobytes() != np.asarray(other).tobytes()


def test_a_picture_that_cannot_be_written_is_named_and_leaves_the_old_one(tmp_path: Path) -> None:
    """The operating system refuses files above a limit, in the middle of a write."""
    path = tmp_path / "renders" / "r_0.png"
    save_picture(np.zeros((4, 4, 3), np.uint8), path)
    before = path.read_bytes()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with small_files(), pytest.raises(OSError, match=r"renders/r_0\.png"):
        save_picture(noise, path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == ["r_0.png"]
