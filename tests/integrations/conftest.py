"""For frameworks that score by LPIPS whatever one asks for."""

import os
from pathlib import Path

import pytest

_MODELS = '''
from torch import nn


def alexnet(**_):
    """AlexNet's shapes, with random weights."""
    model = nn.Module()
    model.features = nn.Sequential(
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(64, 192, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2),
        nn.Conv2d(192, 384, 3, padding=1), nn.ReLU(),
        nn.Conv2d(384, 256, 3, padding=1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, padding=1), nn.ReLU(), nn.MaxPool2d(3, 2),
    )
    return model
'''


@pytest.fixture
def without_downloads(tmp_path: Path) -> dict[str, str]:
    """The environment of a process in which a stand-in for torchvision gives LPIPS its network.

    Its weights are a download, and torchvision itself comes for CUDA; the scores do not matter.
    """
    package = tmp_path / "stand_in" / "torchvision"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "models.py").write_text(f"import torch\n\ntorch.manual_seed(0)\n{_MODELS}")
    return {**os.environ, "PYTHONPATH": str(package.parent), "CUDA_VISIBLE_DEVICES": ""}
