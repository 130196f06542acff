"""Laws of rendering for pages: in turn, coarse first, and without a trace in the training."""

import math
from dataclasses import replace

import pytest
import torch

from orefield.cameras.file_units import pose_to_files
from orefield.cameras.path_file import CameraPath, PathPose
from orefield.config import RunConfig, changed
from orefield.errors import RunError
from orefield.evaluation.mining_maps import mining_map
from orefield.rendering.pixels import Pixels, layer_pixels, to_pixels
from orefield.rendering.render import render_view
from orefield.runs.state import flat_tensors
from orefield.scenes import Scene
from orefield.training.trainer import Trainer
from orefield.viewer.film import Film
from orefield.viewer.look import SHOWS, Eye, Look, nearest_view
from orefield.viewer.picture import Shown
from orefield.viewer.render_loop import RenderLoop
from orefield.viewer.time_share import TimeShare
from orefield.viewer.visitor import Visitor


class Screen:
    """A canvas that keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[Shown] = []

    def show(self, shown: Shown) -> None:
        self.shown.append(shown)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Stack:
    """A film's output, in memory; full after so many frames."""

    def __init__(self, room: int = 1000) -> None:
        self.room, self.frames, self.begun = room, list[Pixels](), 0

    def begin(self) -> None:
        self.begun += 1

    def add(self, index: int, frame: Pixels) -> None:
        if index == self.room:
            raise RunError("no room")
        assert index == len(self.frames)
        self.frames.append(frame)

    def finish(self, fps: float) -> str:
        return f"{len(self.frames)} at {fps:g}"


def loop_of(trainer: Trainer, scene: Scene, clock: Clock | None = None) -> RenderLoop:
    parts = trainer.field, trainer.sampler, scene
    mapping = lambda view: mining_map(trainer, view)  # noqa: E731
    return RenderLoop(*parts, TimeShare(1.0), mapping, clock or Clock())


def eye_of(scene: Scene, width: int = 48, height: int = 32) -> Eye:
    return Eye(scene.train[0].pose.double(), 40.0, width, height)


def visit(loop: RenderLoop, number: int, eye: Eye, look: Look | None = None) -> Screen:
    screen = Screen()
    loop.visitors[number] = visitor = Visitor(screen)
    visitor.wish(look or Look())
    visitor.move(eye, loop.clock())
    return screen


def finish(loop: RenderLoop, clock: Clock) -> None:
    clock.now += 10  # at rest
    while loop.work(limited=False):
        pass


