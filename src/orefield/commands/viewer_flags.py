"""The flags with which a training is watched in the browser."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from orefield.errors import ConfigError

if TYPE_CHECKING:
    from orefield.runs.watching import ViewerPage


@dataclass(frozen=True)
class ViewerFlags:
    """Whether a page is served while a run trains, where, and how much time it may take."""

    viewer: tyro.conf.FlagCreatePairsOff[bool] = False
    """Serve a page on which the training can be watched; needs `pip install 'orefield[viewer]'`."""
    viewer_host: str = "127.0.0.1"
    """Address of the page: this machine alone, unless another is given."""
    viewer_port: int = 0
    """Port of the page; 0 takes the first free one from 7007 on."""
    viewer_share: float = 0.25
    """Share of the time, in (0, 1], that rendering for the page may take from the training."""

    def __post_init__(self) -> None:
        if not 0 < self.viewer_share <= 1:
            raise ConfigError(f"viewer_share must be in (0, 1], got {self.viewer_share}")

    @contextmanager
    def page(self) -> Iterator["ViewerPage | None"]:
        """Serve the page while the block lasts; None where it was not asked for."""
        from orefield.runs.watching import open_page

        if not self.viewer:
            yield None
            return
        with open_page(self.viewer_host, self.viewer_port) as page:
            yield page
