"""Damaged scenes of every format end in a scene or in a SceneError that names one of their files.

Never in another exception, in an allocation out of proportion, or in a read outside the folder.
"""

import copy
import json
import math
import struct
import sys
import warnings
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from orefield.config import SceneConfig
from orefield.scenes import open_scene
from orefield.types import SceneError

OPENED: list[str] | None = None
SPARE_BYTES = 2**31
"""Address space that a parser may take; its threads reserve most of it."""


def record_opened(event, arguments):
    if OPENED is not None and event == "open":
        OPENED.append(str(arguments[0]))


sys.addaudithook(record_opened)  # cannot be taken back: costs one comparison per event from here on


@contextmanager
def little_memory():
    """An allocation out of proportion fails, where the system can be told so."""
    if sys.platform != "linux":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def outcome(folder, config):
    """The error's message, '' for a scene; any other exception gets through."""
    global OPENED
    OPENED = opened = []
    message = ""
    try:
        with warnings.catch_warnings(), little_memory():
            warnings.simplefilter("ignore")
            open_scene(folder, config)
    except SceneError as error:
        message = str(error)
        if folder.name not in message or "\n" in message:
            pytest.fail(f"not one line that names a file of the scene: {message!r}")
    finally:
        OPENED = None
    assert not [path for path in opened if "secret" in path or path.startswith("/etc")]
    return message


EXTREME_WORDS = [
    *(struct.pack("<d", value) for value in (0.0, -1.0, 1e30, 1e300, -1e-300, math.nan, math.inf)),
    *(struct.pack("<q", value) for value in (0, 1, -1, 17, 2**31, 2**32, 2**40, 2**62)),
]


@st.composite
def damage(draw):
    """A way to damage bytes: cut, flip a bit, put an extreme number somewhere, repeat or remove."""
    kind = draw(st.sampled_from(["cut", "flip", "word", "word", "word", "repeat", "remove"]))
    position, length = draw(st.floats(0, 1)), draw(st.integers(1, 40))
    bit, word = draw(st.integers(0, 7)), draw(st.sampled_from(EXTREME_WORDS))

    def apply(data):
        at = min(int(position * len(data)), max(len(data) - 1, 0))
        if kind == "cut":
            return data[:at]
        if kind == "flip":
            return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]
        if kind == "word":  # the numbers of binary files stand at multiples of four
            at -= at % 4
            return data[:at] + word + data[at + 8 :]
        if kind == "repeat":
            return data[:at] + data[at : at + length] * 2 + data[at + length :]
        return data[:at] + data[at + length :]

    return apply


FILES = {
    "blender": ["transforms_train.json", "train/r_3.png"],
    "transforms": ["transforms.json", "depth/3.png", "depth/4.npy", "images/3.png", "mask.png"],
    "llff": ["poses_bounds.npy"],
    "colmap": ["sparse/0/cameras.bin", "sparse/0/images.bin", "sparse/0/points3D.bin"],
    "colmap text": ["sparse/0/cameras.txt", "sparse/0/images.txt", "sparse/0/points3D.txt"],
    "dtu": ["cameras_sphere.npz"],
}
CASES = [(form, file) for form, files in FILES.items() for file in files]


def examples(few, many):
    """A short run, and a long one for `make test-all`."""
    return pytest.mark.parametrize("count", [few, pytest.param(many, marks=pytest.mark.slow)])


@pytest.fixture
def scene_folder(request):
    """A scene of the format that the test is run with."""
    (tmp := request.getfixturevalue("tmp_path")).joinpath("secret.png").write_bytes(b"secret")
    form = request.node.callspec.params["form"]
    folder = request.getfixturevalue(form.split()[0])
    if form == "colmap text":
        for file in (folder / "sparse/0").iterdir():
            file.unlink()
        request.getfixturevalue("sparse").write(folder / "sparse/0", binary=False)
    if form == "transforms":
        add_maps(folder)
    assert tmp in folder.parents
    return folder