@pytest.mark.parametrize("kind", ["occupancy", "proposal"])
def test_pages_and_films_change_nothing_of_the_training(
    kind: str, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    tiny_config = changed(tiny_config, f"sampler.kind={kind},steps=4")
    watched, alone = Trainer(tiny_scene, tiny_config), Trainer(tiny_scene, tiny_config)
    clock = Clock()
    loop = loop_of(watched, tiny_scene, clock)
    screens = [visit(loop, i, eye_of(tiny_scene), Look(show=show)) for i, show in enumerate(SHOWS)]
    pose = pose_to_files(tiny_scene.train[1].pose, tiny_scene.to_world)
    stack = Stack()
    loop.film = Film(
        CameraPath((PathPose(pose, 40.0),) * 3, 12, 8), tiny_scene.to_world, (0.0, 0.0, 0.0), stack
    )
    for i in range(tiny_config.steps):
        loop.step = watched.advance().step
        before = watched.seconds
        loop.crop(((0.2, 0.2, 0.2), (0.8, 0.9, 0.8)) if i % 2 else None)
        finish(loop, clock)
        assert watched.seconds == before
        assert all(p.grad is None or not p.grad.any() for p in watched.field.parameters())
        alone.advance()
    assert all(screen.shown for screen in screens)
    assert len(stack.frames) == 3
    one, other = flat_tensors(watched.state_dict()), flat_tensors(alone.state_dict())
    for name in other:
        assert torch.equal(one[name], other[name]), name


def test_pictures_get_sharper_at_rest_and_coarse_when_the_camera_moves(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    loop = loop_of(Trainer(tiny_scene, tiny_config), tiny_scene, clock)
    loop.subject.speed.rays = 1.0  # so slow that coarse is as coarse as can be
    eye = eye_of(tiny_scene, 150, 100)
    screen = visit(loop, 0, eye)
    while loop.work():
        loop.subject.speed.rays = 1.0
    assert [len(s.picture) for s in screen.shown] == [37]
    clock.now += 1
    while loop.work():
        loop.subject.speed.rays = 1.0
    heights = [len(s.picture) for s in screen.shown]
    assert heights == sorted(heights)
    assert heights[-1] == 100
    assert not loop.work()  # nothing is learned, nothing is new
    loop.visitors[0].move(eye_of(tiny_scene, 150, 100), clock.now)
    while loop.work():
        loop.subject.speed.rays = 1.0
    assert len(screen.shown[-1].picture) == 37


def test_at_rest_a_page_sees_what_was_learned_since(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    trainer = Trainer(tiny_scene, tiny_config)
    loop = loop_of(trainer, tiny_scene, clock)
    screen = visit(loop, 0, eye_of(tiny_scene))
    finish(loop, clock)
    before = len(screen.shown)
    loop.step = trainer.advance().step
    assert not loop.visitors[0].is_waiting(clock.now, loop.step)
    clock.now += 2
    finish(loop, clock)
    assert len(screen.shown) == before + 1


def test_each_page_has_its_own_camera_and_one_that_leaves_is_not_missed(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    loop = loop_of(Trainer(tiny_scene, tiny_config), tiny_scene, clock)
    small = visit(loop, 1, eye_of(tiny_scene, 24, 16))
    large = visit(loop, 2, eye_of(tiny_scene, 400, 400))
    while not small.shown:
        assert loop.work()
    del loop.visitors[2]
    finish(loop, clock)
    assert {s.picture.shape for s in small.shown} == {(16, 24, 3)}
    assert all(s.picture.shape[0] == s.picture.shape[1] for s in large.shown)


def test_pieces_make_the_same_picture_as_a_whole_view(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    trainer = Trainer(tiny_scene, tiny_config)
    loop = loop_of(trainer, tiny_scene, clock)
    eye = eye_of(tiny_scene, 60, 40)
    camera = eye.camera(math.inf)
    whole = render_view(trainer.field, trainer.sampler, camera, eye.pose.float(), 0.0)
    for show in ("color", "depth", "opacity", "normals"):
        screen = visit(loop, 0, eye, Look(show=show, background=(0.0, 0.0, 0.0)))
        finish(loop, clock)
        expected = layer_pixels(show, whole, camera, eye.pose)
        assert abs(screen.shown[-1].picture.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("turned", [False, True])
def test_a_crop_box_turned_inside_out_is_the_same_box(
    turned: bool, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    trainer = Trainer(tiny_scene, tiny_config)
    loop = loop_of(trainer, tiny_scene, clock)
    corners = ((0.3, 0.3, 0.3), (0.6, 0.7, 0.6))
    loop.crop(corners[::-1] if turned else corners)
    screen = visit(loop, 0, eye_of(tiny_scene), Look(show="opacity"))
    finish(loop, clock)
    cropped = screen.shown[-1].picture
    loop.crop(None)
    finish(loop, clock)
    assert 0 < cropped.sum() < screen.shown[-1].picture.sum()


def test_a_photographs_own_camera_does_not_hide_the_picture(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """The page draws photographs just before their cameras."""
    clock = Clock()
    loop = loop_of(Trainer(tiny_scene, tiny_config), tiny_scene, clock)
    eye = eye_of(tiny_scene)
    inside = visit(loop, 0, eye)
    away = visit(loop, 1, replace(eye, pose=eye.pose + torch.tensor([0.0, 0.0, 0.0, 0.3]).double()))
    finish(loop, clock)
    assert inside.shown[-1].depth.max() < 0.05
    assert away.shown[-1].depth.min() > 0.05


def test_a_flat_crop_box_is_empty(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    clock = Clock()
    loop = loop_of(Trainer(tiny_scene, tiny_config), tiny_scene, clock)
    loop.crop(((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))
    screen = visit(loop, 0, eye_of(tiny_scene), Look(show="opacity"))
    finish(loop, clock)
    assert screen.shown[-1].picture.max() == 0


def test_photographs_are_those_of_the_nearest_camera(tiny_scene: Scene) -> None:
    views = (*tiny_scene.train, *tiny_scene.test)
    for view in views:
        pose = view.pose.double().clone()
        pose[:, 3] += 1e-3
        assert nearest_view(Eye(pose, 40.0, 8, 8), views) is view


def test_a_film_that_cannot_be_written_ends_and_the_pages_live_on(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    clock = Clock()
    loop = loop_of(Trainer(tiny_scene, tiny_config), tiny_scene, clock)
    screen = visit(loop, 0, eye_of(tiny_scene))
    pose = pose_to_files(tiny_scene.train[0].pose, tiny_scene.to_world)
    path = CameraPath((PathPose(pose, 40.0),) * 3, 12, 8)
    loop.film = Film(path, tiny_scene.to_world, (1.0, 1.0, 1.0), Stack(room=1))
    with pytest.raises(RunError, match="no room"):
        finish(loop, clock)
    assert loop.film is None
    finish(loop, clock)
    assert screen.shown


def test_a_films_frame_is_the_view_of_its_pose(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    clock = Clock()
    trainer = Trainer(tiny_scene, tiny_config)
    loop = loop_of(trainer, tiny_scene, clock)
    poses = [pose_to_files(view.pose, tiny_scene.to_world) for view in tiny_scene.train[:2]]
    path = CameraPath(tuple(PathPose(pose, 40.0) for pose in poses), 20, 10, fps=24.0)
    stack = Stack()
    loop.film = Film(path, tiny_scene.to_world, (1.0, 1.0, 1.0), stack)
    finish(loop, clock)
    assert loop.notes == ["2 at 24"]
    assert stack.begun == 1
    for i, view in enumerate(tiny_scene.train[:2]):
        expected = render_view(trainer.field, trainer.sampler, path.camera(i), view.pose, 1.0)
        assert abs(stack.frames[i].astype(int) - to_pixels(expected.color)).max() <= 1
