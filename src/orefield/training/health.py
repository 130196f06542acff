"""Whether training can go well, and whether it does: what stops it, and what is worth a warning."""

import warnings
from collections.abc import Mapping
from math import isfinite

import torch
from torch import nn

from orefield.config import RunConfig
from orefield.errors import SceneError, TrainingError
from orefield.scenes import PixelSampler, Scene
from orefield.types import Field, Sampler

PATIENCE = 100
"""Steps in a row whose numbers are not finite, after which training stops. Such a step changes
nothing but which rays come next: where even nine of ten batches hold a bad number, a hundred in a
row are one chance in 40,000; and a hundred steps are a few seconds."""
_DECAY = 0.98
"""Of the running mean of the loss: about the last 50 steps count."""
_SLOW = 500
"""Steps that a field may take to become better than one constant color."""
_PIXELS = 2**14
"""Pixels from which the best constant color is found, to a percent of its error."""


def check_scene(config: RunConfig, scene: Scene) -> None:
    """Raise SceneError for a training view whose pose is not finite, and where the settings need
    depth maps and no training view has one."""
    for view in scene.train:
        if not bool(view.pose.isfinite().all()):
            raise SceneError(f"{scene.name}: the pose of {view.name} is not finite: {view.pose}")
    if config.calibration.depth > 0 and all(view.depth is None for view in scene.train):
        raise SceneError(f"{scene.name}: calibration.depth needs depth maps; no view has one")


def constant_color_mse(pixels: PixelSampler, background: str, device: torch.device) -> float:
    """The mean squared error of the constant color that fits the training pixels best.

    That is their variance, over their background: `random`, of a variance of 1/12, white or black.
    """
    rgba = pixels.sample(_PIXELS, torch.Generator(device).manual_seed(0)).rgba
    through = 1 - rgba[:, 3:]
    behind, spread = {"random": (0.5, 1 / 12), "white": (1.0, 0.0)}.get(background, (0.0, 0.0))
    expected = rgba[:, :3] * rgba[:, 3:] + through * behind
    return float(expected.var(0, correction=0).mean() + spread * through.square().mean())


class TrainingHealth:
    """Follows a trainer's losses; what the host knows of them only, which may be now and then."""

    def __init__(
        self, constant_mse: float, config: RunConfig, *modules: Field | Sampler | nn.Module
    ) -> None:
        """`modules` have the parameters that are learned, the field first."""
        self.constant_mse, self.config, self.modules = constant_mse, config, modules
        self.step = self.skipped = self.streak = 0
        self.mean: float | None = None
        """Running mean of the term `color`."""
        self.was_good = self.warned = False

    def start_at(self, step: int, skipped: int) -> None:
        """Go on from a state: so many steps, so many of them skipped."""
        self.step, self.skipped, self.streak = step, skipped, 0

    def record(self, step: int, skipped: int, losses: Mapping[str, float]) -> None:
        """After step number `step`: steps skipped so far, and the last step's terms of the loss.

        Warns once where training diverges. Raises TrainingError after PATIENCE steps in a row whose
        numbers were not finite.
        """
        new, failed = step - self.step, skipped - self.skipped
        self.step, self.skipped = step, skipped
        self.streak = self.streak + new if failed == new else 0
        if self.streak >= PATIENCE:
            raise TrainingError(
                f"training stopped after step {step}: for {self.streak} steps in a row the numbers "
                f"were not finite, and nothing was learned; {self._likely_cause(losses)}"
            )
        if isfinite(losses["color"]):
            self._follow(losses["color"], _DECAY**new)

    def tell_end(self) -> None:
        """Warn where the last steps of a run were all skipped."""
        if self.streak:
            warnings.warn(
                f"the last {self.streak} steps were skipped, because their numbers were not finite",
                stacklevel=3,
            )

    def _follow(self, mse: float, decay: float) -> None:
        self.mean = mse if self.mean is None else decay * self.mean + (1 - decay) * mse
        self.was_good |= self.mean < self.constant_mse / 2
        late = self.was_good or self.step >= _SLOW
        if late and self.mean > self.constant_mse and not self.warned:
            self.warned = True
            warnings.warn(
                f"training diverges: at step {self.step} the error is larger ({self.mean:.3g}) "
                f"than that of one constant color ({self.constant_mse:.3g}); {self._lower_rate()}",
                stacklevel=4,
            )

    def _likely_cause(self, losses: Mapping[str, float]) -> str:
        field, *others = self.modules
        bad = [name for name, value in losses.items() if not isfinite(value)]
        if not _is_finite(field):
            return f"the field's parameters are no longer numbers: {self._lower_rate()}"
        if not all(map(_is_finite, others)):
            return "learned poses, exposures or proposals are no longer numbers: lower their rates"
        if bad == ["depth"]:
            return (
                "a depth map has a distance that is not a number: train without calibration.depth"
            )
        where = f"in the loss ({', '.join(bad)})" if bad else "in the gradients"
        return f"they are {where}: {self._lower_rate()}, or look for a bad pose or depth map"

    def _lower_rate(self) -> str:
        config = self.config
        precise = "" if config.field.precision == "fp32" else ", or set field.precision to fp32"
        return f"lower optim.lr (now {config.optim.lr:g}){precise}"


def _is_finite(module: Field | Sampler | nn.Module) -> bool:
    return all(bool(value.isfinite().all()) for value in module.parameters())
