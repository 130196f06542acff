"""A run in a folder."""

from pathlib import Path

import pytest

from orefield.config import RunConfig
from orefield.runs.loop import TrainingRun, start_run
from orefield.scenes import Scene


@pytest.fixture
def run(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> TrainingRun:
    """A run that has not begun to train."""
    return start_run(tiny_scene, tmp_path / "run", tiny_config)
