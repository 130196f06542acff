"""The viewer's page in Chromium: what tests do with it, and what it complains of."""

import os
import re
import shutil
import time
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

CHROMIUM = shutil.which("chromium")
NEEDS_BROWSER = pytest.mark.skipif(
    CHROMIUM is None and not os.environ.get("CI"), reason="the browser chromium is not installed"
)
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
)
WAIT = 30_000
"""Milliseconds that the page has for anything."""


class Watched:
    """A page, and everything that it asked for and complained of."""

    def __init__(self, browser: Any, port: int, width: int = 720, height: int = 480) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": height})
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("websocket", lambda socket: self.requests.append(socket.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on(
            "console", lambda said: self.errors.append(said.text) if said.type == "error" else None
        )
        self.page.goto(f"http://127.0.0.1:{port}")
        self.page.get_by_text("Camera path", exact=True).first.wait_for(timeout=WAIT)

    def press(self, label: str) -> None:
        self.page.get_by_role("button", name=label, exact=True).first.click(timeout=WAIT)

    def told(self, text: str) -> str:
        note = self.page.get_by_text(re.compile(text)).first
        note.wait_for(timeout=WAIT)
        return note.inner_text()

    def load(self, file: Path) -> None:
        with self.page.expect_file_chooser() as chooser:
            self.press("Load path")
        chooser.value.set_files(str(file))

    def drag(self, across: int) -> None:
        mouse = self.page.mouse
        mouse.move(200, 300)
        mouse.down()
        mouse.move(200 + across, 310, steps=4)
        mouse.up()

    def picture(self) -> np.ndarray:
        """The scene's part of the window, without the notes in its corner."""
        data = self.page.screenshot(clip={"x": 0, "y": 160, "width": 390, "height": 310})
        return np.asarray(Image.open(BytesIO(data)).convert("RGB")).astype(int)

    def settled(self) -> np.ndarray:
        """The picture once it no longer changes much."""
        last = self.picture()
        for _ in range(40):
            time.sleep(0.2)
            now = self.picture()
            if np.abs(now - last).mean() < 1:
                return now
            last = now
        pytest.fail("the picture never comes to rest")

    def check(self) -> None:
        """Nothing went wrong, and nothing was asked of any other machine."""
        assert self.errors == []
        assert self.requests
        for url in self.requests:
            host = url.removeprefix("blob:").split("//")[-1].split("/")[0].split(":")[0]
            assert host == "127.0.0.1" or url.startswith("data:"), url
