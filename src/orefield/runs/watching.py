"""The live viewer of a run: of one that trains, and of one that is read back."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orefield.evaluation.mining_maps import MiningMap, ProbeView, mining_map
from orefield.rendering.pixels import Pixels
from orefield.report.pictures import save_picture
from orefield.report.video import INSTALL, can_write_video, write_video
from orefield.runs.folder import Run, refuse_links
from orefield.runs.loop import TrainingRun
from orefield.scenes import Scene
from orefield.system.console import say
from orefield.viewer.ports import address_lines, check_installed, choose_port
from orefield.viewer.time_share import TimeShare

if TYPE_CHECKING:
    from viser import ViserServer

    from orefield.viewer.viewer import Viewer


@dataclass(frozen=True)
class ViewerPage:
    """The page, served and still empty: a run is put on it once there is one."""

    server: "ViserServer"

    def watch(self, run: TrainingRun, share: float) -> "Viewer":
        """The viewer of a run that is about to train; it takes at most `share` of the time."""
        from orefield.viewer.render_loop import RenderLoop
        from orefield.viewer.viewer import Viewer

        trainer = run.trainer

        def mapping(view: ProbeView) -> MiningMap:
            return mining_map(trainer, view)

        parts = trainer.field, trainer.sampler, run.scene, TimeShare(share)
        loop = RenderLoop(*parts, mapping)
        return Viewer(self.server, loop, run.folder, FilmFolder(run.folder), training=True)

    def look_at(self, run: Run, scene: Scene) -> "Viewer":
        """The viewer of a run that was read back."""
        from orefield.viewer.render_loop import RenderLoop
        from orefield.viewer.viewer import Viewer

        loop = RenderLoop(run.field, run.sampler, scene, TimeShare(1.0))
        return Viewer(self.server, loop, run.folder, FilmFolder(run.folder), training=False)


@contextmanager
def open_page(host: str, port: int) -> Iterator[ViewerPage]:
    """Serve the viewer's page while the block lasts, and say where it is.

    `port` 0 takes the first free one from 7007 on. Raises OrefieldError where packages are missing,
    for a port that is in use, and for a host that is none of this machine's.
    """
    check_installed()
    port = choose_port(host, port)
    from orefield.viewer.server import open_server

    with open_server(host, port) as server:
        say(address_lines(host, port))
        yield ViewerPage(server)


class FilmFolder:
    """Frames as PNG files and, where PyAV is installed, an mp4, in renders/path."""

    def __init__(self, run: Path) -> None:
        """`run`: the run's folder."""
        self.run, self.folder = run, run / "renders" / "path"
        self.files: list[Path] = []

    def begin(self) -> None:
        """Remove an earlier film's files. Raises RunError where links lead elsewhere."""
        refuse_links(self.run)
        self.files = []
        if self.folder.is_dir():
            for file in self.folder.iterdir():
                if re.fullmatch(r"\d{4,}\.png|video\.mp4", file.name):
                    file.unlink()

    def add(self, index: int, frame: Pixels) -> None:
        """Write a frame; OSError where that fails."""
        self.files.append(self.folder / f"{index:04d}.png")
        save_picture(frame, self.files[-1])

    def finish(self, fps: float) -> str:
        """Write the video, if that is possible; says what there is."""
        wrote = f"wrote {len(self.files)} pictures to {self.folder}"
        if not can_write_video():
            return f"{wrote}; no video: that needs {INSTALL}"
        write_video(self.folder / "video.mp4", self.files, max(round(fps), 1))
        return f"{wrote}, and video.mp4"
