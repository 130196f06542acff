"""Training steps of fixed shapes: nothing on the way asks the device, so they can be replayed.

What a step works on depends on the data: how many samples the rays have, and how many the rule
keeps. With a capacity both have buffers of fixed size, and the numbers stay on the device (see
step.py). The host reads a report now and then.
"""

import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from orefield.config import RunConfig
from orefield.ops.backend import backend_for
from orefield.system.devices import synchronize
from orefield.training.optimizer import Optimizer
from orefield.training.step import StepResult, TrainingStep


class Report(NamedTuple):
    """What the host reads of the last step."""

    losses: dict[str, float]
    marched: int
    """Samples the rays had, also those that found no slot."""
    kept: int
    visible: float
    """Share of the samples that are visible; NaN once early termination has begun."""
    skipped: int
    """Steps since the beginning whose loss or gradients were not finite."""


def has_fixed_shapes(config: RunConfig, device: torch.device) -> bool:
    """Whether these settings train by steps of fixed shapes.

    Where that was asked for, or would pay, and cannot be had, one warning says why.
    """
    use = config.fixed_shapes.use
    twin, which = backend_for(device.type)
    # On the CPU buffers of the right size cost nothing, and padding does.
    pays = device.type == "cuda" and twin == "gpu"
    if use == "never" or not (pays or use == "always"):
        return False
    reason = None
    if config.sampler.kind == "proposal":
        reason = "proposal networks leave out rays that miss the scene, a number the host must know"
    elif twin == "definition":
        reason = which
    if reason is not None:
        warnings.warn(f"no steps of fixed shapes, the host waits in each: {reason}", stacklevel=2)
    return reason is None


class FixedStep:
    """A step of fixed shapes with its optimizer, and a report on the device."""

    def __init__(self, step: TrainingStep, optimizer: Optimizer, skipped: int) -> None:
        """`skipped`: steps before this one whose loss was not finite."""
        self.step, self.optimizer, self.device = step, optimizer, step.generator.device
        self.terms: tuple[str, ...] = ()
        self.skipped = torch.full((), skipped, dtype=torch.int64, device=self.device)
        self.report: Tensor | None = None

    def __call__(self, rays: int) -> None:
        """Draw that many rays, learn from them. No host read, the same work every time."""
        result = self.step(rays)
        finite = result.finite & self.optimizer.gradients_are_finite()
        self.optimizer.apply(finite)
        self.skipped += ~finite
        self.terms, values = tuple(result.terms), self._values(result)
        if self.report is None:
            self.report = values
        else:
            self.report.copy_(values)

    def read(self) -> Report:
        """The last step's report; waits for the device."""
        assert self.report is not None
        *terms, marched, kept, visible, skipped = self.report.tolist()
        losses = dict(zip(self.terms, terms, strict=True))
        return Report(losses, int(marched), int(kept), visible, int(skipped))

    def _values(self, result: StepResult) -> Tensor:
        visible = result.visible
        if visible is None:
            visible = torch.full((), torch.nan, device=self.device)
        assert isinstance(result.marched, Tensor)  # as in every step with a capacity
        assert isinstance(result.kept, Tensor)
        numbers = *result.terms.values(), result.marched, result.kept, visible, self.skipped
        return torch.stack([number.double() for number in numbers])


_WARM = 3
"""Steps with a number of rays before it is captured: kernels compile, workspaces are laid out."""
_TRIAL = 5
"""Steps timed each way before `auto` decides; the fastest counts."""


class Replay:
    """Runs a step as it is; from some time on as one CUDA graph, where that is wanted and pays.

    A graph holds for one number of rays. Every call is one real step, those that are timed too.
    """

    def __init__(self, step: FixedStep, wish: str) -> None:
        """`wish`: `on`, `off`, or `auto`, which times a few steps both ways and keeps one."""
        self.step, self.device = step, step.device
        self.able = wish != "off" and self.device.type == "cuda"
        self.trials = 0 if wish == "on" else _TRIAL
        self.graph: torch.cuda.CUDAGraph | None = None
        self.rays = self.calls = 0
        self.eager: list[float] = []
        self.replayed: list[float] = []

    def __call__(self, rays: int) -> None:
        """One step."""
        if not self.able:
            self.rays = rays
            self._work()
            return
        if rays != self.rays:
            self.rays, self.calls, self.graph = rays, 0, None
        self.calls += 1
        if self.calls <= _WARM:
            self._work()
        elif len(self.eager) < self.trials:
            self.eager.append(self._timed(self._work))
        else:
            self._replay()

    def restart(self) -> None:
        """The step is another one from now on: capture it anew."""
        self.calls, self.graph = 0, None

    def _work(self) -> None:
        self.step(self.rays)

    def _replay(self) -> None:
        if self.graph is None:
            self._capture()
        if self.graph is None:
            self._work()
        elif len(self.replayed) < self.trials:
            self.replayed.append(self._timed(self.graph.replay))
            if len(self.replayed) == self.trials and min(self.replayed) >= min(self.eager):
                self.able, self.graph = False, None
        else:
            self.graph.replay()

    def _capture(self) -> None:
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(self.step.step.generator)
        synchronize(self.device)
        try:
            with torch.cuda.graph(graph):
                self._work()
        except torch.cuda.OutOfMemoryError:
            raise
        except RuntimeError as error:
            self.able = False
            reason = str(error).splitlines()[0]
            warnings.warn(f"the step cannot be a CUDA graph ({reason}): not captured", stacklevel=2)
            return
        self.graph = graph

    def _timed(self, work: Callable[[], object]) -> float:
        synchronize(self.device)
        begun = time.perf_counter()
        work()
        synchronize(self.device)
        return time.perf_counter() - begun
