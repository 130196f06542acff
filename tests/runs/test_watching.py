"""Laws of watching a run: films in its folder, and a viewer that fails alone."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orefield.errors import OrefieldError, RunError
from orefield.runs.loop import TrainingRun
from orefield.runs.progress import train_to_end
from orefield.runs.watching import FilmFolder, open_page
from orefield.viewer.ports import choose_port


def test_a_new_film_replaces_an_earlier_one_and_nothing_else(tmp_path: Path) -> None:
    film = FilmFolder(tmp_path)
    for frames in (3, 2):
        film.begin()
        for i in range(frames):
            film.add(i, np.full((8, 6, 3), 10 * i, np.uint8))
        assert f"wrote {frames} pictures" in film.finish(30.0)
        (film.folder / "mine.txt").touch()
    names = sorted(file.name for file in film.folder.iterdir())
    assert names == ["0000.png", "0001.png", "mine.txt", "video.mp4"]
    with Image.open(film.folder / "0001.png") as picture:
        assert np.asarray(picture).tolist() == np.full((8, 6, 3), 10).tolist()


def test_a_film_does_not_go_through_links(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "renders").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="is a link"):
        FilmFolder(tmp_path).begin()


def test_training_goes_on_and_ends_alike_when_the_viewer_fails(run: TrainingRun) -> None:
    """And while it works, with nobody there, it changes nothing."""
    with open_page("127.0.0.1", choose_port()) as page:
        viewer = page.watch(run, 0.25)

        def fail() -> None:
            raise ZeroDivisionError("a bug")

        viewer._actions.put(fail)
        with pytest.warns(UserWarning, match="viewer has stopped: ZeroDivisionError"):
            assert train_to_end(run, viewer) == 0
    assert run.trainer.progress() == 1


def test_a_port_in_use_is_an_error(run: TrainingRun) -> None:
    port = choose_port()
    with open_page("127.0.0.1", port) as page:
        page.watch(run, 0.25)
        with (
            pytest.raises(OrefieldError, match=f"port {port} on 127.0.0.1 is in use"),
            open_page("127.0.0.1", port),
        ):
            pytest.fail("served")
        with open_page("127.0.0.1", 0):  # the next one
            pass
