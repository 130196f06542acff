"""`orefield scenes`: the scenes that come with the package."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from orefield.system.console import say


@dataclass(frozen=True)
class Args:
    """List the embedded scenes, or write one to disk as a folder that any NeRF trainer reads."""

    write: Annotated[str | None, tyro.conf.arg(metavar="NAME")] = None
    """Write this scene instead of listing all."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """New or empty folder for the scene; None takes ./NAME."""
    resolution: int = 0
    """Width and height of `shapes` in pixels; 0 takes the default."""
    train_views: int = 0
    """Training views of `shapes`; 0 takes the default."""
    test_views: int = 0
    """Test views of `shapes`; 0 takes the default."""


def run(args: Args) -> int:
    """List, or write."""
    from orefield.scenes import embedded, shapes

    if args.write is None:
        for name, text in embedded.names().items():
            say(f"{name:<10} {text}")
        return 0
    out = args.out or Path(args.write)
    embedded.write(
        args.write,
        out,
        args.resolution or shapes.RESOLUTION,
        args.train_views or shapes.TRAIN_VIEWS,
        args.test_views or shapes.TEST_VIEWS,
    )
    say(f"wrote {args.write} to {out}")
    return 0
