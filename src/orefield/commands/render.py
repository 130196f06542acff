"""`orefield render`: pictures and a video of a run."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

from orefield.errors import ConfigError
from orefield.system.console import say

if TYPE_CHECKING:
    from torch import Tensor

    from orefield.cameras import Camera
    from orefield.runs.folder import Run
    from orefield.runs.frames import FrameFolder
    from orefield.scenes.scene import Scene, View

COLOR = re.compile(r"#[0-9a-fA-F]{6}")
OF_PHOTOGRAPHS = ("hardness", "error")


@dataclass(frozen=True)
class Args:
    """Render a run along a path: PNG frames, and an mp4 where PyAV is installed.

    Ctrl-C keeps the frames made so far; the same command then goes on with the others.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; need not be where the run was trained."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""
    path: Annotated[str, tyro.conf.arg(metavar="orbit|test|FILE.json")] = "orbit"
    """`orbit`: a closed path around the point that the cameras look at. `test`: the test views.
    FILE.json: a camera path of `orefield view` or nerfstudio, in the coordinates of the files."""
    frames: int = 90
    """Frames of the orbit."""
    rate: int = 0
    """Frames per second of the video; 0 takes 30, or what the path says."""
    width: int = 0
    """Width of the frames in pixels; 0 takes that of the photographs, or of the path."""
    height: int = 0
    """Height of the frames in pixels; 0 follows from the width."""
    show: Literal["color", "depth", "opacity", "normals", "rgba", "hardness", "error"] = "color"
    """`color`, over the background. `depth`: near bright; also in `depth/`, in the units of the
    files. `opacity`. `normals`: axes x, y, z of the files as red, green, blue. `rgba`: color with
    the opacity as alpha. Of test views: `hardness`, that of the samples over the photograph, and
    `error`, times 4."""
    crop: tuple[float, float, float, float, float, float] | None = None
    """Two opposite corners, x y z x y z in the coordinates of the files; only what lies between
    them is seen."""
    background: str = ""
    """white, black or a color such as #4080ff; the run's `eval_background` if not given."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the frames; None takes RUN/renders/ and the path's name."""

    def __post_init__(self) -> None:
        ranges = (
            *(("frames", 1, 100_000), ("rate", 0, 1000)),
            *(("width", 0, 16_384), ("height", 0, 16_384)),
        )
        for name, least, most in ranges:
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name} must be from {least} to {most}, got {getattr(self, name)}"
                )
        if self.path not in ("orbit", "test") and not self.path.endswith(".json"):
            raise ConfigError(f"path must be orbit, test or a .json file, got {self.path!r}")
        if self.background not in ("", "white", "black") and not COLOR.fullmatch(self.background):
            raise ConfigError(
                f"background must be white, black or #rrggbb, got {self.background!r}"
            )
        if self.show in OF_PHOTOGRAPHS and self.path != "test":
            raise ConfigError(f"show={self.show} needs photographs: it goes with --path test")
        if self.show in OF_PHOTOGRAPHS and (self.width or self.height or self.crop):
            raise ConfigError(f"show={self.show} has the photographs' size, and no crop")
        if self.path == "test" and self.width and self.height:
            raise ConfigError("width and height: test views keep their proportions; give one")
        if self.crop is not None and not all(abs(value) < 1e30 for value in self.crop):
            raise ConfigError(f"crop must be six finite numbers, got {self.crop}")


class Shot(NamedTuple):
    """A frame to be rendered."""

    camera: "Camera"
    pose: "Tensor"
    """In scene units."""
    view: "View | None" = None
    """The photograph there, of a test view."""


def run(args: Args) -> int:
    """Load the run and its scene, render each frame, then write the video."""
    from orefield.runs.folder import load_run, refuse_links
    from orefield.runs.frames import FrameFolder
    from orefield.runs.reopen import reopen_scene
    from orefield.scenes import describe
    from orefield.system.threads import use_threads

    if args.out is None:
        refuse_links(args.run)
    loaded = load_run(args.run, args.device)
    use_threads(loaded.header.config.threads)
    scene = reopen_scene(loaded.header, args.scene, args.allow_outside)
    say(describe(scene))
    shots, rate = _shots(args, scene)
    if not shots:
        raise ConfigError("path=test: the scene has no test views")
    out = args.out or args.run / "renders" / Path(args.path).stem
    folder = FrameFolder(out, _facts(args, loaded, shots))
    missing = folder.prepare(len(shots))
    if len(missing) < len(shots):
        say(f"going on: {len(shots) - len(missing)} of {len(shots)} frames are in {out}")
    paint = _painter(args, loaded, scene, folder)
    _render(shots, missing, paint, out)
    say(f"wrote {len(missing)} pictures to {out}")
    _write_video(args, folder, shots, rate)
    return 0


