"""Orefield as a method of nerfbaselines (1.2): its datasets in, its cameras rendered.

`nerfbaselines train --method orefield --data ...` takes settings as `--set steps=2000` and
`--set field.log2_hashmap_size=17`. A checkpoint is a run folder, whose scene is nerfbaselines' own.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nerfbaselines import Cameras, Dataset, Method, MethodInfo, ModelInfo, camera_model_from_int

from orefield.cameras import Camera
from orefield.cameras.file_units import pose_to_scene
from orefield.config import RunConfig, changed, fit_to_budget, resolve_preset, to_dict
from orefield.errors import ConfigError, SceneError
from orefield.evaluation.metrics import mse_to_psnr
from orefield.integrations.nerfbaselines_spec import METHOD_ID
from orefield.rendering.render import render_view
from orefield.report.settings import flat
from orefield.runs.folder import create_run, load_run, load_trainer, save_run
from orefield.runs.header import header_of, read_config
from orefield.scenes import Scene, View, scene_of_views
from orefield.training.trainer import Trainer
from orefield.types import Field, Sampler

_STEPS = 5000
"""Of a training, unless `steps` says otherwise: budgets are iterations in nerfbaselines."""
_STEP = "step.txt"
"""Steps so far, beside a checkpoint: rendering reads nothing else that says so."""
_LENSES = {"pinhole": 0, "opencv": 4, "opencv_fisheye": 6, "full_opencv": 8}
"""Coefficients that each of its camera models has; a fisheye leaves the third and fourth out."""


class OrefieldMethod(Method):
    """A training on a dataset, or a checkpoint to render from."""

    def __init__(
        self,
        *,
        checkpoint: str | None = None,
        train_dataset: Dataset | None = None,
        config_overrides: dict[str, Any] | None = None,
    ) -> None:
        """Both `checkpoint` and `train_dataset`: the training goes on from the checkpoint."""
        self.checkpoint = checkpoint
        self.trainer: Trainer | None = None
        self.loaded_step: int | None = None
        self.field: Field
        self.sampler: Sampler
        if train_dataset is None:
            if checkpoint is None:
                raise ConfigError("orefield needs a checkpoint, a train_dataset, or both")
            run = load_run(checkpoint, "auto")
            self.config, self.field, self.sampler = run.header.config, run.field, run.sampler
            self.to_world = torch.tensor(run.header.to_world, dtype=torch.float64)
            self.loaded_step = int((Path(checkpoint) / _STEP).read_text())
            return
        self.scene = scene_of_dataset(train_dataset)
        self.to_world = self.scene.to_world
        config = RunConfig(steps=_STEPS) if checkpoint is None else _saved(checkpoint)
        config = overridden(config, config_overrides or {})
        if config.steps < 1:
            raise ConfigError(
                f"budgets are iterations here: steps is {config.steps}, not 1 or more"
            )
        config, _ = resolve_preset(fit_to_budget(config, self.scene.facts), self.scene.facts)
        self.trainer = Trainer(self.scene, config)
        if checkpoint is not None:
            load_trainer(Path(checkpoint), self.trainer)
            self.loaded_step = self.trainer.step
        self.config = self.trainer.config
        self.field, self.sampler = self.trainer.field, self.trainer.sampler

    @classmethod
    def get_method_info(cls) -> MethodInfo:
        """What it needs and gives, before there is a dataset."""
        return {
            "method_id": METHOD_ID,
            "required_features": frozenset(("color", "points3D_xyz")),
            "supported_camera_models": frozenset(_LENSES),
            "supported_outputs": ("color", {"name": "depth", "type": "depth"}, "accumulation"),
        }

    def get_info(self) -> ModelInfo:
        """The same, and how long it is trained."""
        return {
            **self.get_method_info(),
            "num_iterations": self.config.steps,
            "loaded_step": self.loaded_step,
            "loaded_checkpoint": self.checkpoint,
            "hparams": flat(to_dict(self.config)),
        }

    def train_iteration(self, step: int) -> dict[str, float]:
        """One training step; `step` must be the next one."""
        if self.trainer is None:
            raise ConfigError("orefield: a checkpoint without a train_dataset cannot be trained")
        if step != self.trainer.step:
            raise ConfigError(f"orefield: expected step {self.trainer.step}, got {step}")
        stats = self.trainer.advance()
        return {
            "loss": sum(stats.losses.values()),
            "psnr": mse_to_psnr(stats.loss),
            "num_rays": float(stats.rays),
            "kept_share": stats.kept / max(stats.evaluated, 1),
        }

    def render(
        self, camera: Cameras, *, options: Mapping[str, Any] | None = None
    ) -> dict[str, np.ndarray]:
        """Color over `eval_background`, opacity, and depth in the dataset's units, of a camera."""
        one = camera.item()
        pose = pose_to_scene(torch.from_numpy(np.asarray(one.poses)), self.to_world).float()
        lens = _camera(one)
        background = 1.0 if self.config.eval_background == "white" else 0.0
        view = render_view(self.field, self.sampler, lens, pose, background)
        found = {
            "color": view.color.numpy(),
            "depth": view.depth.numpy() * float(self.to_world[0, 0]),
            "accumulation": view.opacity.numpy(),
        }
        wanted = (options or {}).get("outputs")
        return {name: found[name] for name in wanted if name in found} if wanted else found

    def save(self, path: str) -> None:
        """Write a checkpoint, which is a run folder."""
        if self.trainer is None:
            assert self.checkpoint is not None
            shutil.copytree(self.checkpoint, path, dirs_exist_ok=True)
            return
        folder = Path(path)
        lock = create_run(folder, header_of(self.scene, self.config), overwrite=True)
        try:
            save_run(folder, self.trainer)
            (folder / _STEP).write_text(str(self.trainer.step))
        finally:
            lock.release()


