"""The memory that photographs take is checked before they are read."""

import tempfile
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from orefield.cameras import Camera
from orefield.config import SceneConfig
from orefield.scenes import PixelSampler, SceneWarning, memory, open_scene
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.memory import check_memory
from orefield.scenes.pixel_block import new_block
from orefield.system.memory import CONTROL_GROUPS, available_bytes
from orefield.types import SceneError

HUGE = Camera(20_000, 10_000, 1e4, 1e4, 1e4, 5e3)  # 0.75 GiB as RGBA


def frames(count):
    pose = torch.eye(4, dtype=torch.float64)[:3]
    return [Frame(f"{i}", Path(f"scene/{i}.png"), None, HUGE, pose) for i in range(count)]


def test_much_memory_brings_one_warning_more_goes_to_a_file_and_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(memory, "DECODING", 1)
    monkeypatch.setattr(memory, "available_bytes", lambda: 3 * 2**30)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_memory(frames(1), 1, False)
        check_memory(frames(5), 2, False)
    with pytest.warns(SceneWarning, match=r"scene: 2 images take 1\.5 GiB of memory") as caught:
        check_memory(frames(2), 1, False)
    assert len(caught) == 1
    with pytest.warns(SceneWarning, match=r"3\.7 GiB of memory, more than is free: .* a file in"):
        assert check_memory(frames(5), 1, False).in_file
    masked = [replace(frame, mask=frame.image) for frame in frames(5)]
    with pytest.raises(
        SceneError, match=r"take 4\.7 GiB of memory beside their colors, .* 3\.0 GiB are free"
    ) as error:
        check_memory(masked, 1, True)
    assert all(flag in str(error.value) for flag in ("--scene.downscale", "--scene.max-images"))
    monkeypatch.setattr(memory, "available_bytes", lambda: None)
    with pytest.warns(SceneWarning, match=r"3\.7 GiB"):
        assert not check_memory(frames(5), 1, False).in_file


def test_as_many_are_decoded_at_once_as_memory_allows(monkeypatch):
    """One of 200 million pixels takes 4.5 GiB while it is decoded, whatever is left of it."""
    monkeypatch.setattr("os.cpu_count", lambda: 64)
    for free, threads in ((None, 8), (100, 8), (10, 2), (5, 1)):
        value = None if free is None else free * 2**30
        monkeypatch.setattr(memory, "available_bytes", lambda value=value: value)
        assert check_memory(frames(5), 10_000, False).threads == threads
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


def test_photographs_in_a_file_equal_those_in_memory_and_leave_nothing(
    blender, monkeypatch, tmp_path
):
    folder = tmp_path / "disk"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    want = open_scene(blender, SceneConfig())
    monkeypatch.setattr(memory, "WARN_ABOVE", 0)
    monkeypatch.setattr(memory, "available_bytes", lambda: memory.TRAINING)
    with pytest.warns(SceneWarning, match=str(folder)):
        got = open_scene(blender, SceneConfig())
    for a, b in zip([*want.train, *want.test], [*got.train, *got.test], strict=True):
        assert torch.equal(a.image, b.image)
    every, kept = PixelSampler(got.train).every(), PixelSampler(want.train).every()
    assert torch.equal(every.rgba, kept.rgba)
    assert list(folder.iterdir()) == []


def test_a_disk_without_room_is_an_error_before_anything_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    with pytest.raises(SceneError, match=r"no room for .* set TMPDIR to a folder on a larger disk"):
        new_block(2**56, in_file=True)
    monkeypatch.delattr("os.posix_fallocate", raising=False)
    with pytest.raises(SceneError, match="no room"):
        new_block(2**56, in_file=True)
    assert new_block(3, in_file=True).shape == (3, 4)
