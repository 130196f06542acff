"""What `train`, `resume` and `eval` share: the loop round `fit`, and what is written at its end."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from time import perf_counter
from types import FrameType
from typing import Any

from orefield.calibration import check_depths
from orefield.checkpoint import read_json, save_run, write_json
from orefield.commands.live import LiveLine
from orefield.config import RunConfig, SceneConfig
from orefield.evaluate import BACKGROUND, PixelProbe, protocol
from orefield.machine import peak_bytes
from orefield.mined import Album
from orefield.presets import settle
from orefield.report.hardness import write_pictures
from orefield.report.history import Check, History, history_from_dict
from orefield.report.plots import plot_kept, plot_psnr
from orefield.scenes import describe, open_scene
from orefield.scenes.scene import Scene
from orefield.train import Trainer, fit

CHECKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of the budget after which test pixels are rendered; the training clock stands still."""
SAVE_EVERY = 120.0
"""Seconds between two saves while training, outside the training clock."""
_CHECK_SHARE = 0.1
"""A check is left out when those before it took more than this share of the training time."""


@dataclass
class Session:
    """One training run in progress."""

    folder: Path
    scene: Scene
    config: RunConfig
    trainer: Trainer
    history: History
    album: Album | None = None
    """Where samples are kept, if that is to be drawn."""
    peak_before: int | None = field(default_factory=peak_bytes)


def open_source(source: str, config: SceneConfig) -> tuple[Scene, str]:
    """Open and describe a scene; the second value names it from any working directory."""
    scene = open_scene(source, config)
    print(describe(scene))
    return scene, str(Path(source).resolve()) if Path(source).exists() else source


def settled(config: RunConfig, scene: Scene) -> RunConfig:
    """The configuration with its preset settled, which is said; before anything is written.

    Raises SceneError where the scene lacks what the settings need.
    """
    check_depths(config, scene)
    config, why = settle(config, scene)
    print(why)
    return config


def train(session: Session) -> bool:
    """Train until the budget is used, or Ctrl-C; save either way. False when interrupted."""
    checks, saved = _Checks(session), perf_counter()
    with _interruptible() as interrupted, LiveLine(session.config) as line:
        for step in fit(session.trainer):
            share = session.trainer.progress()
            session.history.add(step, share)
            line.show(step)
            if interrupted.is_set():
                break
            checks.due(share)
            if session.album is not None:
                session.album.due(share)
            if perf_counter() - saved > SAVE_EVERY:
                _save_on_the_way(session)
                saved = perf_counter()
    session.history.close_point()
    save_run(session.folder, session.trainer)
    write_json(session.folder / "metrics.json", {"training": training_facts(session)})
    if session.trainer.progress() >= 1:
        return True
    print(f"stopped after {session.trainer.step} steps and saved; nothing was evaluated")
    print(f"go on with: orefield resume {session.folder}")
    return False


def _save_on_the_way(session: Session) -> None:
    """Save, but do not let a full disk end the training: there may be room again at its end."""
    try:
        save_run(session.folder, session.trainer)
    except OSError as error:
        print(f"orefield: not saved: {error}; training goes on", file=sys.stderr)


def finish(session: Session) -> int:
    """Evaluate, write metrics, renders and plots, and say where to look."""
    from orefield.commands.score import score_views

    trainer, config, folder = session.trainer, session.config, session.folder
    training = training_facts(session)
    test = score_views(trainer.field, trainer.sampler, session.scene, config, folder / "renders")
    facts = {"protocol": protocol(session.scene, config), "training": training}
    write_json(folder / "metrics.json", {**facts, "test": test})
    title = f"{session.scene.name}, rule {config.mining.rule}, seed {config.seed}"
    plots = folder / "plots"
    plot_psnr(plots / "psnr.png", session.history, title, test["psnr"] if test else None)
    plot_kept(plots / "kept.png", session.history, title)
    if session.album is not None:
        name = config.mining.rule
        curve = [(point.seconds, point.kept_share) for point in session.history.points]
        write_pictures(folder / "hardness", {name: session.album}, {name: curve}, title)
        print(f"where samples are kept: {folder}/hardness/overlay.png, strip.png and kept.png")
    print(f"trained {trainer.step} steps in {trainer.seconds:.1f} s")
    if test:
        print(f"test: {test['psnr']:.2f} dB PSNR, {test['ssim']:.4f} SSIM, mean of all test views")
    print(f"look at {folder}/renders, {plots}/psnr.png and {folder}/metrics.json")
    return 0


def training_facts(session: Session) -> dict[str, Any]:
    """How the training went, as plain JSON types."""
    peak, before = peak_bytes(), session.peak_before
    return {
        "steps": session.trainer.step,
        "skipped_steps": session.trainer.skipped,
        "seconds": session.trainer.seconds,
        "seconds_are": "training alone: no reading, compiling or evaluation",
        "peak_memory_bytes": peak,
        "peak_memory_before_training_bytes": before,
        "checks_are": "PSNR of 8192 fixed test pixels taken together",
        **session.history.to_dict(),
    }


def read_history(folder: Path) -> History:
    """The history that an interrupted or finished run left in metrics.json."""
    path = folder / "metrics.json"
    return history_from_dict(read_json(path).get("training", {}), str(path))


class _Checks:
    """Renders test pixels when a share of the budget is reached, as long as that stays cheap."""

    def __init__(self, session: Session) -> None:
        self.session, self.spent = session, 0.0
        background = BACKGROUND[session.config.eval_background]
        self.probe = PixelProbe(session.scene, background) if session.scene.test else None
        done = session.trainer.progress()
        self.left = [share for share in CHECKS if share > done]

    def due(self, share: float) -> None:
        """Check when the next share is reached; several at once (few steps) count as one."""
        if self.probe is None or not self.left or share < self.left[0]:
            return
        self.left = [later for later in self.left if later > share]
        trainer = self.session.trainer
        if self.left and self.spent > _CHECK_SHARE * trainer.seconds:
            return
        start = perf_counter()
        value = self.probe.psnr(trainer.field, trainer.sampler)
        self.spent += perf_counter() - start
        self.session.history.checks.append(Check(trainer.step, trainer.seconds, value))


@contextmanager
def _interruptible() -> Iterator[Event]:
    """The event is set by the first Ctrl-C; a second one interrupts at once."""
    event = Event()
    before = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        event.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, note)
    try:
        yield event
    finally:
        signal.signal(signal.SIGINT, before)
