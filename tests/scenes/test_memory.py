"""The memory that photographs take is checked before they are read."""

import warnings
from pathlib import Path

import pytest
import torch

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes import SceneWarning, memory, open_scene
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.memory import check_memory
from orefield.system.memory import CONTROL_GROUPS, available_bytes
from orefield.types import SceneError

HUGE = Camera(20_000, 10_000, 1e4, 1e4, 1e4, 5e3)  # 0.75 GiB as RGBA


def frames(count):
    pose = torch.eye(4, dtype=torch.float64)[:3]
    return [Frame(f"{i}", Path(f"scene/{i}.png"), None, HUGE, pose) for i in range(count)]


def test_much_memory_brings_one_warning_and_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "DECODING", 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 2**30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_memory(frames(1), 1, False)
        check_memory(frames(5), 2, False)
    with pytest.warns(SceneWarning, match=r"scene: 2 images take 1\.5 GiB of memory") as caught:
        check_memory(frames(2), 1, False)
    assert len(caught) == 1
    with pytest.raises(
        SceneError, match=r"take 3\.7 GiB of memory, .* and 3\.0 GiB are free"
    ) as error:
        check_memory(frames(5), 1, False)
    assert all(flag in str(error.value) for flag in ("--scene.downscale", "--scene.max-images"))
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    with pytest.warns(SceneWarning, match=r"3\.7 GiB"):
        check_memory(frames(5), 1, False)


def test_as_many_are_decoded_at_once_as_memory_allows(monkeypatch):
    """One of 200 million pixels takes 4.5 GiB while it is decoded, whatever is left of it."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    for free, threads in ((None, 8), (100, 8), (10, 2), (5, 1)):
        value = None if free is None else free * 2**30
        monkeypatch.setattr(memory, "available_bytes", lambda value=value: value)
        assert check_memory(frames(5), 10_000, False) == threads
    monkeypatch.setattr(memory, "available_bytes", lambda: 4 * 2**30)
    with pytest.raises(SceneError, match=r"decoding one of them 4\.5 GiB, and 4\.0 GiB are free"):
        check_memory(frames(5), 10_000, False)


def test_nothing_is_read_that_does_not_fit(blender, monkeypatch):
    monkeypatch.setattr(memory, "WARN_ABOVE", 100)
    monkeypatch.setattr(memory, "available_bytes", lambda: 1000)
    monkeypatch.setattr("orefield.scenes.load.read_frames", None)
    with pytest.raises(SceneError, match=r"--scene\.max-images"):
        open_scene(blender, SceneConfig())


def test_at_most_some_training_images_are_used(blender):
    scene = open_scene(blender, SceneConfig(max_images=3))
    assert [view.name for view in scene.train] == [f"./train/r_{i}" for i in (0, 2, 4)]
    assert scene.split == "official, 3 of 6 training views"


@pytest.mark.parametrize("version", [0, 1])
def test_a_container_may_take_less_than_the_machine_has(tmp_path, version):
    (tmp_path / "proc").mkdir()
    assert available_bytes(tmp_path) is None
    (tmp_path / "proc/meminfo").write_text("MemTotal:  9000 kB\nMemAvailable:   8000 kB\n")
    assert available_bytes(tmp_path) == 8000 * 1024
    limit, used, details = (tmp_path / "sys/fs/cgroup" / name for name in CONTROL_GROUPS[version])
    limit.parent.mkdir(parents=True)
    limit.write_text("5000\n")
    used.write_text("4500\n")
    details.write_text("anon 1000\ninactive_file 300\n")
    assert available_bytes(tmp_path) == 800
    limit.write_text("max\n")
    assert available_bytes(tmp_path) == 8000 * 1024
