"""Laws of a run's page from its folder: nothing but the folder is needed."""

import json
import shutil
from pathlib import Path

import pytest

from made_runs import HOSTILE, edit_json, made_run
from orefield.config import RunConfig
from orefield.errors import RunError
from orefield.runs.loop import TrainingRun
from orefield.runs.report import read_run_facts, write_report, write_run_report


def test_every_score_of_metrics_json_is_on_the_page(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", names=tuple(f"./test/r_{i}" for i in range(9)))
    page = write_run_report(run).read_text(encoding="utf-8")
    test = json.loads((run / "metrics.json").read_text())["test"]
    for view in [test, *test["views"]]:
        for name in ("psnr", "ssim"):
            assert f'<data value="{view[name]!r}">' in page
    assert page.count("<img") == 3 * 9


def test_the_page_holds_no_address(tmp_path: Path) -> None:
    page = write_run_report(made_run(tmp_path / "run")).read_text(encoding="utf-8")
    assert "http://" not in page
    assert "https://" not in page


def test_equal_folders_give_equal_pages(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    before = write_run_report(run).read_bytes()
    assert write_run_report(run).read_bytes() == before


def test_training_and_evaluating_write_the_page(run: TrainingRun) -> None:
    list(run.train())
    assert not (run.folder / "report.html").exists()
    stopped = read_run_facts(run.folder)
    assert stopped.protocol["scene"] == run.scene.name  # a stopped run says what it was trained on
    assert (stopped.scores, stopped.views) == ({}, ())
    result = run.evaluate()
    assert result is not None
    page = (run.folder / "report.html").read_text(encoding="utf-8")
    assert f'<data value="{result["psnr"]!r}">' in page
    assert page.count("<img") == 3 * len(run.scene.test)


def test_a_run_that_was_not_evaluated_has_a_page(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    training = json.loads((run / "metrics.json").read_text())["training"]
    edit_json(run / "metrics.json", to={"training": training})
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "Nothing was evaluated." in page
    assert "<img" not in page  # pictures of an earlier evaluation are of other parameters


def test_missing_renders_are_said_and_not_missed(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run")
    shutil.rmtree(run / "renders")
    page = write_run_report(run).read_text(encoding="utf-8")
    assert "2 of 2 have no picture" in page
    assert "<img" not in page


@pytest.mark.parametrize("name", ["metrics.json", "config.json"])
def test_missing_and_damaged_files_are_named(tmp_path: Path, name: str) -> None:
    run = made_run(tmp_path / "run")
    (run / name).write_text("{")
    with pytest.raises(RunError, match=rf"run/{name}: not readable as JSON"):
        write_run_report(run)
    (run / name).unlink()
    with pytest.raises(RunError, match=rf"run/{name}: missing"):
        write_run_report(run)
    assert not (run / "report.html").exists()


def test_hostile_names_in_a_folder_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    run = made_run(
        tmp_path / "a<b>'\"&", scene=HOSTILE.replace("/", "|"), names=(HOSTILE, "\ud800")
    )
    page = write_run_report(run).read_text(encoding="utf-8")
    assert page.count("<script>") == 1
    assert "<img src=x" not in page
    assert "a&lt;b&gt;&#x27;&quot;&amp;" in page


def test_several_runs_are_told_apart_by_their_paths_where_their_names_are_equal(
    tmp_path: Path,
) -> None:
    one = made_run(tmp_path / "a" / "run")
    two = made_run(tmp_path / "b" / "run", RunConfig(preset="ngp", seed=9))
    three = made_run(tmp_path / "b" / "third")
    write_report([one, two, three], tmp_path / "new" / "page.html")
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    for name in (one, two, "third"):
        assert f">{name}</td>" in page
    with pytest.raises(RunError, match="each run can be named once"):
        write_report([one, one], tmp_path / "page.html")
    with pytest.raises(RunError, match="is a folder; expected a file"):
        write_report([one, two], tmp_path)
