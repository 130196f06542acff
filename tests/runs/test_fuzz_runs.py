"""Damaged run folders end in a run or in one line that says what is wrong, never in anything else.

Nor in an allocation out of proportion, nor in numbers that no training gives.
"""

import copy
import dataclasses
import json
import math
import os
import random
import resource
import shutil
import struct
from collections import Counter
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch

from limits import little_memory
from orefield.config import RunConfig
from orefield.errors import LONGEST, OrefieldError, RunError
from orefield.report.history import history_from_dict
from orefield.runs import folder as folders
from orefield.runs.folder import check_sizes, load_run, load_trainer
from orefield.runs.header import read_config
from orefield.runs.loop import resume_run, start_run
from orefield.runs.state import flat_tensors
from orefield.scenes import Scene
from orefield.system.files import read_json
from orefield.training.trainer import Trainer

FILES = ("config.json", "field.safetensors", "state.safetensors", "metrics.json")
NUMBERS = [0, -1, 1, 2, 3.5, 1e-320, 1e31, 1e300, 10**12, 2**63, 10**400, True]
TEXTS = ["", "\0", "\x1b[2J", "a" * 5000, "/dev/zero", "meta", "cuda:9", "\ud800", "NaN"]
CONSTANTS = [math.nan, math.inf, -math.inf]
DEEP: Any = None
for _ in range(200):
    DEEP = [DEEP]
JUNK = [None, *NUMBERS, *TEXTS, *CONSTANTS, [], {}, [[]], {"a": 1}, [1] * 1000, DEEP]


@pytest.fixture
def saved(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> tuple[Path, Trainer]:
    """A run that was stopped after three steps, and a trainer to load it into."""
    run = start_run(tiny_scene, tmp_path / "run", tiny_config)
    list(run.train(stop=lambda: run.trainer.step == 3))
    return run.folder, Trainer(tiny_scene, tiny_config)


def read_everything(folder: Path, trainer: Trainer, file: str) -> None:
    """Whatever a command reads of this file."""
    if file in ("config.json", "field.safetensors"):
        run = load_run(folder)
        tensors = flat_tensors({"f": run.field.state_dict(), "s": run.sampler.state_dict()})
        assert all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())
        assert 0 <= run.header.near < math.inf
    if file in ("config.json", "state.safetensors"):
        check_sizes(folder, read_config(folder))
        history_from_dict(load_trainer(folder, trainer), "state")
        assert 0 <= trainer.step < 2**53
        assert math.isfinite(trainer.seconds)
    if file == "metrics.json":
        read_json(folder / file, RunError, strict=True)


