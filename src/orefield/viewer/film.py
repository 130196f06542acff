"""A film along a camera path, rendered a piece at a time."""

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import view_rays
from orefield.cameras.file_units import pose_to_scene
from orefield.cameras.path_file import CameraPath
from orefield.rendering.pixels import Pixels, to_pixels
from orefield.viewer.jobs import RenderJob
from orefield.viewer.picture import Subject


@runtime_checkable
class FilmOutput(Protocol):
    """Where the frames of a film go. Raises OSError or OrefieldError where that fails."""

    def begin(self) -> None:
        """Make room: the frames of an earlier film go."""
        ...

    def add(self, index: int, frame: Pixels) -> None:
        """Write a frame."""
        ...

    def finish(self, fps: float) -> str:
        """Write the video; says, for people, what there is."""
        ...


class Film:
    """The frames of a path, one after the other."""

    def __init__(
        self,
        path: CameraPath,
        to_world: Float[Tensor, "4 4"],
        background: tuple[float, float, float],
        output: FilmOutput,
    ) -> None:
        """`path` is in the coordinates of the files, to which `to_world` leads."""
        self.path, self.to_world, self.output = path, to_world, output
        self.background = torch.tensor(background)
        self.frame = 0
        self._job: RenderJob | None = None

    @property
    def done(self) -> bool:
        """Whether all frames are written."""
        return self.frame >= len(self.path.frames)

    @property
    def progress(self) -> float:
        """Share of the frames that are written."""
        return self.frame / len(self.path.frames)

    def work(self, subject: Subject) -> RenderJob:
        """The frame to go on with."""
        if self._job is None:
            if self.frame == 0:
                self.output.begin()
            camera = self.path.camera(self.frame)
            pose = pose_to_scene(self.path.frames[self.frame].pose, self.to_world)
            rays = view_rays(camera, pose.float())
            shape = camera.height, camera.width
            self._job = RenderJob(subject.sampler, rays, shape, subject.speed)
        return self._job

    def write(self) -> None:
        """Write the finished frame."""
        assert self._job is not None
        self.output.add(self.frame, to_pixels(self._job.view(self.background).color))
        self._job, self.frame = None, self.frame + 1