def _render(
    shots: list[Shot], missing: list[int], paint: Callable[[int, Shot], None], out: Path
) -> None:
    from rich.console import Console
    from rich.progress import track

    console, done = Console(highlight=False), 0
    quiet = not console.is_terminal
    try:
        for index in track(missing, "rendering", console=console, disable=quiet):
            paint(index, shots[index])
            done += 1
    except KeyboardInterrupt:
        made = len(shots) - len(missing) + done
        say(f"{made} of {len(shots)} frames are in {out}; the same command goes on with the others")
        raise


def _shots(args: Args, scene: "Scene") -> tuple[list[Shot], int]:
    """What to render, and the frames per second."""
    import torch

    from orefield.cameras.file_units import pose_to_scene
    from orefield.cameras.path_file import read_path
    from orefield.cameras.paths import orbit

    if args.path == "test":
        cameras = [_resized(view.camera, args) for view in scene.test]
        shots = [Shot(c, view.pose, view) for c, view in zip(cameras, scene.test, strict=True)]
        return shots, args.rate or 30
    if args.path == "orbit":
        poses = orbit(torch.stack([view.pose for view in scene.train]), args.frames)
        camera = _resized(scene.train[0].camera, args)
        return [Shot(camera, pose) for pose in poses], args.rate or 30
    path = read_path(Path(args.path))
    shots = [
        Shot(path.camera(i, args.width, args.height), pose.float())
        for i, pose in enumerate(pose_to_scene(one.pose, scene.to_world) for one in path.frames)
    ]
    return shots, args.rate or max(round(path.fps), 1)


def _resized(camera: "Camera", args: Args) -> "Camera":
    """Of the width or height asked for; of both, a pinhole with the same view up and down."""
    from orefield.cameras.path_file import fov_camera

    if args.width and args.height:
        fov = 2 * math.degrees(math.atan(camera.height / 2 / camera.fy))
        return fov_camera(fov, args.width, args.height)
    if args.width or args.height:
        return camera.rescaled(
            args.width / camera.width if args.width else args.height / camera.height
        )
    return camera


def _facts(args: Args, loaded: "Run", shots: list[Shot]) -> dict[str, Any]:
    """All that the frames depend on."""
    from hashlib import sha256

    cameras = [(shot.pose.tolist(), vars(shot.camera)) for shot in shots]
    field = sha256((args.run / "field.safetensors").read_bytes()).hexdigest()
    return {
        "run": loaded.header.run,
        "field": field[:16],
        "show": args.show,
        "path": args.path,
        "frames": len(shots),
        "cameras": sha256(str(cameras).encode()).hexdigest()[:16],
        "crop": args.crop,
        "background": args.background or loaded.header.config.eval_background,
    }


def _painter(
    args: Args, loaded: "Run", scene: "Scene", folder: "FrameFolder"
) -> Callable[[int, Shot], None]:
    """Renders a frame and writes it."""
    from orefield.runs.painting import Painting

    background = args.background or loaded.header.config.eval_background
    painting = Painting(loaded, scene, args.show, background, args.crop)
    if args.show == "depth":
        say(
            f"depth/*.npy: distance along the ray in the units of the files, 0 where nothing is; "
            f"depth/*.png: that over {painting.depth_scale:.9g}, in 16 bits"
        )

    def paint(index: int, shot: Shot) -> None:
        picture, depth = painting.paint(shot.camera, shot.pose, shot.view)
        if depth is not None:
            folder.write_depth(index, depth, painting.depth_scale)
        folder.write(index, picture)

    return paint


def _write_video(args: Args, folder: "FrameFolder", shots: list[Shot], rate: int) -> None:
    from orefield.report.video import INSTALL, can_write_video, write_video

    sizes = {(shot.camera.width, shot.camera.height) for shot in shots}
    if args.show == "rgba":
        say("no video: it would have no transparency")
    elif len(sizes) != 1:
        say(f"no video: that needs frames of one size, got {len(sizes)} sizes")
    elif min(next(iter(sizes))) < 2:
        say("no video: that needs frames of 2 x 2 pixels or more")
    elif not can_write_video():
        say(f"no video: that needs {INSTALL}")
    else:
        write_video(folder.folder / "video.mp4", folder.files(len(shots)), rate)
        say(f"wrote {folder.folder / 'video.mp4'}")
