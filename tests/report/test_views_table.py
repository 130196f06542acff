"""Laws of the table of test views: every number, every picture that there is, nothing else."""

import re
from pathlib import Path

from made_runs import HOSTILE, made_facts, save_comparison
from orefield.errors import one_line
from orefield.report.facts import ScoredView
from orefield.report.markup import text
from orefield.report.views_table import views_section


def views(folder: Path, names: list[str], pictured: int, shade: float = 0.2) -> tuple:
    for index in range(pictured):
        save_comparison(folder / f"{index}.png", shade=shade)
    return tuple(
        ScoredView(name, {"psnr": 20.25 + i, "ssim": 0.5 + i / 7}, folder / f"{i}.png")
        for i, name in enumerate(names)
    )


def test_every_score_of_every_view_is_on_the_page(tmp_path: Path) -> None:
    names = [f"view {i}" for i in range(7)]
    run = made_facts(views=views(tmp_path, names, 7))
    shown = views_section([run])
    for view in run.views:
        for value in view.scores.values():
            assert f'<data value="{value!r}">' in shown
        assert text(view.name) in shown
    means = shown[shown.index("<tfoot") :]
    assert [f'value="{value!r}"' in means for value in run.scores.values()] == [True, True]
    assert shown.count("<img") == 3 * 7
    assert "no picture" not in shown


def test_a_score_that_only_some_views_have_leaves_a_dash() -> None:
    some = ScoredView("a", {"psnr": 20.0, "lpips": 0.125}, None), ScoredView("b", {}, None)
    shown = views_section([made_facts(views=some, scores={"psnr": 20.0})])
    assert "LPIPS" in shown
    body = shown[shown.index("<tbody") : shown.index("<tfoot")]
    assert body.count(">–</td>") == 2


def test_views_without_a_picture_are_counted_and_keep_their_scores(tmp_path: Path) -> None:
    shown = views_section([made_facts(views=views(tmp_path, list("abcde"), 2))])
    assert shown.count("<img") == 3 * 2
    assert shown.count(">no picture<") == 3 * 3
    assert "3 of 5 have no picture in the run&#x27;s folder." in shown


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    run = made_facts(views=views(tmp_path, ["a", "b"], 2))
    (tmp_path / "1.png").write_bytes(b"\x89PNG")
    assert "Not readable as a comparison: 1.png." in views_section([run])


def test_nothing_evaluated_and_nothing_to_evaluate_are_told_apart() -> None:
    assert "Nothing was evaluated." in views_section([made_facts(views=())])
    alone = views_section([made_facts(views=(), test_views=0)])
    assert "has no test views" in alone


def test_runs_side_by_side_share_their_photograph(tmp_path: Path) -> None:
    one = made_facts("one", views=views(tmp_path / "one", ["a", "b"], 2))
    two = made_facts("two", views=views(tmp_path / "two", ["b", "c"], 2))
    shown = views_section([one, two], "Arm")
    bodies = re.findall("<tbody>.*?</tbody>", shown)
    assert [body.count("<tr>") for body in bodies] == [1, 2, 1]
    assert [len(re.findall('class="photograph"', body)) for body in bodies] == [1, 1, 1]
    assert [body.count("<img") for body in bodies] == [3, 5, 3]
    assert 'class="run">Arm</th>' in shown


def test_runs_on_other_photographs_show_their_own(tmp_path: Path) -> None:
    one = made_facts("one", views=views(tmp_path / "one", ["a"], 1))
    two = made_facts("two", views=views(tmp_path / "two", ["a"], 1, shade=0.9))
    assert views_section([one, two]).count('class="photograph"') == 1 + 2  # and the heading


def test_views_of_equal_names_are_several_views() -> None:
    twins = ScoredView("a", {"psnr": 20.0}, None), ScoredView("a", {"psnr": 30.0}, None)
    shown = views_section([made_facts("x", views=twins), made_facts("y", views=twins)])
    assert shown.count("<tbody>") == 2


def test_names_of_views_are_escaped(tmp_path: Path) -> None:
    shown = views_section([made_facts(views=views(tmp_path, [HOSTILE], 1))])
    assert "<script" not in shown
    assert "<img src=x" not in shown
    assert text(one_line(HOSTILE)).replace("/", "/<wbr>") in shown
