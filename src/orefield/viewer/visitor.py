"""One page that is open in a browser: its camera, and which picture it gets next."""

from typing import Protocol, runtime_checkable

from orefield.viewer.look import MINED, Eye, Look
from orefield.viewer.picture import Picture, Shown, Subject

_COARSE = 0.04
"""Seconds of rendering for a picture while the camera moves."""
_LEAST_PIXELS = 2_000.0
_FINER = 5.0
"""Times as many pixels in each sharper picture."""
_AT_REST = 0.2
"""Seconds without a motion after which pictures get sharper."""
_REFRESH = 1.0
"""Seconds after which a camera at rest sees what has been learned since."""


@runtime_checkable
class Canvas(Protocol):
    """Where a visitor sees pictures."""

    def show(self, shown: Shown) -> None:
        """Show a picture."""
        ...


class Visitor:
    """The camera and wishes of one page, and how sharp the picture is that it has."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas, self.look = canvas, Look()
        self.eye: Eye | None = None
        self.picture: Picture | None = None
        """In the making."""
        self.level = 0
        """Of the next picture: 0 is coarse, more is sharper; -1 when the sharpest is shown."""
        self._moved_at = self._shown_at = -1e9
        self._shown_step = -1
        self._is_stale = False
        """Whether something has changed since the picture was begun."""

    def move(self, eye: Eye, now: float) -> None:
        """The camera has moved at the time `now`, or the window has a new shape."""
        self.eye, self._moved_at = eye, now
        self.start_over()

    def wish(self, look: Look) -> None:
        """Something else is to be shown."""
        self.look, self.picture = look, None
        self.start_over()

    def start_over(self) -> None:
        """Begin with a coarse picture again; a coarse one that is begun is finished first.

        Else a camera that keeps moving would never see any.
        """
        if self.level != 0:
            self.picture = None
        self.level, self._is_stale = 0, True

    def is_waiting(self, now: float, step: int) -> bool:
        """Whether a picture is due at the time `now`, after so many training steps."""
        if self.eye is None:
            return False
        if self.picture is not None or self.level == 0:
            return True
        if self.level > 0:
            return now - self._moved_at >= _AT_REST
        return step != self._shown_step and now - self._shown_at >= _REFRESH

    def work(self, subject: Subject) -> Picture:
        """The picture to go on with."""
        if self.picture is None:
            assert self.eye is not None
            pixels = float(self.eye.width * self.eye.height)
            if self.level >= 0:
                speed = subject.speed
                rate = speed.mapped if self.look.show in MINED else speed.rays
                pixels = max(rate * _COARSE, _LEAST_PIXELS) * _FINER**self.level
            self.picture, self._is_stale = Picture(subject, self.eye, self.look, pixels), False
        return self.picture

    def show(self, now: float, step: int) -> None:
        """Show the finished picture."""
        assert self.picture is not None
        picture, self.picture = self.picture, None
        self.canvas.show(picture.result())
        if self._is_stale:
            return
        self._shown_at, self._shown_step = now, step
        self.level = -1 if picture.sharpest else self.level + 1
