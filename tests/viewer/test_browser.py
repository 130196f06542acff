"""The page in a browser: what a person does with it while a run trains, and after."""

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from orefield.cameras.path_file import read_path
from orefield.cli import main
from orefield.viewer.ports import choose_port
from watched_page import NEEDS_BROWSER, Watched

pytestmark = NEEDS_BROWSER

RUN = (
    *("--field.levels=4", "--field.log2-hashmap-size=10", "--field.width=16"),
    *("--field.base-resolution=4", "--field.max-resolution=32"),
    *("--sampler.resolution=16", "--sampler.steps-per-diagonal=64"),
    *("--optim.target-samples=1024", "--threads=1"),
)
COMMAND = (sys.executable, "-m", "orefield")


def train(scene: Path, out: Path, *more: str) -> subprocess.Popen:
    words = (*COMMAND, "train", str(scene), "--out", str(out), *RUN, *more)
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_for(process: subprocess.Popen, word: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if word in line:
            return
    pytest.fail(f"the command ended without saying {word!r}")


def test_a_run_is_watched_filmed_and_left_alone(browser, tiny_folder: Path, tmp_path: Path) -> None:
    run, port = tmp_path / "run", choose_port()
    process = train(
        tiny_folder, run, "--seconds=600", "--viewer", f"--viewer-port={port}", "--viewer-share=0.5"
    )
    try:
        wait_for(process, "hash grid of")
        watched, gone = Watched(browser, port), Watched(browser, port)
        watched.told("on training rays")
        gone.page.close()  # in the middle of its first pictures
        first = watched.settled()
        watched.drag(120)
        assert np.abs(watched.settled() - first).mean() > 2
        watched.press("Add keyframe")
        watched.drag(-200)
        watched.settled()
        watched.press("Add keyframe")
        labels = watched.page.get_by_label("seconds", exact=True)
        labels.first.fill("0.2")
        labels.first.press("Enter")
        watched.press("Save path")
        assert "camera_path.json" in watched.told("saved to")
        path = read_path(run / "camera_path.json")
        assert len(path.keyframes) == 2
        assert len(path.frames) == 6
        watched.press("Render film")
        assert "wrote 6 pictures" in watched.told("wrote")
        films = sorted(file.name for file in (run / "renders" / "path").iterdir())
        assert films == [*(f"{i:04d}.png" for i in range(6)), "video.mp4"]
        with Image.open(run / "renders" / "path" / "0000.png") as frame:
            assert frame.size == (path.width, path.height)
        _bad_path(watched, tmp_path)
        _pause(watched)
        watched.check()
        watched.page.close()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
        assert "steps and saved" in str(process.stdout and process.stdout.read())
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _pause(watched: Watched) -> None:
    def step() -> int:
        return int(re.findall(r"step (\d+)", watched.told(r"step \d+, "))[0])

    watched.press("Pause")
    watched.page.get_by_role("button", name="Go on", exact=True).wait_for()
    time.sleep(1)  # until what was under way is shown
    held = step()
    time.sleep(1.5)
    assert step() == held
    watched.press("Go on")
    for _ in range(100):
        if step() > held:
            return
        time.sleep(0.1)
    pytest.fail("the training does not go on")


def _bad_path(watched: Watched, folder: Path) -> None:
    bad = folder / "bad.json"
    bad.write_text(json.dumps({"frames": [], "camera_angle_x": 0.7}))
    watched.load(bad)
    assert "camera_path" in watched.told("bad.json: ")


def test_a_run_that_is_read_back_is_shown_and_the_port_is_its_own(
    browser, tiny_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a run that nobody watched ends with the same bytes as one with a page open."""
    runs = [tmp_path / "alone", tmp_path / "watched"]
    port = choose_port()
    assert main(["train", str(tiny_folder), "--out", str(runs[0]), *RUN, "--steps=150"]) == 0
    process = train(tiny_folder, runs[1], "--steps=150", "--viewer", f"--viewer-port={port}")
    wait_for(process, "viewer: ")
    watched = browser.new_page()
    watched.goto(f"http://127.0.0.1:{port}")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    watched.close()
    one, other = ((run / "field.safetensors").read_bytes() for run in runs)
    assert one == other
    view = subprocess.Popen(
        (*COMMAND, "view", str(runs[1]), f"--port={port}"), stdout=subprocess.PIPE, text=True
    )
    try:
        wait_for(view, "Ctrl-C")
        page = Watched(browser, port)
        before = page.settled()
        page.drag(100)
        assert np.abs(page.settled() - before).mean() > 2
        page.check()
        page.page.close()
        new = str(tmp_path / "new")
        words = ["train", str(tiny_folder), "--out", new, "--viewer", f"--viewer-port={port}"]
        assert main(words) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"port {port} on 127.0.0.1 is in use" in said
        assert not (tmp_path / "new").exists()
        view.send_signal(signal.SIGINT)
        assert view.wait(30) == 0
    finally:
        view.kill()
        view.wait()
        if view.stdout is not None:
            view.stdout.close()
