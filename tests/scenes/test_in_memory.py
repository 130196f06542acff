"""Laws of scenes made in memory: what is read from files, given as arrays, is the same scene."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orefield.cameras.file_units import pose_to_files
from orefield.config import RunConfig, SceneConfig
from orefield.errors import SceneError
from orefield.runs.loop import resume_run, start_run
from orefield.scenes import Scene, View, scene_of_views


def in_files_units(scene: Scene, views: tuple[View, ...]) -> list[View]:
    return [replace(view, pose=pose_to_files(view.pose, scene.to_world)) for view in views]


@pytest.fixture
def made(tiny_scene: Scene) -> Scene:
    parts = (in_files_units(tiny_scene, views) for views in (tiny_scene.train, tiny_scene.test))
    return scene_of_views("made", *parts)


def test_a_scene_in_memory_is_that_of_the_files(tiny_scene: Scene, made: Scene) -> None:
    torch.testing.assert_close(made.to_world, tiny_scene.to_world, atol=1e-6, rtol=0)
    assert made.near == pytest.approx(tiny_scene.near, rel=1e-5)
    assert made.background_extent == tiny_scene.background_extent
    for one, other in zip(
        (*made.train, *made.test), (*tiny_scene.train, *tiny_scene.test), strict=True
    ):
        assert one.name == other.name
        assert torch.equal(one.image, other.image)
        torch.testing.assert_close(one.pose, other.pose, atol=1e-5, rtol=0)


def test_pictures_without_alpha_are_opaque(tiny_scene: Scene) -> None:
    views = in_files_units(tiny_scene, tiny_scene.train)
    opaque = [replace(view, image=view.image[..., :3]) for view in views]
    scene = scene_of_views("opaque", opaque)
    assert all((view.image[..., 3] == 255).all() for view in scene.train)
    assert torch.equal(scene.train[0].image[..., :3], views[0].image[..., :3])
    assert scene.test == ()


def test_points_bound_what_is_sampled_and_a_given_box_wins(tiny_scene: Scene) -> None:
    views = in_files_units(tiny_scene, tiny_scene.train)
    box = (0.5, 0.0, -1.0, 4.0)
    scene = scene_of_views("boxed", views, (), SceneConfig(box=box), torch.rand(50, 3))
    assert scene.to_world[0, 0] == 4
    torch.testing.assert_close(
        scene.to_world[:3, 3] + 2, torch.tensor(box[:3], dtype=torch.float64)
    )


def test_a_run_on_it_is_resumed_with_it_and_not_without(
    made: Scene, tiny_config: RunConfig, tmp_path: Path
) -> None:
    run = start_run(made, tmp_path / "run", replace(tiny_config, steps=4))
    for _ in run.train():
        pass
    with pytest.raises(SceneError, match="made in memory"):
        resume_run(tmp_path / "run", steps=6)
    again = resume_run(tmp_path / "run", made, steps=6)
    assert [step.step for step in again.train()] == [5, 6]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda view: {"image": view.image[:-1]}, "image of .* is 16 x 15, its camera 16 x 16"),
        (lambda view: {"image": view.image[..., :2]}, r"expected bytes of RGB or RGBA, got .*2\]"),
        (lambda view: {"pose": view.pose * float("nan")}, "pose of .* must be finite"),
    ],
)
def test_what_does_not_fit_is_named(tiny_scene: Scene, change, message: str) -> None:
    views = in_files_units(tiny_scene, tiny_scene.train)
    spoiled = [replace(views[0], **change(views[0])), *views[1:]]
    with pytest.raises(SceneError, match=message):
        scene_of_views("spoiled", spoiled)


def test_settings_about_files_are_refused(tiny_scene: Scene) -> None:
    views = in_files_units(tiny_scene, tiny_scene.train)
    with pytest.raises(SceneError, match=r"scene\.downscale=2 is of no use"):
        scene_of_views("small", views, (), SceneConfig(downscale=2))
    with pytest.raises(SceneError, match="none: no training views"):
        scene_of_views("none", [])
