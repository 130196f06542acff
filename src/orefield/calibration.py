"""What is learnt about the photographs beside the scene: exposures and camera poses.

Both start at the identity and are only determined up to a change of the whole scene (all pictures
brighter, all cameras moved): gains and offsets are taken relative to their mean over all images,
and poses hold on to the given ones by starting there.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.batch import Batch, Extra, PixelLoss
from orefield.config import RunConfig
from orefield.errors import SceneError
from orefield.ops.composite import Pixels
from orefield.ops.contract import contract
from orefield.scenes.scene import Scene
from orefield.types import PackedSamples, Rays

PULL = 1e-3
"""Weight of the squared distance from the identity in the loss of the exposures."""


class Exposure(nn.Module):
    """A gain and an offset per image and channel: what a camera makes of the light of the scene.

    A pixel is gain * colour + offset * opacity, over its background, which no camera has changed.
    """

    def __init__(self, views: int) -> None:
        super().__init__()
        self.gains = nn.Parameter(torch.zeros(views, 3))
        self.offsets = nn.Parameter(torch.zeros(views, 3))

    @torch.no_grad()
    def of(
        self, view: Int[Tensor, " rays"]
    ) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, "rays 3"]]:
        """Gain and offset of each ray's image."""
        gains, offsets = (p - p.mean(0) for p in (self.gains, self.offsets))
        return 1 + gains[view], offsets[view]

    @torch.no_grad()
    def learn(
        self, view: Int[Tensor, " rays"], grad: Float[Tensor, "rays 3"], pixels: Pixels
    ) -> None:
        """Add to the gradients, given dL/dpixel of rays of these images."""
        for p, by in ((self.gains, pixels.colour), (self.offsets, pixels.opacity[:, None])):
            found = torch.zeros_like(p).index_add(0, view, grad * by) + 2 * PULL * p / p.numel()
            p.grad = (0 if p.grad is None else p.grad) + found - found.mean(0)


class PoseCorrections(nn.Module):
    """A small rotation and translation per camera, in scene axes, applied to its rays."""

    def __init__(self, views: int) -> None:
        super().__init__()
        self.turns = nn.Parameter(torch.zeros(views, 3))
        self.moves = nn.Parameter(torch.zeros(views, 3))

    def corrected(self, rays: Rays, view: Int[Tensor, " rays"]) -> Rays:
        """These rays as the corrected cameras have them; with a graph, for `learn`.

        A rotation vector w turns a direction d by Rodrigues' formula.
        """
        with torch.enable_grad():
            return Rays(rays.origins + self.moves[view], turned(rays.directions, self.turns[view]))

    def learn(
        self, rays: Rays, samples: PackedSamples, grad: Float[Tensor, "3 samples"], contracted: bool
    ) -> None:
        """Add to the gradients, given dL/dposition of samples of rays that `corrected` returned.

        How colours change with the direction they are seen from is left out.
        """
        ray = samples.ray.long()
        with torch.enable_grad():
            places = (rays.origins[ray] + samples.t[:, None] * rays.directions[ray]).T
            (contract(places) if contracted else places).backward(grad)


def turned(d: Float[Tensor, "n 3"], w: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """d rotated by the rotation vectors w, |w| small: exact, and smooth at zero."""
    square = (w * w).sum(1, keepdim=True)
    angle = (square + 1e-16).sqrt()
    around = torch.linalg.cross(w, d)
    twice = torch.linalg.cross(w, around)
    result: Tensor = (
        d + torch.sin(angle) / angle * around + (1 - torch.cos(angle)) / angle**2 * twice
    )
    return result


def check_depths(config: RunConfig, scene: Scene) -> None:
    """Raise SceneError where depth maps are to be used and no training view has one."""
    if config.calibration.depth > 0 and all(view.depth is None for view in scene.train):
        raise SceneError(f"{scene.name}: calibration.depth needs depth maps; no view has one")


class Calibration:
    """All of it, as far as it is switched on, for a training step."""

    def __init__(self, config: RunConfig, views: int, extent: int, device: torch.device) -> None:
        """`views`: number of training images; `extent`: as of the scene."""
        self.config, self.contracted = config.calibration, extent > 1
        proposes = config.sampler.kind == "proposal"
        self.distortion = config.proposal.distortion if proposes else 0.0
        self.exposure = Exposure(views).to(device) if self.config.exposure else None
        self.poses = PoseCorrections(views).to(device) if self.config.poses else None
        self.steps = 0
        kinds = (self.exposure, self.config.exposure_lr), (self.poses, self.config.poses_lr)
        groups = [{"params": list(k.parameters()), "lr": lr} for k, lr in kinds if k is not None]
        self.adam = torch.optim.Adam(groups) if groups else None
        self.rates = [lr for kind, lr in kinds if kind is not None]

    @property
    def moves_rays(self) -> bool:
        """Whether the step needs gradients at the samples' positions."""
        return self.poses is not None and self.steps >= self.config.poses_after

    def rays(self, batch: Batch) -> Rays:
        """The batch's rays as the cameras are now thought to have them; with a graph if learnt."""
        return batch.rays if self.poses is None else self.poses.corrected(batch.rays, batch.view)

    def extra(self, batch: Batch) -> Extra:
        """What the loss is to take into account."""
        gain, offset = (None, None) if self.exposure is None else self.exposure.of(batch.view)
        return Extra(self.distortion, self.config.depth, batch.depth, gain, offset)

    def learn(
        self,
        batch: Batch,
        rays: Rays,
        samples: PackedSamples,
        grad: Float[Tensor, "3 samples"] | None,
        loss: PixelLoss,
    ) -> None:
        """Add to the gradients: `rays` as `rays()` gave them, `grad` at the kept samples."""
        if self.exposure is not None:
            self.exposure.learn(batch.view, loss.at_pixels, loss.pixels)
        if self.poses is not None and grad is not None:
            self.poses.learn(rays, samples, grad, self.contracted)

    def step(self, share: float) -> None:
        """Apply and clear the gradients; `share` is that of the peak learning rates."""
        self.steps += 1
        if self.adam is None:
            return
        for group, lr in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = lr * share
        self.adam.step()
        self.adam.zero_grad()

    def state(self) -> dict[str, Tensor]:
        """Every tensor, by name: what was learnt, and Adam's moments."""
        tensors: dict[str, Tensor] = {}
        for name, kind in (("exposure", self.exposure), ("poses", self.poses)):
            for key, p in ({} if kind is None else dict(kind.named_parameters())).items():
                tensors[f"{name}.{key}"] = p.data
                for moment, value in self._moments(p).items():
                    tensors[f"{name}.{key}.{moment}"] = value
        return {**tensors, "steps": torch.tensor(self.steps)} if tensors else {}

    def restore(self, tensors: dict[str, Tensor]) -> None:
        """Take over a saved state; raises KeyError or RuntimeError where it does not fit."""
        for name, own in self.state().items():
            own.copy_(tensors[name])
        self.steps = int(tensors["steps"]) if tensors else 0

    def _moments(self, p: nn.Parameter) -> dict[str, Tensor]:
        assert self.adam is not None
        if not self.adam.state[p]:
            zeros = torch.zeros_like(p), torch.zeros_like(p)
            self.adam.state[p] = dict(
                zip(("step", "exp_avg", "exp_avg_sq"), (torch.tensor(0.0), *zeros), strict=True)
            )
        return dict(self.adam.state[p])
