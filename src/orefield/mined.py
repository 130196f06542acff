"""Where in a view a run's rule finds samples to learn from: what a step would choose, not learnt.

The trainer is left as it was: random numbers are drawn from a generator made here, nothing is
written to a gradient, the running budget is read only, and the training clock stands still.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from orefield.batch import Extra, pixel_loss
from orefield.cameras import pixel_directions
from orefield.evaluate import over_background
from orefield.look import FIRST_OUTLOOK, bright, look_ahead, look_everywhere
from orefield.mining import hardness, select
from orefield.ops.look import Look
from orefield.render import render_rays
from orefield.samplers import OccupancySampler, ProposalSampler
from orefield.scenes.scene import Scene, View
from orefield.train import Trainer
from orefield.types import Rays

MOMENTS = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0)
"""Shares of a run at which an album's view is looked at."""
_LONGEST, _CLOSE = 200, 400
"""Pixels on a side of a sight at most."""


@dataclass(frozen=True)
class Sight:
    """Every n-th pixel of a view, across and down."""

    name: str
    rays: Rays
    target: Float[Tensor, "height width 3"]
    """The photograph in [0, 1], over the background."""
    valid: Bool[Tensor, "height width"]
    """Pixels with a loss."""
    background: float


@dataclass(frozen=True)
class Mined:
    """What the rule keeps of a sight at one moment of a run. All tensors are on the CPU."""

    step: int
    seconds: float
    asked: int
    """Samples the field was asked about."""
    kept: Float[Tensor, "height width"]
    """Samples kept on each pixel's ray, a mean over draws."""
    hardness: Float[Tensor, "height width"]
    """Sum of the hardness of the samples on each pixel's ray; those not finite count as zero."""
    render: Float[Tensor, "height width 3"]
    psnr: float
    """Of the render over the sight's valid pixels, in dB."""

    @property
    def share(self) -> float:
        """Share of the samples asked about that is kept; 0 where none was."""
        return float(self.kept.sum()) / self.asked if self.asked else 0.0


