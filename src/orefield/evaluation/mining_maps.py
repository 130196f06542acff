"""Mining maps: where in a view a run's rule keeps samples, as a training step would choose them.

Nothing is learned from the view and the trainer stays as it was: random numbers come from a
generator of our own, no gradient is written, the running tau is only read, and the training clock
stands still.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.cameras import pixel_directions
from orefield.evaluation.metrics import psnr
from orefield.evaluation.views import photograph_over
from orefield.mining import hardness, keep_mask
from orefield.rendering.density_pass import color_pass
from orefield.rendering.render import over_background, render_rays
from orefield.scenes.scene import Scene, View
from orefield.training.losses import Target, pixel_loss
from orefield.training.trainer import Trainer
from orefield.types import Rays

_SMALL, _LARGE = 200, 400
"""Pixels on the longer side of a probe view at most: over the run, and of the last map."""


@dataclass(frozen=True)
class ProbeView:
    """Every n-th pixel of a view, across and down."""

    name: str
    rays: Rays
    target: Float[Tensor, "height width 3"]
    """The photograph in [0, 1], over the background."""
    valid: Bool[Tensor, "height width"]
    """Pixels with a loss."""
    background: float


@dataclass(frozen=True)
class MiningMap:
    """What the rule keeps of a probe view at one moment of a run. All tensors are on the CPU."""

    step: int
    seconds: float
    evaluated: int
    """Samples at which the density was evaluated."""
    kept: Float[Tensor, "height width"]
    """Samples kept on each pixel's ray, a mean over draws."""
    hardness: Float[Tensor, "height width"]
    """Sum of the hardness of the samples on each pixel's ray; those not finite count as zero."""
    render: Float[Tensor, "height width 3"]
    psnr: float
    """PSNR of the render in dB, over the valid pixels."""

    @property
    def share(self) -> float:
        """Share of the evaluated samples that is kept; 0 where none is evaluated."""
        return float(self.kept.sum()) / self.evaluated if self.evaluated else 0.0


def probe_view(view: View, background: float, longest: int) -> ProbeView:
    """Every n-th pixel of a view, with the smallest n that leaves no side longer than `longest`.

    `background` in [0, 1] is the gray behind the photograph's transparent pixels.
    """
    assert longest >= 1
    height, width = view.image.shape[:2]
    n = -(-max(height, width) // longest)
    y, x = (torch.arange(n // 2, size, n) for size in (height, width))
    across = torch.stack(torch.meshgrid(x + 0.5, y + 0.5, indexing="xy"), dim=-1)
    directions = pixel_directions(view.camera, across.flatten(0, 1)).to(view.pose)
    rays = Rays(view.pose[:, 3].expand(len(directions), 3), directions @ view.pose[:, :3].T)
    target = photograph_over(view.image[y][:, x].float() / 255, background)
    everywhere = torch.ones(target.shape[:2], dtype=torch.bool)
    valid = everywhere if view.valid is None else view.valid[y][:, x]
    return ProbeView(view.name, rays, target, valid, background)


class MiningMapRecorder:
    """The mining maps of one view over a run, the last of them also at a higher resolution."""

    def __init__(self, trainer: Trainer, scene: Scene, background: float) -> None:
        """Maps the scene's first test view, or without one its first training view."""
        view = (*scene.test, *scene.train)[0]
        self.trainer = trainer
        self.view, self.large = (probe_view(view, background, n) for n in (_SMALL, _LARGE))
        self.maps: list[MiningMap] = []
        self.last: MiningMap | None = None

    def record(self, last: bool = False) -> None:
        """Add the present map; `last` also makes the one at a higher resolution."""
        self.maps.append(mining_map(self.trainer, self.view))
        if last:
            self.last = mining_map(self.trainer, self.large)


@torch.no_grad()
def mining_map(trainer: Trainer, view: ProbeView, draws: int = 4, seed: int = 0) -> MiningMap:
    """Let the trainer's rule choose among the samples of a whole probe view.

    It chooses among all of them at once, as in a step; they are evaluated in batches as large as a
    step's. The mean is taken over `draws` choices, at least 1.
    """
    assert draws >= 1
    generator = torch.Generator(trainer.device).manual_seed(seed)
    found = _samples(trainer, view, generator)
    mining, pixels = trainer.config.mining, len(view.rays)
    kept = torch.zeros(pixels, device=trainer.device)
    for _ in range(draws):
        keep = torch.ones_like(found.g, dtype=torch.bool)
        if mining.rule not in ("plain", "pruned"):
            tau = trainer.training_step.tau
            keep = keep_mask(mining, found.g, generator, tau, found.evaluated)[0].keep
        kept += torch.bincount(found.ray[keep], minlength=pixels) / draws
    finite = torch.nan_to_num(found.g, nan=0.0, posinf=0.0)
    hard = torch.zeros(pixels, device=trainer.device).index_add_(0, found.ray, finite)
    render = _render(trainer, view)
    return MiningMap(
        trainer.step,
        trainer.seconds,
        found.evaluated,
        kept.view(view.valid.shape).cpu(),
        hard.view(view.valid.shape).cpu(),
        render,
        psnr(render[view.valid], view.target[view.valid]),
    )


class _Samples(NamedTuple):
    """The visible samples of a probe view."""

    ray: Int[Tensor, " samples"]
    g: Float[Tensor, " samples"]
    """Hardness."""
    evaluated: int
    """Samples whose density was evaluated to find them."""


def _samples(trainer: Trainer, view: ProbeView, generator: torch.Generator) -> _Samples:
    rays, target = view.rays.to(trainer.device), view.target.to(trainer.device).flatten(0, 1)
    valid = view.valid.to(trainer.device).flatten()
    hardnesses, owners, evaluated = [], [], 0
    step = trainer.training_step
    for part in torch.arange(len(rays), device=trainer.device).split(max(trainer.rays, 1)):
        few = slice(int(part[0]), int(part[-1]) + 1)
        found = step.find_visible(rays[few], generator)
        encoded_directions = trainer.field.encode_directions(rays[few].directions)
        raw = color_pass(trainer.field, found, encoded_directions)
        background = torch.full_like(target[few], view.background)
        counted = None if bool(valid.all()) else valid[few]
        wanted = Target(target[few], background, complete=counted)
        grad = pixel_loss(raw, found.samples, wanted, step.weights).grad
        # A batch's loss is a mean over its own rays: in a small last one they would seem harder.
        share = float(valid[few].sum() / valid.sum().clamp(min=1))
        hardnesses.append(hardness(grad) * share)
        owners.append(found.samples.ray.long() + few.start)
        evaluated += int(found.evaluated)
    return _Samples(torch.cat(owners), torch.cat(hardnesses), evaluated)


def _render(trainer: Trainer, view: ProbeView) -> Float[Tensor, "height width 3"]:
    color, opacity, *_ = render_rays(trainer.field, trainer.sampler, view.rays.to(trainer.device))
    return over_background(color, opacity, view.background).clamp(0, 1).cpu().view_as(view.target)
