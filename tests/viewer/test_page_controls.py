"""Controls of the page in a browser: crop box, keyframes, path files, layers, photographs."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pytest
import torch

from orefield.cameras.file_units import pose_to_files
from orefield.cameras.paths import look_at
from orefield.config import RunConfig
from orefield.runs.watching import FilmFolder
from orefield.scenes import Scene
from orefield.training.trainer import Trainer
from orefield.viewer.ports import choose_port
from orefield.viewer.render_loop import RenderLoop
from orefield.viewer.server import open_server
from orefield.viewer.time_share import TimeShare
from orefield.viewer.viewer import Viewer
from watched_page import NEEDS_BROWSER, Watched

pytestmark = NEEDS_BROWSER


@pytest.fixture
def viewer_and_page(
    browser: Any, tiny_scene: Scene, tiny_config: RunConfig, tmp_path: Path
) -> Iterator[tuple[Viewer, Watched]]:
    """A viewer in a thread of its own, and its page."""
    trainer = Trainer(tiny_scene, tiny_config)
    for _ in range(20):
        trainer.advance()
    loop = RenderLoop(trainer.field, trainer.sampler, tiny_scene, TimeShare(1.0))
    port, stop = choose_port(), Event()
    with open_server("127.0.0.1", port) as server:
        viewer = Viewer(server, loop, tmp_path, FilmFolder(tmp_path), training=False)
        thread = Thread(target=viewer.serve, args=(stop.is_set,))
        thread.start()
        try:
            page = Watched(browser, port, 1000, 640)
            page.settled()
            yield viewer, page
            page.check()
        finally:
            stop.set()
            thread.join()
        page.page.close()


def until(condition: Callable[[], bool]) -> None:
    for _ in range(100):
        if condition():
            return
        time.sleep(0.1)
    pytest.fail("it does not happen")


def test_a_moved_corner_of_the_crop_box_changes_the_picture(
    viewer_and_page: tuple[Viewer, Watched],
) -> None:
    viewer, page = viewer_and_page
    (client,) = viewer.clients.pages.values()
    # In the middle of the window: notes lie in its corner.
    place, target, up = torch.tensor([[0.4, -1.2, 0.9], [0.3, 0.1, 0.0], [0, 0, 1]]).double()
    viewer.path.post(lambda: client.move_to(look_at(place, target, up), 60.0))

    def there() -> bool:
        eye = client.visitor.eye
        return eye is not None and torch.allclose(eye.pose[:, 3], place)

    until(there)
    whole = page.settled()
    page.page.get_by_label("crop box").check()
    until(lambda: viewer.loop.corners is not None)
    page.settled()
    corner = viewer.scene.handles[0]
    before = np.array(corner.position)
    corner.position = before + np.array([0.3, 0.0, 0.0])
    viewer.path.post(viewer.scene._changed)  # as when somebody has dragged it
    np.testing.assert_allclose(corner.position[1:], before[1:], atol=1e-4)
    until(lambda: viewer.loop.corners is not None and viewer.loop.corners[0][0] > 0.3)
    assert np.abs(page.settled() - whole).mean() > 1
    page.page.get_by_label("crop box").uncheck()
    until(lambda: viewer.loop.corners is None)


def test_keyframes_are_reordered_deleted_and_read_back(
    viewer_and_page: tuple[Viewer, Watched], tmp_path: Path
) -> None:
    viewer, page = viewer_and_page
    editor = viewer.path.editor
    for number in range(3):
        page.drag(60)
        page.settled()
        page.press("Add keyframe")
        until(lambda count=number + 1: len(editor.keyframes) == count)
    _, second, third = added = editor.keyframes.copy()

    def order() -> list[int]:
        return [next(i for i, one in enumerate(added) if one is mark) for mark in editor.keyframes]

    page.press("Earlier")
    until(lambda: order() == [0, 2, 1])
    page.press("Later")
    until(lambda: order() == [0, 1, 2])
    page.press("Save path")
    page.told("saved to")
    page.press("Delete")
    until(lambda: order() == [0, 1])
    page.press("Go to")
    (client,) = viewer.clients.pages.values()
    to_world = viewer.loop.scene.to_world

    def there() -> bool:
        eye = client.visitor.eye
        return eye is not None and torch.allclose(
            pose_to_files(eye.pose, to_world), second.pose, atol=1e-3
        )

    until(there)
    page.load(tmp_path / "camera_path.json")
    page.told("3 keyframes, 120 frames")
    assert len(editor.keyframes) == 3
    torch.testing.assert_close(editor.keyframes[2].pose, third.pose)


def test_every_layer_and_a_photograph_are_shown(
    viewer_and_page: tuple[Viewer, Watched],
) -> None:
    viewer, page = viewer_and_page
    last = page.settled()
    (client,) = viewer.clients.pages.values()
    for show in ("depth", "opacity", "normals", "photograph | render"):
        page.page.get_by_label("show", exact=True).click()
        page.page.get_by_role("option", name=show, exact=True).click()
        until(lambda wanted=show: client.visitor.look.show == wanted)
        until(lambda: client.visitor.level == -1)
        now = page.settled()
        assert np.abs(now - last).mean() > 1, show
        last = now
    assert "from the camera of" in client.caption.content
