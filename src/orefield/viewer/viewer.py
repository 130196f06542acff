"""The viewer: what the pages ask for is done here, in the thread that trains, between its steps.

The server's threads only put actions into a queue.
"""

import queue
from collections.abc import Callable
from math import radians
from pathlib import Path
from time import sleep

import torch
import viser

from orefield.cameras.focus import common_focus
from orefield.errors import OrefieldError
from orefield.scenes.scene import Scene
from orefield.viewer.clients import Clients
from orefield.viewer.coordinates import vertical_fov
from orefield.viewer.film import FilmOutput
from orefield.viewer.numbers import StepNumbers
from orefield.viewer.path_panel import PathPanel
from orefield.viewer.render_loop import RenderLoop
from orefield.viewer.scene_panel import ScenePanel
from orefield.viewer.training_panel import TrainingPanel

_LONGEST = 0.2
"""Seconds after one step at most, however much of the time the viewer may take."""
_LEAST_FOV = 30.0
_IDLE = 0.01
"""Seconds of sleep while nobody wants anything."""


class Viewer:
    """All pages of a run, and what is rendered for them."""

    def __init__(
        self,
        server: viser.ViserServer,
        loop: RenderLoop,
        folder: Path,
        film: FilmOutput,
        training: bool,
    ) -> None:
        """`folder`: the run's. `film`: where films go. `training`: whether steps will follow."""
        self.loop, self.share = loop, loop.share
        self._actions: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        post = self._actions.put
        _set_up_camera(server, loop.scene)
        self.training = TrainingPanel(server, self.share, post) if training else None
        self.clients = Clients(server, loop, post)
        self.scene = ScenePanel(server, loop.scene, loop, self.clients, post)
        self.path = PathPanel(server, loop, self.clients, post, folder, film)

    def after_step(
        self, step: StepNumbers, progress: float, stop: Callable[[], bool] = lambda: False
    ) -> None:
        """Do what the pages ask for, within the viewer's share of the time.

        `progress` in [0, 1]: of the training's budget. Returns after a pause only when somebody
        ends it, or `stop()` returns true.
        """
        assert self.training is not None
        self.loop.step = step.step
        begun = self.loop.clock()
        with self.share.spending():
            self.training.numbers.add(step, progress)
            self._tick()
        while self.loop.clock() - begun < _LONGEST and self._work(limited=True):
            pass
        if self.training.paused:
            panel = self.training
            with self.share.free():
                self.serve(lambda: stop() or not panel.paused)

    def serve(self, stop: Callable[[], bool]) -> None:
        """Do what the pages ask for, without a limit, until `stop()` returns true."""
        while not stop():
            self._tick()
            if not self._work(limited=False):
                sleep(_IDLE)

    def finish(self, stop: Callable[[], bool] = lambda: False) -> None:
        """Finish a film that was begun, unless `stop()` returns true."""
        self.serve(lambda: stop() or self.loop.film is None)

    def _tick(self) -> None:
        while not self._actions.empty():
            self._actions.get()()
        while self.loop.notes:
            self.clients.tell("Film", self.loop.notes.pop(0))
        self.path.tick()
        if self.training is not None:
            self.training.show()

    def _work(self, limited: bool) -> bool:
        try:
            return self.loop.work(limited)
        except (OrefieldError, OSError) as error:
            self.clients.tell("Film", str(error), is_error=True)
            return True


def _set_up_camera(server: viser.ViserServer, scene: Scene) -> None:
    """Begin where the first photograph was taken; turn about what the cameras see.

    Behind the cameras nothing was learned: a page that began there would begin with a poor picture.
    """
    poses = torch.stack([view.pose for view in scene.train]).double()
    first, up = poses[0], -poses[:, :, 1].mean(0)
    if float(up.norm()) < 0.1:
        up = -first[:, 1]
    place, ahead = first[:, 3], first[:, 2]
    focus = common_focus(poses)
    distance = max(1.0 if focus is None else float((focus - place) @ ahead), 0.2)
    server.scene.set_up_direction((up / up.norm()).numpy())
    camera = server.initial_camera
    camera.position = place.numpy()
    camera.look_at = (place + distance * ahead).numpy()
    camera.up = (up / up.norm()).numpy()
    camera.fov = radians(max(vertical_fov(scene.train[0].camera), _LEAST_FOV))
    camera.near = 0.005
