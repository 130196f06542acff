"""`orefield report`: a page of a run or a race, or a comparison of several runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orefield.errors import ConfigError
from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """Write one HTML page that is complete in itself: scores, curves, test views, settings.

    It is made of what the folders hold: the scene is not opened, and nothing is rendered.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """The folder of a run or of a race, or those of several runs, which are compared."""
    out: Path | None = None
    """File for the page; None takes RUN/report.html, and several runs need one."""

    def __post_init__(self) -> None:
        if not self.runs:
            raise ConfigError("report needs the folder of a run or of a race")
        if len(self.runs) > 1 and self.out is None:
            raise ConfigError("a comparison of several runs needs --out FILE")


def run(args: Args) -> int:
    """Read the folders and write the page."""
    from orefield.bench.race_folder import RACE, write_race_report
    from orefield.errors import RunError
    from orefield.runs.folder import REPORT, refuse_links
    from orefield.runs.header import CONFIG
    from orefield.runs.report import write_report

    races = [f for f in args.runs if (f / RACE).exists() and not (f / CONFIG).exists()]
    if races and len(args.runs) > 1:
        raise RunError(f"{races[0]}: is a race, which has a page of its own; expected runs")
    for folder in args.runs:
        refuse_links(folder)
    if races:
        path = write_race_report(races[0], args.out)
    else:
        path = args.out or args.runs[0] / REPORT
        write_report(args.runs, path)
    say(f"see {path}")
    return 0