def add_maps(folder: Path) -> None:
    (folder / "depth").mkdir()
    Image.fromarray(np.full((10, 12), 4000, np.uint16)).save(folder / "depth/3.png")
    np.save(folder / "depth/4.npy", np.full((10, 12), 4.0))
    Image.fromarray(np.full((10, 12), 255, np.uint8)).save(folder / "mask.png")
    values = json.loads((folder / "transforms.json").read_text())
    values["frames"][3] |= {"depth_file_path": "depth/3.png", "mask_path": "mask.png"}
    values["frames"][4] |= {"depth_file_path": "depth/4.npy"}
    (folder / "transforms.json").write_text(json.dumps(values))


@examples(4, 120)
@pytest.mark.parametrize(("form", "file"), CASES)
def test_damaged_bytes_end_in_a_scene_or_a_scene_error(form, file, count, scene_folder):
    config = SceneConfig(holdout=3, masks="ignore" if form == "transforms" else "alpha")
    assert outcome(scene_folder, config) == ""
    sound = (scene_folder / file).read_bytes()
    outcomes = set()

    @settings(max_examples=count)
    @given(st.lists(damage(), min_size=1, max_size=2))
    @example([lambda data: b""])
    @example([lambda data: data[:8]])
    @example([lambda data: b"\xff" * len(data)])
    @example([lambda data: b"[" * 100_000])
    @example([lambda data: struct.pack("<Q", 2**63) + data[8:]])
    def law(ways):
        data = sound
        for way in ways:
            data = way(data) if data else data
        (scene_folder / file).write_bytes(data)
        outcomes.add(outcome(scene_folder, config) == "")

    law()
    assert False in outcomes  # else nothing was damaged


NUMBERS = st.sampled_from([0, -1, 1e-320, 1e14, 1e31, 10**400, math.nan, math.inf, True, 2**63])
PATHS = st.sampled_from(
    ["../secret.png", "images/../../secret.png", "/etc/passwd", "C:\\x", "\0", "a" * 5000, "~", "."]
)
JUNK = st.recursive(
    st.none() | NUMBERS | PATHS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
FIELDS = [
    *("file_path", "mask_path", "depth_file_path", "transform_matrix", "fl_x", "fl_y", "cx", "cy"),
    *("w", "h", "k1", "k2", "k3", "k4", "p1", "p2", "camera_angle_x", "camera_model", "frames"),
    *("is_fisheye", "train_filenames", "test_filenames", "applied_transform"),
    "depth_unit_scale_factor",
]
MODELS = st.sampled_from(["OPENCV_FISHEYE", "EQUIRECTANGULAR", "PINHOLE", "OPENCV"])


@examples(12, 300)
@pytest.mark.parametrize("form", ["transforms", "blender"])
def test_junk_in_any_field_ends_in_a_scene_or_a_scene_error(form, count, scene_folder):
    file = scene_folder / ("transforms.json" if form == "transforms" else "transforms_train.json")
    sound = json.loads(file.read_text())
    outcomes = set()

    @settings(max_examples=count)
    @given(st.data())
    def law(data):
        values = copy.deepcopy(sound)
        frame = values["frames"][data.draw(st.integers(0, len(values["frames"]) - 1))]
        row = frame["transform_matrix"][data.draw(st.integers(0, 3))]
        if data.draw(st.booleans()):
            values["camera_model"] = data.draw(MODELS)
        target = data.draw(st.sampled_from([values, frame, row]))
        names = range(4) if isinstance(target, list) else [*FIELDS, *FIELDS[:3] * 3]
        target[data.draw(st.sampled_from(names))] = data.draw(JUNK)
        file.write_text(json.dumps(values))
        outcomes.add(outcome(scene_folder, SceneConfig(holdout=3)) == "")

    law()
    assert outcomes == {True, False}
