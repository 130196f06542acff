"""The training step of fixed shapes: nothing on the way asks the device, so it can be replayed.

What a step works on depends on the data: how many samples the rays have, and how many the rule
keeps. Here both have buffers of fixed size with zeros at their end, and the numbers stay on the
device: march into `optim.samples` slots, field, compositing, hardness and choice over all slots,
then the chosen compacted into `static.room` of as many. Slots without a sample have zero gradient.
"""

import math
import time
import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from orefield.batch import Batches, pixel_loss
from orefield.config import RunConfig
from orefield.devices import synchronise
from orefield.fields import FrequencyField, NgpField
from orefield.mining import hardness
from orefield.ops.backend import backend_for
from orefield.ops.march_static import march_static
from orefield.ops.select import compact
from orefield.samplers import OccupancySampler

RULES = ("plain", "threshold", "chance")
"""Rules that choose each sample by itself, hence without knowing a number first."""


class Report(NamedTuple):
    """What the host reads now and then."""

    loss: float
    marched: float
    """Samples the rays had, also those that did not fit."""
    kept: float
    chosen: float
    """Samples the rule chose, also those that did not fit."""
    skipped: float
    """Steps since the beginning whose loss was not finite."""


def has_static_step(config: RunConfig, field: object, device: torch.device) -> bool:
    """Whether these settings train by static steps; warns where they were asked for and cannot."""
    use, mining = config.static.use, config.mining
    if use == "never":
        return False
    learns = config.calibration
    plain = not (learns.exposure or learns.poses or learns.depth > 0)
    able = isinstance(field, NgpField) and config.sampler.kind == "occupancy" and plain
    able &= mining.rule in RULES and mining.first_forward != "seen"
    able &= backend_for(device.type)[0] != "definition"  # which knows no buffers that are not full
    # On the CPU buffers of the right size cost nothing, and padding does.
    pays = device.type == "cuda" and backend_for("cuda")[0] == "gpu"
    wanted = pays or use == "always"
    if wanted and not able:
        what = f"rule {mining.rule!r}" if mining.rule not in RULES else "this field or device"
        warnings.warn(f"{what} has no step of fixed shapes: steps wait for the GPU", stacklevel=2)
    return wanted and able


class StaticStep:
    """Gradients of one batch into the parameters' `.grad`, and a report on the device."""

    def __init__(
        self,
        config: RunConfig,
        batches: Batches,
        field: NgpField | FrequencyField,
        sampler: OccupancySampler,
        generator: torch.Generator,
        samples: int,
    ) -> None:
        """`samples`: slots for marched samples."""
        self.config, self.batches, self.field, self.sampler = config, batches, field, sampler
        self.generator, self.capacity = generator, samples
        self.room = max(math.ceil(config.static.room * samples), 1)
        self.clear = sampler.grid.clear.clone()
        self.slots = torch.arange(samples, device=self.clear.device)
        self.report = torch.zeros(len(Report._fields), device=self.clear.device)
        self.good = torch.zeros((), dtype=torch.bool, device=self.clear.device)
        """Whether the last step's loss was finite."""

    def __call__(self, rays: int) -> None:
        """Draw that many rays and learn from them. No host sync, the same work every time."""
        batch = self.batches.draw(rays)
        device = self.clear.device
        jitter = torch.rand(rays, generator=self.generator, device=device)
        grid = self.sampler.grid._replace(clear=self.clear)
        samples, total = march_static(batch.rays, grid, jitter, self.capacity)
        count = total.clamp(max=self.capacity)
        # A ray cut off by the buffer's end shows its background where matter may be.
        ends = samples.spans.sum(1)
        whole = (ends < self.capacity) | (total <= self.capacity)
        with torch.no_grad():
            codes = self.field.directions(batch.rays.directions)
            features = self.field.encode(samples.positions)
            shape = self.field.shape(features)
            logits = self.field.shade(shape, codes, samples.ray)
        raw = torch.cat([shape[:, :1], logits], 1)
        loss, grad, error, *_ = pixel_loss(raw, samples, batch.target, batch.background, whole)
        self.batches.note(batch, torch.where(whole, error, torch.nan))
        good = torch.isfinite(loss)
        self.good.copy_(good)
        grad = torch.where(((self.slots < count) & good)[:, None], grad, 0.0)
        if self.config.mining.rule == "plain":
            chosen = kept = count
            self.field.learn(samples.positions, codes, samples.ray, grad, features)
        else:
            keep, weight = self._chosen(hardness(grad), count)
            chosen = keep.sum()
            index, kept = compact(keep, self.room)
            wanted = weight[index, None] * grad[index]
            wanted = torch.where((self.slots[: self.room] < kept)[:, None], wanted, 0.0)
            positions, known = (x.index_select(1, index) for x in (samples.positions, features))
            self.field.learn(positions, codes, samples.ray[index], wanted, known)
        self._forget_unless(good)
        skipped = self.report[-1] + ~good
        facts = loss, total, kept, chosen, skipped
        self.report.copy_(torch.stack([fact.float() for fact in facts]))

    def follow(self) -> None:
        """Take over the sampler's present grid; its buffer stays where it is."""
        self.clear.copy_(self.sampler.grid.clear)

    def read(self) -> Report:
        """The last step's report; waits for the device."""
        return Report(*self.report.tolist())

    def _chosen(self, g: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
        """As `mining.select` for these rules, over the mean of `count` samples; and weights."""
        mining = self.config.mining
        finite = torch.nan_to_num(g, nan=0.0, posinf=0.0)
        mean = finite.sum() / count.clamp(min=1)
        if mining.rule == "threshold":
            return (finite > mining.c * mean) | (g != finite), torch.ones_like(g)
        p = torch.where(finite > 0, finite / (mining.sure * mean), 0.0).clamp(max=1.0)
        keep = torch.rand(len(g), generator=self.generator, device=g.device) < p
        weight = torch.where(keep, p, 1.0) ** -mining.alpha
        return keep | (g != finite), weight

    def _forget_unless(self, good: Tensor) -> None:
        """Leave no gradient where the loss was not finite: an activation may be, and 0 times
        infinity is not 0."""
        for parameter in self.field.parameters():
            # A table of millions of rows got zeros: what leads there are weights, all finite.
            if parameter.grad is not None and parameter is not self.field.table:
                parameter.grad.copy_(torch.where(good, parameter.grad, 0.0))


_WARM = 3
"""Steps with a number of rays before it is captured: kernels compile, workspaces are laid out."""
_TRIAL = 5
"""Steps timed each way before `auto` decides; the fastest counts."""


class Replay:
    """Runs a step as it is; from some time on as one CUDA graph, where that is wanted and pays.

    A graph holds for one number of rays. Every call is one real step, those that are timed too.
    """

    def __init__(
        self, step: StaticStep, wish: str, then: Callable[[], object] = lambda: None
    ) -> None:
        """`wish`: `auto`, `on` or `off`; `then`: what follows each step, captured with it."""
        self.then = then
        self.step, self.device = step, step.clear.device
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

    def _work(self) -> None:
        self.step(self.rays)
        self.then()

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
        graph.register_generator_state(self.step.generator)
        synchronise(self.device)
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
        synchronise(self.device)
        begun = time.perf_counter()
        work()
        synchronise(self.device)
        return time.perf_counter() - begun
