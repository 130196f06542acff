"""How the training goes: a pause button, and PSNR and kept share as they develop."""

import numpy as np
import viser
from viser import uplot

from orefield.viewer.clients import Post
from orefield.viewer.numbers import LiveNumbers
from orefield.viewer.time_share import TimeShare

_EVERY = 0.5
"""Seconds between two updates."""


class TrainingPanel:
    """Shared by all pages."""

    def __init__(self, server: viser.ViserServer, share: TimeShare, post: Post) -> None:
        self.share, self.numbers = share, LiveNumbers()
        self.paused = False
        self._shown_at = -_EVERY
        gui = server.gui
        with gui.add_folder("Training", order=1):
            self.status = gui.add_markdown("waiting for the first step")
            self.button = gui.add_button("Pause", icon=viser.Icon.PLAYER_PAUSE)
            nothing = np.zeros(1), np.zeros(1)
            self.psnr, self.kept = (
                gui.add_uplot(
                    nothing,
                    (uplot.Series(), uplot.Series(label=label, stroke=color, width=2)),
                    # Fixed: viser's own fit to growing data loses its hold now and then.
                    scales={"x": uplot.Scale(time=False, range=(0.0, 100.0))},
                    legend=uplot.Legend(show=False),
                    title=title,
                    height=85,
                )
                for label, title, color in (
                    ("dB", "PSNR of training rays (dB) over % of the budget", "#b3541e"),
                    ("%", "samples kept (%) over % of the budget", "#2f6f8f"),
                )
            )
        self.button.on_click(lambda _: post(self._toggle))

    def show(self) -> None:
        """Bring the page up to date, now and then."""
        now = self.share.clock()
        if now - self._shown_at < _EVERY:
            return
        self._shown_at = now
        self.status.content = self.numbers.text(self.share.used)
        curve = np.array(self.numbers.curve, dtype=float).reshape(-1, 3)
        curve = curve[np.isfinite(curve).all(1)]
        if len(curve) > 1:
            self.psnr.data = curve[:, 0], curve[:, 1]
            self.kept.data = curve[:, 0], curve[:, 2]

    def _toggle(self) -> None:
        self.paused = not self.paused
        self.button.label = "Go on" if self.paused else "Pause"
        self.button.icon = viser.Icon.PLAYER_PLAY if self.paused else viser.Icon.PLAYER_PAUSE
