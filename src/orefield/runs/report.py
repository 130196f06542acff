"""The page of a run, or of several, from what their folders hold."""

from collections.abc import Sequence
from pathlib import Path

from orefield.config import RunConfig, to_dict
from orefield.errors import RunError
from orefield.report.facts import RunFacts
from orefield.report.maps_section import map_files
from orefield.report.run_page import run_page
from orefield.runs.folder import METRICS, REPORT
from orefield.runs.header import CONFIG, read_config
from orefield.runs.metrics import read_metrics
from orefield.system.files import read_json, write_atomically


def write_run_report(folder: Path) -> Path:
    """Write the page of a run into its folder, and return its path.

    Neither the scene is opened nor anything rendered. Raises RunError naming the file that is
    missing or damaged, OSError where the page cannot be written.
    """
    path = folder / REPORT
    write_report([folder], path)
    return path


def write_report(folders: Sequence[Path], path: Path) -> None:
    """Write the page that compares these runs, of which there must be one at least.

    Raises RunError naming the file that is missing or damaged, or a folder that is named twice.
    """
    runs = [
        read_run_facts(folder, name) for folder, name in zip(folders, _names(folders), strict=True)
    ]
    if path.is_dir():
        raise RunError(f"{path}: is a folder; expected a file for the page")
    data = run_page(runs, to_dict(RunConfig())).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)


def read_run_facts(folder: Path, name: str = "") -> RunFacts:
    """What a page shows of a run; `name` sets it apart from others, its folder's is the default.

    Raises RunError for a folder without a config.json or a metrics.json, or with damaged ones.
    """
    header = read_config(folder)
    path = folder / METRICS
    if not path.exists():
        raise RunError(f"{path}: missing; was the run stopped before it was first saved?")
    metrics = read_metrics(path, folder / "renders")
    version = read_json(folder / CONFIG, RunError).get("orefield", "")
    return RunFacts(
        name=name or _name(folder),
        source=header.source,
        version=str(version),
        train_views=header.views.train,
        test_views=header.views.test,
        settings=to_dict(header.config),
        protocol=metrics.protocol,
        training=metrics.training,
        history=metrics.history,
        scores=metrics.scores,
        views=metrics.views,
        mining_maps=map_files(folder / "mining_maps"),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The folders' names or, where two are equal, their paths."""
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise RunError("each run can be named once")
    names = [_name(folder) for folder in folders]
    return [
        name if names.count(name) == 1 else str(folder)
        for name, folder in zip(names, folders, strict=True)
    ]


def _name(folder: Path) -> str:
    return folder.resolve().name or str(folder)