def scene_of_dataset(dataset: Dataset) -> Scene:
    """A dataset's photographs and cameras as training views; its points bound what is sampled."""
    metadata, cameras = dataset["metadata"], dataset["cameras"]
    name = str(metadata.get("scene") or metadata.get("id") or "dataset")
    if metadata.get("color_space", "srgb") != "srgb":
        raise SceneError(f"{name}: color space {metadata['color_space']!r}, expected 'srgb'")
    masks = dataset.get("sampling_masks")
    views = []
    for index, path in enumerate(dataset["image_paths"]):
        camera = _camera(cameras[index])
        size = slice(0, camera.height), slice(0, camera.width)  # images may be padded
        pixels = np.asarray(dataset["images"][index])[size]
        valid = None if masks is None else np.asarray(masks[index])[size] > 0
        views.append(
            View(
                str(path),
                camera,
                torch.from_numpy(np.asarray(cameras.poses[index], np.float64)[:3]),
                torch.from_numpy(np.ascontiguousarray(pixels)),
                None if valid is None or valid.all() else torch.from_numpy(valid),
            )
        )
    points = dataset.get("points3D_xyz")
    given = None if points is None or not len(points) else torch.from_numpy(np.asarray(points))
    return scene_of_views(name, views, points=given)


def _camera(one: Cameras) -> Camera:
    """A single camera of a dataset; its coefficients are k1 k2 p1 p2 k3 k4 k5 k6."""
    name = camera_model_from_int(int(one.camera_models))
    fisheye = name == "opencv_fisheye"
    numbers = [*map(float, one.distortion_parameters), *[0.0] * 8][: _LENSES[name]]
    if fisheye:
        numbers = [*numbers[:2], *numbers[4:]]
    width, height = map(int, one.image_sizes)
    fx, fy, cx, cy = map(float, one.intrinsics)
    return Camera(
        width,
        height,
        fx,
        fy,
        cx,
        cy,
        tuple(numbers) or (0.0,) * 4,
        "fisheye" if fisheye else "perspective",
    )


def overridden(config: RunConfig, overrides: Mapping[str, Any]) -> RunConfig:
    """The configuration with settings such as `{"field.log2_hashmap_size": "17"}`.

    Raises ConfigError, naming the setting, for one that is unknown or does not fit.
    """
    for name, value in overrides.items():
        config = changed(config, f"{name}={value}")
    return config


def _saved(checkpoint: str) -> RunConfig:
    return read_config(Path(checkpoint)).config
