"""Laws of an evaluation's files: a picture for each view, whatever the views are called."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orefield.config import RunConfig
from orefield.errors import SceneError
from orefield.evaluation.views import refuse_small_views
from orefield.runs.evaluate import evaluate_run, file_stems
from orefield.runs.loop import TrainingRun, start_run
from orefield.scenes import Scene


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["./test/r_0.png"], ["test_r_0"]),
        (["a.png", "a.jpg", "a.TIFF"], ["a", "a-2", "a-3"]),
        (["cam 1/0.png", "cam_1/0.png", "Cam/1_0.png"], ["cam_1_0", "cam_1_0-2", "Cam_1_0-3"]),
        (["contact.png", "Contact.bmp"], ["contact-2", "Contact-3"]),
        (["con.png", "LPT1.jpg"], ["con-2", "LPT1-2"]),
        (["..", "\x1b[2J", "/"], ["view", "2J", "view-2"]),
        (["a-2.png", "a.png", "a.png"], ["a-2", "a", "a-3"]),
        (["二号楼/一.png"], ["二号楼_一"]),
    ],
)
def test_names_of_files(names: list[str], stems: list[str]) -> None:
    assert file_stems(names) == stems


@given(st.lists(st.text(min_size=1, max_size=300), min_size=1, max_size=30))
def test_names_of_files_differ_and_are_short(names: list[str]) -> None:
    stems = file_stems(names)
    assert len({stem.lower() for stem in stems}) == len(names)
    assert max(len(stem.encode()) for stem in stems) < 130
    assert not any("/" in stem or stem.startswith(".") for stem in stems)


def renamed(scene: Scene, names: list[str]) -> Scene:
    views = (scene.test * len(names))[: len(names)]
    test = tuple(dataclasses.replace(v, name=n) for v, n in zip(views, names, strict=True))
    return dataclasses.replace(scene, test=test)


def test_a_picture_for_each_view_and_the_contact_sheet(run: TrainingRun, tmp_path: Path) -> None:
    names = ["a/0.png", "a_0.png", "contact.png", "x" * 300, "line\nbreak", "无人机航拍照片" * 20]
    parts = run.trainer.field, run.trainer.sampler, renamed(run.scene, names), run.config
    result = evaluate_run(*parts, tmp_path / "renders")
    assert result is not None
    pictures = [view["picture"] for view in result["views"]]
    assert [view["name"] for view in result["views"]] == names
    found = {path.name for path in (tmp_path / "renders").iterdir()}
    assert found == {*pictures, "contact.png"}
    assert len(found) == len(names) + 1
    with Image.open(tmp_path / "renders/contact.png") as sheet:
        assert sheet.height > 3 * run.scene.test[0].camera.height
    json.dumps(result)


def test_plots_take_any_name_of_a_scene(run: TrainingRun) -> None:
    for name in ("a$b$c_{", "场景", "back\\slash", "es\x1bcape"):
        run.scene = dataclasses.replace(run.scene, name=name)
        run.evaluate()
        assert (run.folder / "plots/psnr.png").stat().st_size > 1000


def narrow(scene: Scene, width: int) -> Scene:
    """The scene with its first test view cut to so many columns."""
    view = scene.test[0]
    camera = dataclasses.replace(view.camera, width=width)
    cut = dataclasses.replace(view, camera=camera, image=view.image[:, :width].contiguous())
    return dataclasses.replace(scene, test=(cut, *scene.test[1:]))


def test_views_too_small_to_score_are_refused_before_training(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    with pytest.raises(SceneError, match="is 10 x 16 pixels, expected at least 11 x 11"):
        start_run(narrow(tiny_scene, 10), tmp_path / "run", tiny_config)
    assert not (tmp_path / "run").exists()
    refuse_small_views(narrow(tiny_scene, 11))
    refuse_small_views(dataclasses.replace(tiny_scene, test=()))
