"""Every command and every piece of Python in README and docs/ is run, in the order of its page.

In a folder of its own, on scenes and with settings so small that it takes seconds.
"""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from orefield.cameras.path_file import CameraPath, PathPose, write_path
from orefield.cameras.paths import look_at
from orefield.cli import COMMANDS, main
from orefield.report.video import write_video

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").glob("*.md")} - {ROOT / "docs" / "log.md"})
COMMAND = re.compile(r"^(?: {4})?(orefield .+?)(?:\s+#.*)?$")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)

FIELD = (
    *("--field.levels=4", "--field.log2-hashmap-size=12", "--field.width=16"),
    *("--field.base-resolution=4", "--field.max-resolution=64"),
    *("--sampler.resolution=16", "--optim.target-samples=4096"),
)
SMALL = ("--scene.downscale=4", "--scene.max-images=12", "--scene.max-test-views=2")
"""Of the embedded photographs, and of the scene that `prepare` makes of six."""
MORE: dict[str, tuple[str, ...]] = {
    "train": (*FIELD, "--steps=150"),
    "resume": ("--steps=160", "--seconds=0"),
    "race": (*FIELD, "--seconds=0.2", "--seeds=1", "--arms", "plain", "importance"),
    "render": ("--frames=2", "--width=24"),
    "export": (),
    "prepare": ("--features=700", "--feature-size=320"),
    "bench": (),
}
"""Appended: the last of two equal flags wins."""


def commands(page: Path) -> list[str]:
    """In code blocks, with continued lines joined and comments left out."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    return [found[1] for line in text.splitlines() if (found := COMMAND.match(line))]


def pieces(page: Path) -> list[str]:
    """Whole programs in Python: those that import what they use."""
    blocks = FENCE.findall(page.read_text(encoding="utf-8"))
    return [code for kind, code in blocks if kind == "python" and "open_scene(" in code]


@pytest.fixture(scope="module")
def trained_tankard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("docs") / "tankard"
    assert main(["train", "tankard", "--out", str(run), *SMALL, *MORE["train"]]) == 0
    return run


@pytest.fixture(scope="module")
def raced(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("docs") / "race"
    assert main(["race", str(tiny_folder), "--out", str(out), *MORE["race"]]) == 0
    return out


@pytest.fixture
def place(
    trained_tankard: Path,
    raced: Path,
    tiny_folder: Path,
    real_scenes: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """A folder with everything that the pages speak of."""
    for name in ("scene", "lego", "fox", "fern", "bonsai"):
        shutil.copytree(tiny_folder, tmp_path / "path" / "to" / name)
    for name in ("tankard", "a", "b", "mine", "long"):
        shutil.copytree(trained_tankard, tmp_path / "runs" / name)
    shutil.copytree(raced, tmp_path / "runs" / "race")
    for folder in (tmp_path / "photos", tmp_path / "path" / "to" / "photographs"):
        folder.mkdir()
        for i in range(0, 12, 2):
            shutil.copy(real_scenes / "fern" / "images_8" / f"image{i:03d}.png", folder)
    write_video(tmp_path / "walk.mp4", sorted((tmp_path / "photos").iterdir()), 2)
    middle = torch.zeros(3).double()
    pose = look_at(torch.tensor([2.0, 2.0, 1.0]).double(), middle, torch.eye(3)[2].double())
    path = CameraPath((PathPose(pose, 40.0),) * 2, 24, 16, fps=10.0)
    for name in ("tankard", "mine"):
        write_path(tmp_path / "runs" / name / "camera_path.json", path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words_of(command: str) -> list[str]:
    words = ["path/to/scene" if word == "SCENE" else word for word in shlex.split(command)[1:]]
    more = MORE.get(words[0], ())
    if words[0] in ("train", "race"):
        small = ("--scene.downscale=1",) if any(w.startswith("path/to") for w in words) else SMALL
        more = (*small, *more)
    if words[0] == "train" and "--budget-of" not in words:
        named = "--out" in words
        more = (*more, "--overwrite", *(() if named else (f"--out=runs/{Path(words[1]).name}",)))
    if words[:2] == ["bench", "run"]:
        more = (*FIELD, "--seconds=0.5", "--device=cpu")
    if words[0] == "render" and "test" in words:
        more = ()
    if words[0] == "export":
        more = ("--resolution=32",) if "mesh" in words else ("--points=300",)
    if words[0] == "prepare" and "walk.mp4" in words:
        more = (*more, "--overwrite", "--frames=6")
    return [*words, *more]


def watch_for_a_moment(words: list[str]) -> int:
    """`orefield view` until it says how it is ended, then Ctrl-C."""
    with subprocess.Popen(
        [sys.executable, "-m", "orefield", *words], stdout=subprocess.PIPE, text=True
    ) as viewer:
        assert viewer.stdout is not None
        for line in viewer.stdout:
            if "Ctrl-C" in line:
                viewer.send_signal(signal.SIGINT)
                break
        return viewer.wait(30)


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if commands(p)], ids=lambda page: page.name)
def test_every_command_of_a_page_does_its_work(
    page: Path, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    for command in commands(page):
        words = words_of(command)
        if words[:2] == ["bench", "ops"]:
            continue  # minutes; tests/bench runs it on small sizes
        code = watch_for_a_moment(words) if words[0] == "view" else main(words)
        assert code == 0, f"{command}\n{capfd.readouterr().err}"


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if pieces(p)], ids=lambda page: page.name)
def test_every_program_of_a_page_runs(page: Path, place: Path) -> None:
    shutil.rmtree(place / "runs" / "mine")
    for code in pieces(page):
        quick = re.sub(r"seconds=(\d)0", r"seconds=\1.0", code)
        exec(compile(quick, page.name, "exec"), {})
        assert (place / "runs" / "mine" / "metrics.json").exists()


def test_the_pages_name_every_command() -> None:
    named = {shlex.split(command)[1] for page in PAGES for command in commands(page)}
    assert named == set(COMMANDS) - {"scenes"}


def test_pictures_on_the_pages_are_there_and_of_a_size_to_be_read() -> None:
    for page in PAGES:
        for link in re.findall(r"!\[[^\]]+\]\(([^)]+\.(?:png|jpg))\)", page.read_text()):
            with Image.open(page.parent / link) as picture:
                assert 300 <= np.max(picture.size) <= 3000, f"{page.name}: {link}"
