"""Renders for every visitor in turn, and for a film, in pieces that fit into the share of time."""

from collections.abc import Callable
from time import perf_counter

import torch

from orefield.errors import OrefieldError
from orefield.rendering.crop import CroppedField
from orefield.scenes.scene import Scene
from orefield.types import Field, Sampler
from orefield.viewer.film import Film
from orefield.viewer.jobs import Mapping
from orefield.viewer.picture import Subject
from orefield.viewer.time_share import TimeShare
from orefield.viewer.visitor import Visitor

Corner = tuple[float, float, float]


class RenderLoop:
    """All rendering of a viewer; lives in the thread that trains."""

    def __init__(
        self,
        field: Field,
        sampler: Sampler,
        scene: Scene,
        share: TimeShare,
        mapping: Mapping | None = None,
        clock: Callable[[], float] = perf_counter,
    ) -> None:
        """`mapping` makes mining maps; None where nothing is trained."""
        self.whole, self.scene, self.share, self.clock = field, scene, share, clock
        self.subject = Subject(field, sampler, (*scene.train, *scene.test), mapping)
        self.visitors: dict[int, Visitor] = {}
        self.film: Film | None = None
        self.corners: tuple[Corner, Corner] | None = None
        """Of the crop box."""
        self.notes: list[str] = []
        """What was finished, for people."""
        self.step = 0
        """Training steps so far."""
        self._turn = 0

    def crop(self, corners: tuple[Corner, Corner] | None) -> None:
        """Show the box between two opposite corners in scene units alone; None shows everything.

        Which corner is the lower one does not matter.
        """
        self.subject.field, self.corners = self.whole, corners
        if corners is not None:
            one, other = map(torch.tensor, corners)
            low, high = torch.minimum(one, other), torch.maximum(one, other)
            scene = self.scene
            self.subject.field = CroppedField(
                self.whole, low, high, scene.background_extent, scene.frustum
            )
        for visitor in self.visitors.values():
            visitor.start_over()

    def work(self, limited: bool = True) -> bool:
        """Render one piece, for whoever's turn it is; false where nothing is to be done.

        `limited`: keep within the share of the time, where that leaves nothing do nothing. Raises
        OrefieldError or OSError where a film cannot be written; there is none any more then.
        """
        now = self.clock()
        waiting = [v for v in self.visitors.values() if v.is_waiting(now, self.step)]
        everybody: list[Visitor | Film] = [*waiting, *([self.film] if self.film else [])]
        if not everybody:
            return False
        self._turn += 1
        chosen = everybody[self._turn % len(everybody)]
        with self.share.spending():
            if isinstance(chosen, Visitor):
                return self._draw(chosen, limited)
            return self._shoot(chosen, limited)

    def _draw(self, visitor: Visitor, limited: bool) -> bool:
        picture = visitor.work(self.subject)
        if limited and not self.share.allows(picture.expected()):
            return False
        picture.advance()
        if picture.done:
            visitor.show(self.clock(), self.step)
        return True

    def _shoot(self, film: Film, limited: bool) -> bool:
        try:
            job = film.work(self.subject)
            if limited and not self.share.allows(job.expected()):
                return False
            job.advance(self.subject.field)
            if job.done:
                film.write()
            if film.done:
                self.film = None
                self.notes.append(film.output.finish(film.path.fps))
        except (OrefieldError, OSError):
            self.film = None
            raise
        return True
