"""Flags of the smallest run, and a run that was trained by them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orefield.cli import main

TINY = [
    *("--field.levels=4", "--field.log2-hashmap-size=10", "--field.width=16"),
    *("--field.base-resolution=4", "--field.max-resolution=32"),
    *("--sampler.resolution=16", "--sampler.steps-per-diagonal=64"),
    *("--optim.target-samples=1024", "--steps=12"),
]


@pytest.fixture(scope="session")
def tiny_flags() -> list[str]:
    return TINY


@pytest.fixture(scope="session")
def whole_run(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run trained and evaluated by the command, with mining maps: only to read."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", str(tiny_folder), "--out", str(run), "--mining-maps", *TINY]) == 0
    return run


@pytest.fixture
def ends_as_whole(whole_run: Path) -> Callable[[Path], None]:
    """Asserts that a run ended as that one: the same field, scores and steps."""

    def check(run: Path) -> None:
        whole, other = (json.loads((f / "metrics.json").read_text()) for f in (whole_run, run))
        name = "field.safetensors"
        assert (whole_run / name).read_bytes() == (run / name).read_bytes()
        assert other["test"] == whole["test"]
        assert [point["step"] for point in other["training"]["points"]] == list(range(1, 13))

    return check


@pytest.fixture
def trained(whole_run: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(whole_run, tmp_path / "run"))
