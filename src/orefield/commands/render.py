"""`orefield render`: pictures and a video of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from orefield.errors import ConfigError
from orefield.system.console import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from orefield.cameras import Camera
    from orefield.runs.folder import Run
    from orefield.scenes.scene import Scene


@dataclass(frozen=True)
class Args:
    """Render a run along a path: PNG frames, and an mp4 where imageio and PyAV are installed."""

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")]
    """The run's folder."""
    device: str = "auto"
    """Where to render: auto, cpu, cuda, cuda:1, mps; need not be where the run was trained."""
    scene: Annotated[str, tyro.conf.arg(metavar="SCENE")] = ""
    """Where the scene lies now, if it was moved."""
    allow_outside: tyro.conf.FlagCreatePairsOff[bool] = False
    """Also read images and masks outside of the scene's folder, as `--scene.allow-outside` did in
    training."""
    path: Literal["orbit", "test"] = "orbit"
    """`orbit`: a closed path around the point that the cameras look at. `test`: the test views."""
    frames: int = 90
    """Frames of the orbit."""
    rate: int = 30
    """Frames per second of the video."""
    width: int = 0
    """Width of the frames in pixels; 0 takes that of the photographs."""
    show: Literal["color", "depth"] = "color"
    """Color, over the run's `eval_background`, or depth, near bright."""
    out: Annotated[Path | None, tyro.conf.arg(metavar="DIR")] = None
    """Folder for the frames; None takes RUN/renders/PATH."""

    def __post_init__(self) -> None:
        ranges = (("frames", 1, 100_000), ("rate", 1, 1000), ("width", 0, 16_384))
        for name, least, most in ranges:
            if not least <= getattr(self, name) <= most:
                raise ConfigError(
                    f"{name} must be from {least} to {most}, got {getattr(self, name)}"
                )


def run(args: Args) -> int:
    """Load the run and its scene, render each frame, then write the video."""
    from orefield.report.pictures import save_picture
    from orefield.report.video import INSTALL, can_write_video, write_video
    from orefield.runs.folder import load_run, refuse_links
    from orefield.runs.reopen import reopen_scene
    from orefield.scenes import describe
    from orefield.system.threads import use_threads

    if args.out is None:
        refuse_links(args.run)
    loaded = load_run(args.run, args.device)
    use_threads(loaded.header.config.threads)
    scene = reopen_scene(loaded.header, args.scene, args.allow_outside)
    say(describe(scene))
    out = args.out or args.run / "renders" / args.path
    files, sizes = [], set()
    for index, frame in enumerate(_frames(args, loaded, scene)):
        files.append(out / f"{index:04d}.png")
        sizes.add(frame.shape)
        save_picture(frame, files[-1])
    say(f"wrote {len(files)} pictures to {out}")
    if len(sizes) != 1:
        say(f"no video: that needs frames of one size, got {len(sizes)} sizes")
    elif min(frame.shape[:2]) < 2:
        say("no video: that needs frames of 2 x 2 pixels or more")
    elif not can_write_video():
        say(f"no video: that needs {INSTALL}")
    else:
        write_video(out / "video.mp4", files, args.rate)
        say(f"wrote {out / 'video.mp4'}")
    return 0


def _frames(args: Args, loaded: "Run", scene: "Scene") -> "Iterator[NDArray]":
    import torch
    from rich.console import Console
    from rich.progress import track

    from orefield.cameras.paths import orbit
    from orefield.evaluation.views import BACKGROUND
    from orefield.rendering.render import render_view
    from orefield.report.pictures import depth_pixels, to_pixels

    if args.path == "test":
        cameras = [(view.camera, view.pose) for view in scene.test]
    else:
        poses = orbit(torch.stack([view.pose for view in scene.train]), args.frames)
        cameras = [(scene.train[0].camera, pose) for pose in poses]
    console = Console(highlight=False)
    quiet = not console.is_terminal
    for camera, pose in track(cameras, "rendering", console=console, disable=quiet):
        background = BACKGROUND[loaded.header.config.eval_background]
        picture = render_view(
            loaded.field, loaded.sampler, _resized(camera, args.width), pose, background
        )
        if args.show == "depth":
            yield depth_pixels(picture.depth, picture.opacity)
        else:
            yield to_pixels(picture.color)


def _resized(camera: "Camera", width: int) -> "Camera":
    return camera.rescaled(width / camera.width) if width else camera
