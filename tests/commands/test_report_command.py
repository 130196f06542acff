"""Laws of `orefield report`, and of the pages that train, resume, eval and race write."""

import json
import shutil
from pathlib import Path

import pytest

from made_runs import made_race, made_run
from orefield.cli import main


def test_train_writes_a_page_with_all_of_it(whole_run: Path) -> None:
    page = (whole_run / "report.html").read_text(encoding="utf-8")
    test = json.loads((whole_run / "metrics.json").read_text())["test"]
    for view in test["views"]:
        assert f'<data value="{view["psnr"]!r}">' in page
    assert page.count("<img") == 3 * 2 + 2  # two test views, two pictures of mining maps
    assert "Where samples are kept" in page


def test_report_makes_the_same_page_without_the_scene(trained: Path, tiny_folder, capsys) -> None:
    written = (trained / "report.html").read_text(encoding="utf-8")
    (trained / "report.html").unlink()
    header = json.loads((trained / "config.json").read_text())
    header["scene"] = "/nowhere"
    (trained / "config.json").write_text(json.dumps(header))
    assert main(["report", str(trained)]) == 0
    assert capsys.readouterr().out == f"see {trained}/report.html\n"
    again = (trained / "report.html").read_text(encoding="utf-8")
    plain = again.replace("<wbr>", "").replace("/nowhere", str(tiny_folder))
    named = written.replace("<wbr>", "").replace(">whole<", f">{trained.name}<")
    # The folder's name leads the page; all else is the same.
    assert plain.replace(f"run {trained.name}", "run whole").count("<data") == named.count("<data")
    assert again.count("<img") == written.count("<img")


def test_eval_writes_the_page_anew(trained: Path) -> None:
    (trained / "report.html").unlink()
    assert main(["eval", str(trained)]) == 0
    assert (trained / "report.html").exists()


def test_overwrite_removes_an_earlier_page(trained: Path, tiny_folder: Path, tiny_flags) -> None:
    (trained / "report.html").write_text("old")
    words = ["train", str(tiny_folder), "--out", str(trained), "--overwrite", *tiny_flags]
    assert main(words) == 0
    assert (trained / "report.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_several_runs_are_compared(tmp_path: Path, capsys) -> None:
    runs = [str(made_run(tmp_path / name)) for name in ("a", "b")]
    out = tmp_path / "both.html"
    assert main(["report", *runs, "--out", str(out)]) == 0
    assert "2 runs of Orefield compared" in out.read_text(encoding="utf-8")
    assert not (tmp_path / "a" / "report.html").exists()
    assert main(["report", *runs]) == 1
    assert "needs --out FILE" in capsys.readouterr().err


def test_a_races_folder_gives_its_page(tmp_path: Path, capsys) -> None:
    race = made_race(tmp_path / "race")
    assert main(["report", str(race)]) == 0
    assert "Orefield race" in (race / "report.html").read_text(encoding="utf-8")
    run = made_run(tmp_path / "run")
    assert main(["report", str(run), str(race), "--out", str(tmp_path / "x.html")]) == 1
    assert "is a race, which has a page of its own" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "damage", "line"),
    [
        ("metrics.json", None, "metrics.json: missing"),
        ("metrics.json", "{]", "metrics.json: not readable as JSON"),
        ("metrics.json", '{"training": 3}', "metrics.json: 'training' is of the wrong kind"),
        ("config.json", None, "config.json: missing"),
    ],
)
def test_missing_and_damaged_files_are_one_line(
    tmp_path: Path, name: str, damage: str | None, line: str, capsys
) -> None:
    run = made_run(tmp_path / "run")
    (run / name).unlink()
    if damage is not None:
        (run / name).write_text(damage)
    assert main(["report", str(run)]) == 1
    error = capsys.readouterr().err
    assert f"run/{line}" in error
    assert error.count("\n") == 1


def test_pictures_are_not_read_through_links(tmp_path: Path, capsys) -> None:
    run = made_run(tmp_path / "run")
    shutil.move(run / "renders", tmp_path / "elsewhere")
    (run / "renders").symlink_to(tmp_path / "elsewhere")
    assert main(["report", str(run)]) == 1
    assert "renders: is a link" in capsys.readouterr().err


def test_report_needs_a_folder(capsys) -> None:
    assert main(["report"]) == 1
    assert "report needs the folder of a run or of a race" in capsys.readouterr().err


def test_resume_writes_the_page_anew(trained: Path) -> None:
    assert main(["resume", str(trained), "--steps", "14"]) == 0
    page = (trained / "report.html").read_text(encoding="utf-8")
    assert '<data value="14">14</data>' in page
    assert "Where samples are kept" in page  # of its first part
