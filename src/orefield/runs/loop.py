"""Training with a run folder: save and evaluate on the way, stop, go on, score at the end.

run = start_run(open_scene("tankard"), "runs/mine", RunConfig(seconds=30))
for step in run.train():
    print(step.seconds, step.loss)
print(run.evaluate()["psnr"])
"""

import dataclasses
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

from orefield.config import RunConfig
from orefield.errors import RunError, TrainingError
from orefield.evaluation.mining_maps import MiningMapRecorder
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.evaluation.views import BACKGROUND, refuse_small_views
from orefield.report.history import Evaluation, History, history_from_dict
from orefield.report.mining_maps import write_mining_maps
from orefield.report.plots import plot_kept, plot_psnr
from orefield.runs.evaluate import evaluate_run
from orefield.runs.folder import (
    METRICS,
    check_folder,
    check_room,
    check_sizes,
    create_run,
    load_trainer,
    lock_run,
    save_bytes,
    save_run,
)
from orefield.runs.header import RunHeader, header_of, read_config, write_config
from orefield.runs.metrics_log import MetricsLog
from orefield.runs.reopen import reopen_scene, warn_of_changes
from orefield.runs.report import write_run_report
from orefield.runs.schedule import EVALUATE_AT, MAP_AT, Schedule
from orefield.runs.tensorboard import check_log
from orefield.scenes import Scene
from orefield.system.files import write_json
from orefield.system.interrupts import uninterrupted
from orefield.system.lock import FolderLock
from orefield.system.memory import peak_bytes
from orefield.training.trainer import StepStats, Trainer, fit

_EVALUATION_SHARE = 0.1
"""Unless `config.eval_every` is set, an evaluation before the last is left out when those so far
took more than this share of the training time."""


class TrainingRun:
    """A trainer and the folder that it leaves behind; made by `start_run` and `resume_run`."""

    def __init__(
        self,
        lock: FolderLock,
        header: RunHeader,
        scene: Scene,
        trainer: Trainer,
        history: History,
        maps: bool = False,
    ) -> None:
        """`lock`: on the run's folder, held until the end of the training.

        `maps`: record mining maps, that is, where samples are kept; `evaluate` draws them.
        """
        self.lock, self.folder, self.header = lock, lock.folder, header
        self.scene, self.trainer, self.history = scene, trainer, history
        self.config = trainer.config
        self.log = MetricsLog(lock, self.config)
        self.background = BACKGROUND[self.config.eval_background]
        self.maps = MiningMapRecorder(trainer, scene, self.background) if maps else None
        self._saved = trainer.step
        """The step that can be resumed from; 0 where none was saved."""
        self._memory_before = peak_bytes()
        self._evaluating = 0.0

    def train(self, stop: Callable[[], bool] = lambda: False) -> Iterator[StepStats]:
        """Train until the budget is used or `stop()` returns true, yielding after each step.

        Evaluates test pixels as `config.eval_every` says, and saves as `config.save_every` says, at
        the end, and when the caller leaves the loop early. Neither counts as training time.
        Raises RunError where another process uses the folder, or the last save fails.
        """
        with self._writing(), self.lock, self.log.going_on(self.trainer.step, self.trainer.seconds):
            yield from self._train(stop)

    def _train(self, stop: Callable[[], bool]) -> Iterator[StepStats]:
        evaluate = Schedule(EVALUATE_AT, self.config.eval_every)
        mapping, save = Schedule(MAP_AT), Schedule((), self.config.save_every)
        done = self.trainer.progress()
        evaluate.skip_to(done, self.trainer.seconds)
        self.history.skip_to(done)
        probe = PixelProbe(self.scene, self.background) if self.scene.test else None
        begun = perf_counter()
        try:
            for step in fit(self.trainer):
                share = self.trainer.progress()
                self.history.add(step, share)
                self.log.record(step)
                yield step
                if stop():
                    break
                due = evaluate.due(share, step.seconds)
                self.log.tick(self._evaluate(probe, evaluate.finished) if due and probe else None)
                if mapping.due(share, step.seconds) and self.maps is not None:
                    self.maps.record(last=mapping.finished)
                if save.due(share, perf_counter() - begun) and share < 1:
                    self._save_on_the_way()
        except GeneratorExit:  # not after other exceptions: a step may be half done
            self._save_at_the_end()
            raise
        except TrainingError:  # the step is whole; where a parameter is not finite, the last save
            with suppress(RunError):
                self._save_at_the_end()
            raise
        self._save_at_the_end()

    def save(self) -> None:
        """Write what resuming and rendering need, and how the training went.

        Ctrl-C waits until that is done; what was removed from the folder meanwhile is written anew.
        Raises RunError where another process uses the folder or a parameter is not finite, OSError
        where a file cannot be written; the last save remains then.
        """
        folder = self.folder
        with uninterrupted(), self._writing():
            self.log.save()
            save_run(folder, self.trainer, self.history.to_dict())
            facts = {"protocol": protocol(self.scene, self.config), "training": self.facts()}
            write_json(folder / METRICS, facts)
        self._saved = self.trainer.step

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Inside, the folder is there, with this run's config.json, and locked."""
        self.folder.mkdir(parents=True, exist_ok=True)
        is_new = self.lock.acquire()
        try:
            if not self._is_ours():
                write_config(self.folder, self.header)
            yield
        finally:
            if is_new:
                self.lock.release()

    def _is_ours(self) -> bool:
        try:
            return read_config(self.folder).run == self.header.run
        except RunError:  # removed or damaged since
            return False

    def evaluate(self, progress: bool = False) -> dict[str, Any] | None:
        """Score all test views; write metrics.json, pictures, plots, mining maps and report.html.

        Returns the mean scores and each view's, or None where the scene has no test views.
        `progress` shows a bar on a terminal.
        """
        with self._writing():
            return self._evaluate_all(progress)

    def _evaluate_all(self, progress: bool) -> dict[str, Any] | None:
        trainer, config, folder = self.trainer, self.config, self.folder
        self.history.close_point()
        parts = trainer.field, trainer.sampler, self.scene, config
        test = evaluate_run(*parts, folder / "renders", progress)
        facts = {"protocol": protocol(self.scene, config), "training": self.facts()}
        write_json(folder / METRICS, {**facts, "test": test})
        title = f"{self.scene.name}, rule {config.mining.rule}, seed {config.seed}"
        plots = folder / "plots"
        plot_psnr(plots / "psnr.png", self.history, title, test["psnr"] if test else None)
        plot_kept(plots / "kept.png", self.history, title)
        if self.maps is not None:
            name = config.mining.rule
            curve = [(point.seconds, point.kept_share) for point in self.history.points]
            write_mining_maps(folder / "mining_maps", {name: self.maps}, {name: curve}, title)
        write_run_report(folder)
        return test

    def facts(self) -> dict[str, Any]:
        """How the training went, as plain JSON types."""
        return {
            "steps": self.trainer.step,
            "skipped_steps": self.trainer.skipped,
            "seconds": self.trainer.seconds,
            "seconds_are": "training alone: no reading, compiling or evaluation",
            "peak_memory_bytes": peak_bytes(),
            "peak_memory_before_training_bytes": self._memory_before,
            "evaluations_are": "PSNR of up to 8192 fixed test pixels taken together",
            **self.history.to_dict(),
        }

    def _evaluate(self, probe: PixelProbe, last: bool) -> float | None:
        trainer = self.trainer
        costly = self._evaluating > _EVALUATION_SHARE * trainer.seconds
        if costly and not last and self.config.eval_every == 0:
            return None
        begun = perf_counter()
        psnr = probe.psnr(trainer.field, trainer.sampler)
        self._evaluating += perf_counter() - begun
        if not isfinite(psnr):  # JSON knows nothing else
            return None
        self.history.evaluations.append(Evaluation(trainer.step, trainer.seconds, psnr))
        return psnr

    def _save_on_the_way(self) -> None:
        """Save; a full disk is a warning, not the end of the training: later there may be room."""
        try:
            self.save()
        except (OSError, RunError) as error:
            warnings.warn(f"not saved: {error}; training goes on", stacklevel=3)

    def _save_at_the_end(self) -> None:
        """Save; RunError says what there is to go on from when that fails."""
        try:
            self.save()
        except (OSError, RunError) as error:
            there = f"the save after step {self._saved} remains" if self._saved else "nothing saved"
            lost = f"the last save, after step {self.trainer.step}, failed"
            raise RunError(f"{self.folder}: {lost}: {error}; {there}") from error