def sight(view: View, background: float, longest: int) -> Sight:
    """A view with so few of its pixels that no side has more than `longest`, at least 1.

    `background` in [0, 1] is the grey behind the photograph's transparent pixels.
    """
    assert longest >= 1
    height, width = view.image.shape[:2]
    n = -(-max(height, width) // longest)
    y, x = (torch.arange(n // 2, size, n) for size in (height, width))
    across = torch.stack(torch.meshgrid(x + 0.5, y + 0.5, indexing="xy"), dim=-1)
    directions = pixel_directions(view.camera, across.flatten(0, 1)).to(view.pose)
    rays = Rays(view.pose[:, 3].expand(len(directions), 3), directions @ view.pose[:, :3].T)
    target = over_background(view.image[y][:, x].float() / 255, background)
    everywhere = torch.ones(target.shape[:2], dtype=torch.bool)
    valid = everywhere if view.valid is None else view.valid[y][:, x]
    return Sight(view.name, rays, target, valid, background)


class Album:
    """A view at a run's `MOMENTS`, and once more at the last, with more of its pixels."""

    def __init__(self, trainer: Trainer, scene: Scene, background: float) -> None:
        """Of the scene's first test view, or its first training view where there is none."""
        view = (*scene.test, *scene.train)[0]
        self.trainer = trainer
        self.sight, self.close = (sight(view, background, size) for size in (_LONGEST, _CLOSE))
        self.moments: list[Mined] = []
        self.last: Mined | None = None
        self._left = list(MOMENTS)

    def due(self, share: float) -> None:
        """Look when the next moment is reached; several at once (few steps) count as one."""
        if not self._left or share < self._left[0]:
            return
        self._left = [later for later in self._left if later > share]
        self.moments.append(mined(self.trainer, self.sight))
        if not self._left:
            self.last = mined(self.trainer, self.close)


@torch.no_grad()
def mined(trainer: Trainer, seen: Sight, draws: int = 4, seed: int = 0) -> Mined:
    """Let the trainer's rule choose among the samples of a whole sight, as its step would.

    The rule chooses among all of the sight's samples at once; they are found in pieces as large as
    a step's. `draws` choices, at least 1, are averaged.
    """
    assert draws >= 1
    generator = torch.Generator(trainer.device).manual_seed(seed)
    found = _found(trainer, seen, generator)
    mining, pixels = trainer.config.mining, len(seen.rays)
    kept = torch.zeros(pixels, device=trainer.device)
    for _ in range(draws):
        chosen = found.g.new_ones(len(found.g), dtype=torch.bool).nonzero()[:, 0]
        if mining.rule not in ("plain", "pruned"):
            budget = trainer.dynamic.budget
            chosen = select(mining, found.g, budget, generator, of=found.asked)[0].kept
        kept += torch.bincount(found.ray[chosen], minlength=pixels) / draws
    finite = torch.nan_to_num(found.g, nan=0.0, posinf=0.0)
    hard = torch.zeros(pixels, device=trainer.device).index_add_(0, found.ray, finite)
    render = _render(trainer, seen)
    error = (render - seen.target)[seen.valid].square().mean()
    return Mined(
        trainer.step,
        trainer.seconds,
        found.asked,
        kept.view(seen.valid.shape).cpu(),
        hard.view(seen.valid.shape).cpu(),
        render,
        float(-10 * error.clamp(min=1e-12).log10()),
    )


class _Found(NamedTuple):
    """The samples of a sight: whose they are, how hard they are, how many were asked about."""

    ray: Int[Tensor, " samples"]
    g: Float[Tensor, " samples"]
    asked: int


def _found(trainer: Trainer, seen: Sight, generator: torch.Generator) -> _Found:
    rays, target = seen.rays.to(trainer.device), seen.target.to(trainer.device).flatten(0, 1)
    valid = seen.valid.to(trainer.device).flatten()
    extra = Extra(trainer.calibration.distortion)
    every, owners, asked = [], [], 0
    for part in torch.arange(len(rays), device=trainer.device).split(max(trainer.rays, 1)):
        few = slice(int(part[0]), int(part[-1]) + 1)
        look = _look(trainer, rays[few], generator)
        samples, codes = look.samples, trainer.field.directions(rays[few].directions)
        logits = trainer.field.shade(look.shape, codes, samples.ray)
        raw = torch.cat([look.shape[:, :1], logits], 1)
        behind = torch.full_like(target[few], seen.background)
        counted = None if bool(valid.all()) else valid[few]
        grad = pixel_loss(raw, samples, target[few], behind, counted, extra).grad
        # A loss is the mean over its own rays: those of a small last piece would look harder.
        share = float(valid[few].sum() / valid.sum().clamp(min=1))
        every.append(hardness(grad) * share)
        owners.append(samples.ray.long() + few.start)
        asked += look.asked
    return _Found(torch.cat(owners), torch.cat(every), asked)


def _look(trainer: Trainer, rays: Rays, generator: torch.Generator) -> Look:
    """What the trainer's step looks at, see step.py; its sampler learns nothing from this."""
    mining, field, sampler = trainer.config.mining, trainer.field, trainer.sampler
    if trainer.dynamic.ahead and isinstance(sampler, OccupancySampler):
        return look_ahead(field, sampler, rays, generator, mining.faintest, FIRST_OUTLOOK)
    look = look_everywhere(field, sampler, rays, generator)
    if isinstance(sampler, ProposalSampler):
        sampler.pending = None  # made for a `learn` that does not come
    if trainer.dynamic.ahead:
        return bright(look, mining.faintest)
    return bright(look) if mining.rule == "pruned" else look


def _render(trainer: Trainer, seen: Sight) -> Float[Tensor, "height width 3"]:
    parts = []
    for start in range(0, len(seen.rays), 16_384):
        rays = seen.rays[start : start + 16_384].to(trainer.device)
        colour, opacity, *_ = render_rays(trainer.field, trainer.sampler, rays)
        parts.append((colour + (1 - opacity)[:, None] * seen.background).clamp(0, 1).cpu())
    return torch.cat(parts).view_as(seen.target)
