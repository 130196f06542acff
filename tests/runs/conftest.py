"""A run in a folder, and the interrupt key as a terminal sets it up."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orefield.config import RunConfig
from orefield.runs.loop import TrainingRun, start_run
from orefield.scenes import Scene


@pytest.fixture
def run(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> TrainingRun:
    """A run that has not begun to train."""
    return start_run(tiny_scene, tmp_path / "run", tiny_config)


@pytest.fixture
def ctrl_c() -> Iterator[None]:
    """A process started in the background inherits that Ctrl-C is ignored; here it is not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
