"""`orefield prepare`: from photographs or a video to a scene with camera poses."""

import shlex
import warnings
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, TypeVar

import tyro

from orefield.errors import ConfigError, SceneError
from orefield.sfm.options import PoseOptions
from orefield.sfm.progress import Progress
from orefield.system.console import say

if TYPE_CHECKING:
    import pycolmap

    from orefield.sfm.photographs import ImportedPhoto
    from orefield.sfm.write import PosedPhoto

INSTALL = "pip install 'orefield[colmap]'"
ENOUGH = 0.8
"""Warn where a smaller share of the photographs than this got a pose."""
_LISTED = 12
"""Names in a warning; prepare.json has them all."""
Result = TypeVar("Result")


@dataclass(frozen=True)
class Args:
    """Find the camera poses of photographs or a video, on the CPU, and write a scene to train."""

    source: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="PHOTOS_OR_VIDEO")]
    """A folder of photographs (JPEG, PNG, WebP, TIFF or BMP), or a video file."""
    out: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="OUT")]
    """New or empty folder for the scene."""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """Replace what an earlier prepare wrote to the folder."""
    max_size: int = 1600
    """Longer side of the written photographs, in pixels, at most; 0 keeps every size."""
    frames: int = 150
    """Frames taken from a video: the sharpest of each of so many equal parts."""
    undistort: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write the photographs as a camera without lens distortion would take them."""
    poses: Annotated[PoseOptions, tyro.conf.arg(name="")] = field(default_factory=PoseOptions)

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("max_size", 0), ("frames", 3)):
            if getattr(self, name) < least:
                flag = name.replace("_", "-")
                raise ConfigError(f"{flag} must be at least {least}, got {getattr(self, name)}")


def run(args: Args) -> int:
    """Check the source, read it, find the poses, write the scene and say how it went."""
    start = perf_counter()
    if not args.source.exists():
        raise SceneError(f"{args.source}: no such folder of photographs or video file")
    if find_spec("pycolmap") is None:
        raise SceneError(f"{args.source}: finding camera poses needs pycolmap: {INSTALL}")
    import pycolmap

    if not hasattr(pycolmap, "CancellationToken"):
        found = pycolmap.__version__
        raise SceneError(f"pycolmap {found} is too old, expected 4.2 or newer: {INSTALL}")
    from orefield.sfm.model import placed_views
    from orefield.sfm.write import write_transforms
    from orefield.system.threads import available

    options = replace(args.poses, threads=args.poses.threads or available())
    pictures = follow(_pictures(args, options.threads))
    model = follow(_model(args, pictures, options))
    views = placed_views(model)
    write_transforms(args.out, views)
    _report(args, pictures, views, model, perf_counter() - start)
    return 0


def follow(work: Generator[Progress, None, Result]) -> Result:
    """Run a generator to its end, show its progress, and return its result.

    A terminal gets a bar, other outputs a line per stage. Ctrl-C closes the generator.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    console = Console(highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    bars = Bars(*columns, TimeElapsedColumn(), console=console, disable=not console.is_terminal)
    tasks = {}
    with closing(work), bars:
        while True:
            try:
                now = next(work)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if now.stage not in tasks:
                tasks[now.stage] = bars.add_task(now.stage, total=now.total)
                if not console.is_terminal:
                    console.print(f"{now.stage} ({now.total}) ...", soft_wrap=True)
            bars.update(tasks[now.stage], completed=now.done)


def _pictures(args: Args, threads: int) -> "Generator[Progress, None, list[ImportedPhoto]]":
    """Photographs or frames, written to OUT/images; nothing is written for an unfit source."""
    from orefield.sfm.photographs import import_photographs, list_photographs
    from orefield.sfm.video import count_frames, import_video
    from orefield.sfm.write import claim

    images = args.out / "images"
    if args.source.is_dir():
        paths = list_photographs(args.source)
        claim(args.out, args.source, args.overwrite)
        say(f"{args.source}: {len(paths)} photographs")
        return (yield from import_photographs(paths, images, args.max_size, threads))
    total = count_frames(args.source)
    claim(args.out, args.source, args.overwrite)
    taken = min(args.frames, total)
    say(f"{args.source}: {total} frames, of which the {taken} sharpest are taken")
    return (yield from import_video(args.source, images, total, taken, args.max_size))


def _model(
    args: Args, pictures: "list[ImportedPhoto]", options: PoseOptions
) -> "Generator[Progress, None, pycolmap.Reconstruction]":
    """The largest model, upright, written to OUT/sparse/0, its photographs to OUT/images."""
    import shutil

    import pycolmap

    from orefield.sfm.mapping import map_pictures
    from orefield.sfm.model import level, undistort
    from orefield.sfm.native import log_to
    from orefield.sfm.pairs import all_pairs, sequential_pairs

    images, sparse, work = args.out / "images", args.out / "sparse" / "0", args.out / "colmap"
    log_to(work)
    exhaustive = options.exhaustive(len(pictures), not args.source.is_dir())
    pairs = all_pairs(len(pictures)) if exhaustive else sequential_pairs(len(pictures))
    model = yield from map_pictures(images, work, pictures, pairs, options)
    level(model)
    sparse.mkdir(parents=True)
    model.write(sparse)
    if args.undistort:
        flat = work / "undistorted"
        yield from undistort(sparse, images, flat, model.num_reg_images(), options.threads)
        for made, target in ((flat / "images", images), (flat / "sparse", sparse)):
            shutil.rmtree(target)
            made.rename(target)
        model = pycolmap.Reconstruction(sparse)
    for path in work.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif not path.name.startswith("log."):
            path.unlink()
    return model


def _report(
    args: Args,
    pictures: "list[ImportedPhoto]",
    views: "list[PosedPhoto]",
    model: "pycolmap.Reconstruction",
    seconds: float,
) -> None:
    """Print and record the result; warn where too few photographs got a pose."""
    from orefield.sfm.write import write_record

    placed = {view.name for view in views}
    left = [picture.name for picture in pictures if picture.name not in placed]
    error = model.compute_mean_reprojection_error()
    facts = {
        "state": "finished",
        "source": str(args.source.resolve()),
        "settings": {**asdict(args.poses), "max_size": args.max_size, "undistort": args.undistort},
        "photographs": len(pictures),
        "placed": len(views),
        "not_placed": left,
        "points": model.num_points3D(),
        "reprojection_error_pixels": error,
        "seconds": seconds,
    }
    write_record(args.out, facts)
    say(
        f"placed {len(views)} of {len(pictures)} photographs by {model.num_points3D()} points, "
        f"reprojection error {error:.2f} pixels, {seconds:.0f} s"
    )
    if left:
        more = f" and {len(left) - _LISTED} more" if len(left) > _LISTED else ""
        say(f"not placed: {', '.join(left[:_LISTED])}{more}")
    if len(views) < ENOUGH * len(pictures):
        from orefield.scenes.scene import SceneWarning

        warnings.warn(advice(args, len(views), len(pictures)), SceneWarning, stacklevel=2)
    say(f"wrote {args.out}: images, sparse/0, transforms.json")
    say(f"train with: orefield train {shlex.quote(str(args.out))}")


def advice(args: Args, placed: int, number: int) -> str:
    """What to try where only some photographs got a pose."""
    exhaustive = args.poses.exhaustive(number, not args.source.is_dir())
    tries = [] if exhaustive else ["--order exhaustive"]
    tries.append(f"more features (--features {2 * args.poses.features})")
    if args.source.is_file():
        tries.append(f"more frames (--frames {2 * args.frames})")
    return (
        f"{args.source}: only {placed} of {number} photographs could be placed; try "
        f"{', '.join(tries)}, or photographs that overlap more and are not blurred"
    )
