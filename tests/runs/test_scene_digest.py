"""Laws of a scene's digest: equal for equal scenes wherever they lie, else it says what differs."""

import dataclasses
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image

from orefield.cameras import Camera
from orefield.config import RunConfig
from orefield.runs.loop import TrainingRun, resume_run, start_run
from orefield.runs.reopen import reopen_scene
from orefield.runs.scene_digest import SceneDigest, changes, digest_from_dict, digest_of
from orefield.scenes import Scene, View, open_scene
from orefield.scenes.scene import SceneWarning


def first(scene: Scene, **values: object) -> Scene:
    """The scene with another first training view."""
    view = dataclasses.replace(scene.train[0], **values)
    return dataclasses.replace(scene, train=(view, *scene.train[1:]))


def moved(scene: Scene, by: float) -> Scene:
    return first(scene, pose=scene.train[0].pose + by)


def zoomed(scene: Scene) -> Scene:
    camera = scene.train[0].camera
    return first(scene, camera=dataclasses.replace(camera, fx=camera.fx * 1.01))


def painted(scene: Scene) -> Scene:
    return first(scene, image=scene.train[0].image ^ 1)


def masked(scene: Scene) -> Scene:
    return first(scene, valid=scene.train[0].image[..., 0] > 300)


def swapped(scene: Scene) -> Scene:
    """Two views have each other's pose, and all else is as it was."""
    one, two, *rest = scene.train
    views = dataclasses.replace(one, pose=two.pose), dataclasses.replace(two, pose=one.pose)
    return dataclasses.replace(scene, train=(*views, *rest))


CHANGES: list[tuple[Callable[[Scene], Scene], str]] = [
    (lambda scene: scene, ""),
    (lambda scene: moved(scene, 1e-6), ""),  # another processor's rounding
    (lambda scene: moved(scene, 0.01), "other cameras"),
    (swapped, "other cameras"),
    (zoomed, "other cameras"),
    (painted, "other pictures"),
    (masked, "other pictures"),
    (lambda scene: first(scene, name="\udcffx"), "other names or sizes"),
    (lambda s: dataclasses.replace(s, train=s.train[1:]), "5 instead of 6 training views"),
    (lambda s: dataclasses.replace(s, test=()), "0 instead of 2 test views"),
]


@pytest.mark.parametrize(("change", "told"), CHANGES)
def test_what_differs_is_said(change, told: str, tiny_scene: Scene) -> None:
    before = digest_of(tiny_scene)
    assert changes(before, digest_of(change(tiny_scene))) == told
    stored = json.loads(json.dumps(dataclasses.asdict(before)))
    assert digest_from_dict(stored) == before


@pytest.mark.parametrize(
    "change",
    [
        {"train": -1},
        {"train": True},
        {"names": 2**32},
        {"pictures": 1.0},
        {"cameras": [0.0] * 23},
        {"cameras": [0] * 24},
        {"cameras": [float("nan")] * 24},
        {"cameras": None},
        {"more": 1},
    ],
    ids=str,
)
def test_a_digest_of_another_kind_is_none(change: dict[str, object]) -> None:
    sound = dataclasses.asdict(SceneDigest(6, 2, 11, 22, (0.5,) * 24)) | {"cameras": [0.5] * 24}
    assert digest_from_dict(dict(sound)) is not None
    assert digest_from_dict({**sound, **change}) is None
    assert digest_from_dict([sound]) is None


def test_hundreds_of_photographs_take_a_moment() -> None:
    camera = Camera(800, 800, 800.0, 800.0, 400.0, 400.0)
    image = torch.zeros(800, 800, 4, dtype=torch.uint8)
    views = tuple(View(f"{i}", camera, torch.eye(3, 4), image) for i in range(300))
    scene = Scene("large", views, (), torch.eye(4), 0.1, "official")
    digest_of(scene)
    begun = time.process_time()
    digest_of(scene)
    assert time.process_time() - begun < 0.3


@pytest.fixture
def own_scene(tmp_path: Path, tiny_folder: Path) -> Path:
    return Path(shutil.copytree(tiny_folder, tmp_path / "scene"))


@pytest.fixture
def stopped(tmp_path: Path, own_scene: Path, tiny_config: RunConfig) -> TrainingRun:
    """A run that was stopped in the middle."""
    run = start_run(open_scene(own_scene), tmp_path / "run", tiny_config)
    for step in run.train():
        if step.step == 5:
            break
    return run


def test_a_scene_that_changed_meanwhile_is_said(stopped: TrainingRun, own_scene: Path) -> None:
    resume_run(stopped.folder)  # warnings are errors here
    with Image.open(own_scene / "train/r_0.png") as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(own_scene / "train/r_0.png")
    told = r"scene: changed since training began: other pictures"
    with pytest.warns(SceneWarning, match=told):
        reopen_scene(stopped.header)
    with pytest.warns(SceneWarning, match=told):
        resume_run(stopped.folder)
    with pytest.warns(SceneWarning, match=told):
        resume_run(stopped.folder, open_scene(own_scene))


def test_a_scene_that_was_moved_is_the_same_and_found_again(
    stopped: TrainingRun, own_scene: Path
) -> None:
    place = own_scene.with_name("moved")
    own_scene.rename(place)
    assert resume_run(stopped.folder, source=str(place)).scene.source == str(place)
    assert resume_run(stopped.folder).scene.source == str(place)


def test_reading_outside_is_asked_for_again(
    tmp_path: Path, own_scene: Path, tiny_config: RunConfig
) -> None:
    outside = tmp_path / "outside.png"
    (own_scene / "train/r_0.png").rename(outside)
    (own_scene / "train/r_0.png").symlink_to(outside)
    allowed = dataclasses.replace(tiny_config.scene, allow_outside=True)
    run = start_run(open_scene(own_scene, allowed), tmp_path / "run", tiny_config)
    run.save()
    with pytest.raises(ValueError, match=r"trained with --scene\.allow-outside, which --allow-out"):
        resume_run(run.folder)
    resume_run(run.folder, allow_outside=True)
