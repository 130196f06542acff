"""`orefield export`: a run's surface for other programs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from orefield.errors import ConfigError, ExportError
from orefield.system.console import say

if TYPE_CHECKING:
    from orefield.export.mesh import Region
    from orefield.export.space import FieldInSpace
    from orefield.scenes.scene import Scene

INSTALL = "pip install 'orefield[export]'"
_PACKAGES = ("skimage", "trimesh", "fast_simplification", "scipy")


@dataclass(frozen=True)
class Args:
    """Write a run's surface as a mesh, as points, or as the start of a Gaussian splatting run.

    Everything is in the coordinates and axes of the scene's files.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    what: tyro.conf.Positional[Literal["mesh", "points", "splat-init"]]
    """`mesh`: triangles with normals and colors of vertices. `points`: points with normals and
    colors. `splat-init`: a COLMAP model of cameras and points, beside the photographs."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """File to write (mesh: .ply, .obj or .glb; points: .ply), for splat-init a folder. None takes
    RUN/export/mesh.ply, points.ply or splat."""
    resolution: int = 256
    """mesh: cells along the longest side of what is meshed."""
    surface_density: float = 50.0
    """mesh: density of the surface, per side of the scene's box."""
    faces: int = 0
    """mesh: simplified to about so many triangles at most; 0 keeps all."""
    smallest_part: float = 0.01
    """mesh: parts with less than this share of the largest part's triangles are left out."""
    hidden: tyro.conf.FlagCreatePairsOff[bool] = False
    """mesh: also keep surfaces that no photograph shows, such as those inside of things."""
    points: int = 500_000
    """points, splat-init: at most so many."""
    crop: tuple[float, float, float, float, float, float] | None = None
    """Two opposite corners, x y z x y z in the coordinates of the files; nothing outside of them is
    written."""
    device: str = "auto"
    """Where the field is evaluated: auto, cpu, cuda, cuda:1, mps."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""

    def __post_init__(self) -> None:
        ranges = (("resolution", 8, 2048), ("points", 1, 50_000_000), ("faces", 0, 10**8))
        for name, least, most in ranges:
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} must be from {least} to {most}, got {value}")
        if not 0 < self.surface_density <= 1e6:
            raise ConfigError(
                f"surface-density must be above 0, at most 1e6, got {self.surface_density}"
            )
        if not 0 <= self.smallest_part <= 1:
            raise ConfigError(f"smallest-part must be from 0 to 1, got {self.smallest_part}")
        if self.crop is not None and not all(abs(value) < 1e30 for value in self.crop):
            raise ConfigError(f"crop must be six finite numbers, got {self.crop}")


def run(args: Args) -> int:
    """Load the run and its scene, find the surface, write it."""
    missing = [name for name in _PACKAGES if find_spec(name) is None]
    if missing:
        raise ExportError(f"export needs {', '.join(missing)}: {INSTALL}")
    import torch

    from orefield.export.space import FieldInSpace
    from orefield.runs.folder import load_run
    from orefield.runs.reopen import reopen_scene
    from orefield.scenes import describe
    from orefield.system.threads import use_threads

    out = _target(args)
    if args.what == "mesh":
        _check_memory(args.resolution)
    loaded = load_run(args.run, args.device)
    header = loaded.header
    use_threads(header.config.threads)
    scene = reopen_scene(header, args.scene, args.allow_outside)
    say(describe(scene))
    space = FieldInSpace(
        loaded.field,
        loaded.sampler,
        torch.tensor(header.to_world, dtype=torch.float64),
        header.background_extent,
        header.sampled_frustum(),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    if args.what == "mesh":
        _write_mesh(args, space, scene, out)
    else:
        _write_points(args, space, scene, out)
    return 0


def _target(args: Args) -> Path:
    """Where to write; ConfigError for an ending that says no format."""
    if args.what == "splat-init":
        out = args.out or args.run / "export" / "splat"
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ExportError(f"{out}: expected a new or empty folder")
        return out
    endings = (".ply", ".obj", ".glb") if args.what == "mesh" else (".ply",)
    out = args.out or args.run / "export" / f"{args.what}.ply"
    if out.suffix.lower() not in endings:
        raise ConfigError(f"out must end in {' or '.join(endings)}, got {out.name!r}")
    return out


def _check_memory(resolution: int) -> None:
    from orefield.export.mesh import lattice_bytes
    from orefield.system.memory import available_bytes, gibibytes

    needed, free = lattice_bytes(resolution), available_bytes()
    say(f"a mesh of resolution {resolution} takes up to {gibibytes(needed)} of memory")
    if free is not None and needed > free:
        raise ExportError(
            f"resolution {resolution} takes {gibibytes(needed)} of memory, and {gibibytes(free)} "
            "are free; a lower --resolution takes less"
        )


def _write_mesh(args: Args, space: "FieldInSpace", scene: "Scene", out: Path) -> None:
    from orefield.export.files import write_mesh
    from orefield.export.mesh import extract_mesh

    with _progress() as report:
        mesh = extract_mesh(
            space,
            () if args.hidden else scene.train,
            args.resolution,
            args.surface_density,
            _region(args),
            args.smallest_part,
            args.faces,
            report,
        )
    write_mesh(mesh, out)
    say(f"wrote {len(mesh.faces):,} triangles, {len(mesh.vertices):,} vertices to {out}")


def _write_points(args: Args, space: "FieldInSpace", scene: "Scene", out: Path) -> None:
    from orefield.export.colmap import write_colmap
    from orefield.export.files import write_points
    from orefield.export.points import extract_points

    with _progress() as report:
        points = extract_points(
            space,
            scene.train,
            args.points,
            _region(args),
            report=lambda share: report("points", share),
        )
    number = f"{len(points.positions):,} points"
    if args.what == "points":
        write_points(points, out)
        say(f"wrote {number} to {out}")
    else:
        write_colmap(points, scene.train, space, out)
        say(f"wrote {number} and {len(scene.train)} cameras to {out}/sparse/0, their photographs")
        say(f"to {out}/images: a COLMAP model, as trainers of Gaussian splats read it")


def _region(args: Args) -> "Region | None":
    return None if args.crop is None else (args.crop[:3], args.crop[3:])


@contextmanager
def _progress() -> Iterator[Callable[[str, float], None]]:
    """A bar on a terminal, for one stage after the other."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(highlight=False)
    with Progress(console=console, disable=not console.is_terminal) as bar:
        tasks = {}

        def report(stage: str, share: float) -> None:
            if stage not in tasks:
                tasks[stage] = bar.add_task(stage, total=1.0)
            bar.update(tasks[stage], completed=share)

        yield report