def outcome(folder: Path, trainer: Trainer, file: str) -> str:
    """`read`, or `refused` with one short line; anything else fails."""
    try:
        read_everything(folder, trainer, file)
    except OrefieldError as error:
        line = str(error)
        assert line.isprintable()
        assert 0 < len(line) <= LONGEST
        return "refused"
    return "read"


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) of a JSON value."""
    found = []
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in parts:
        found.append((value, key))
        if isinstance(inner, (dict, list)):
            found += places(inner)
    return found


def junk(rng: random.Random) -> Any:
    return copy.deepcopy(rng.choice(JUNK))


def junk_in(values: Any, rng: random.Random) -> bytes:
    """A JSON value with something else in one or two places, or something too much."""
    for _ in range(rng.choice([1, 1, 2])):
        container, key = rng.choice(places(values))
        way = rng.random()
        if way < 0.8:
            container[key] = junk(rng)
        elif way < 0.9 and isinstance(container, dict):
            del container[key]
        elif isinstance(container, dict):
            container[rng.choice(["luck", "", "\x1b", str(key) * 300])] = junk(rng)
        else:
            container.append(junk(rng))
        if not values:
            break
    return json.dumps(values).encode()


def damaged_bytes(data: bytes, rng: random.Random) -> bytes:
    """Bytes cut off, doubled, flipped, or replaced."""
    at, length = rng.randrange(len(data)), rng.choice([1, 2, 8, 100, 10_000])
    # The head of a file of tensors is where most can go wrong.
    at = at if rng.random() < 0.3 else rng.randrange(min(len(data), 4000))
    whole = [data[:at], data[at : at + length], data[at + length :]]
    ways: list[Callable[[], bytes]] = [
        lambda: data[:at],
        lambda: whole[0] + whole[1] * 2 + whole[2],
        lambda: whole[0] + whole[2],
        lambda: whole[0] + bytes(b ^ (1 << rng.randrange(8)) for b in whole[1]) + whole[2],
        lambda: whole[0] + rng.randbytes(len(whole[1])) + whole[2],
        lambda: whole[0] + b"\xff" * len(whole[1]) + whole[2],
        lambda: b"",
        lambda: b"[" * 100_000,
        lambda: b'{"a":' * 100_000,
        lambda: struct.pack("<Q", rng.choice([0, 2**31, 2**63, 2**64 - 1])) + data[8:],
    ]
    return rng.choice(ways)()


def junk_in_tensors(data: bytes, rng: random.Random) -> bytes:
    """A file of tensors with junk among its facts or in its table of tensors, or as numbers."""
    size = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + size]), bytearray(data[8 + size :])
    way = rng.random()
    if way < 0.5:
        entry = json.loads(header["__metadata__"]["orefield"])
        header["__metadata__"]["orefield"] = junk_in(entry, rng).decode()
    elif way < 0.8:
        name = rng.choice([name for name in header if name != "__metadata__"])
        places_of = places(header[name])
        container, key = rng.choice(places_of)
        container[key] = rng.choice(
            [junk(rng), "F16", "I64", "F8_E4M3", [3, 2], [2**62], [10**9, 0]]
        )
    else:
        at, number = rng.randrange(len(body) // 8) * 8, rng.choice([*CONSTANTS, 3e38, -1.0, 1e-40])
        body[at : at + 8] = (
            struct.pack("<d", number)
            if rng.random() < 0.3
            else (struct.pack("<ff", number, number))
        )
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(body)


def damage(file: str, data: bytes, rng: random.Random) -> bytes:
    if rng.random() < 0.4:
        return damaged_bytes(data, rng)
    if file.endswith(".json"):
        return junk_in(json.loads(data), rng)
    return junk_in_tensors(data, rng)


@pytest.mark.parametrize(
    ("count", "seed"), [(400, 0), pytest.param(20_000, 1, marks=pytest.mark.slow)]
)
def test_damaged_runs_are_read_or_refused_in_one_line(
    count: int, seed: int, saved, monkeypatch, record_property
) -> None:
    folder, trainer = saved
    monkeypatch.setattr(folders, "_parts", lru_cache(folders._parts))  # most of the time else
    sound = {file: (folder / file).read_bytes() for file in FILES}
    counts: Counter[str] = Counter()
    for file in FILES:
        assert outcome(folder, trainer, file) == "read"
    with little_memory():
        for number in range(count):
            rng = random.Random(f"{seed} {number}")
            file = FILES[number % len(FILES)]
            (folder / file).write_bytes(damage(file, sound[file], rng))
            try:
                counts[f"{file} {outcome(folder, trainer, file)}"] += 1
            except Exception as error:
                raise AssertionError(f"case {number} of seed {seed}: {file}: {error!r}") from error
            (folder / file).write_bytes(sound[file])
    record_property("counts", f"damaged run folders: {dict(counts)}")
    assert all(counts[f"{file} refused"] > count / 20 for file in FILES)
    assert sum(counts[f"{file} read"] for file in FILES) > count / 20


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "broken link"])
@pytest.mark.parametrize("file", FILES)
def test_what_is_no_file_is_refused_at_once(file: str, kind: str, saved, tmp_path: Path) -> None:
    folder, trainer = saved
    (folder / file).unlink()
    if kind == "pipe":
        os.mkfifo(folder / file)
    elif kind == "folder":
        (folder / file).mkdir()
    else:
        (folder / file).symlink_to("/dev/zero" if kind == "device" else tmp_path / "nowhere")
    assert outcome(folder, trainer, file) == "refused"


@pytest.mark.parametrize(
    "settings",
    [
        {"field": {"log2_hashmap_size": 24, "levels": 32, "max_resolution": 65536}},
        {"field": {"kind": "nerf", "nerf_width": 1024}},
        {"sampler": {"resolution": 512}},
        {"sampler": {"kind": "proposal"}, "proposal": {"log2_hashmap_size": 24}},
    ],
    ids=["table", "layers", "grid", "proposal"],
)
def test_settings_of_gigabytes_are_compared_before_anything_is_allocated(
    settings: dict[str, Any], saved, tiny_scene: Scene
) -> None:
    folder, _ = saved
    facts = json.loads((folder / "config.json").read_text())
    for part, values in settings.items():
        facts["config"][part] |= values
    (folder / "config.json").write_text(json.dumps(facts))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(RunError, match=r"field\.safetensors: tensor .* (these settings|missing)"):
        load_run(folder)
    with pytest.raises(RunError, match=r"state\.safetensors: tensor .* (these settings|missing)"):
        resume_run(folder, tiny_scene)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # KiB


def test_files_of_two_runs_are_not_mixed(
    saved, tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    folder, trainer = saved
    config = dataclasses.replace(tiny_config, seed=1)
    other = start_run(tiny_scene, tmp_path / "other", config)
    other.save()
    for file in ("field.safetensors", "state.safetensors"):
        shutil.copy(other.folder / file, folder / file)
        with pytest.raises(RunError) as refused:
            load_run(folder) if file[:5] == "field" else load_trainer(folder, trainer)
        line = f"is not of the run that {folder / 'config.json'} describes"
        assert str(refused.value) == f"{folder / file}: {line}"