def start_run(
    scene: Scene,
    folder: str | Path,
    config: RunConfig | None = None,
    overwrite: bool = False,
    maps: bool = False,
) -> TrainingRun:
    """A new run on a scene, in a new or empty folder; `overwrite` replaces an earlier run's files.

    The run keeps the settings the scene was opened with: `config.scene` is not used. Raises
    RunError for a folder that holds something, SceneError where the scene lacks what the settings
    need; nothing is written then.
    """
    folder = Path(folder)
    check_folder(folder, overwrite)
    config = dataclasses.replace(config or RunConfig(), scene=scene.config)
    _check_scores_and_log(scene, config)
    trainer = Trainer(scene, config)
    check_room(folder, 2 * save_bytes(trainer))  # a save is whole before the one before it goes
    header = header_of(scene, trainer.config)
    lock = create_run(folder, header, overwrite)
    return TrainingRun(lock, header, scene, trainer, History(), maps)


def resume_run(
    folder: str | Path,
    scene: Scene | None = None,
    seconds: float = 0.0,
    steps: int = 0,
    device: str = "",
    source: str = "",
    allow_outside: bool = False,
) -> TrainingRun:
    """Go on with a run exactly where it was last saved.

    `scene` saves opening the run's scene again; `source` says where that lies now, if it was moved,
    and `allow_outside` is asked for again (see `reopen_scene`). `seconds` or `steps` is a new total
    budget, which counts from the run's start; 0 keeps the old one. Warns of a scene that has
    changed. Raises RunError for a folder that cannot be read or is in use, and for a run that has
    used its budget.
    """
    folder = Path(folder)
    lock, header = lock_run(folder)
    config = header.config.with_budget(seconds, steps)
    config = dataclasses.replace(config, device=device or config.device)
    check_sizes(folder, header)
    if scene is None:
        scene = reopen_scene(header, source, allow_outside)
    else:
        warn_of_changes(header, scene)
    _check_scores_and_log(scene, config)
    trainer = Trainer(scene, config)
    history = history_from_dict(load_trainer(folder, trainer), str(folder / "state.safetensors"))
    if trainer.progress() >= 1:
        used = f"{trainer.step} steps in {trainer.seconds:.1f} s"
        raise RunError(f"{folder}: has used its budget ({used}); give it more seconds or steps")
    check_room(folder, save_bytes(trainer))
    header = dataclasses.replace(header, config=config, source=scene.source or header.source)
    write_config(folder, header)
    return TrainingRun(lock, header, scene, trainer, history)


def _check_scores_and_log(scene: Scene, config: RunConfig) -> None:
    """Raise now what would be raised after the training."""
    refuse_small_views(scene, config.calibration.exposure, config.lpips)
    check_log(config)
