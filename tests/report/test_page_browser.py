"""In a browser: nothing overflows, nothing is fetched, the slider moves the picture."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from PIL import Image

from made_runs import HOSTILE, made_race, made_run
from orefield.bench.race_folder import write_race_report
from orefield.config import RunConfig
from orefield.runs.report import write_report, write_run_report

CHROMIUM = which("chromium") or which("chromium-browser") or which("google-chrome")
HERE = CHROMIUM is not None and find_spec("playwright") is not None
pytestmark = pytest.mark.skipif(
    not HERE and not os.environ.get("CI"), reason="needs Chromium and playwright; CI has them"
)
FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
MAPS = ("overlay", "strip")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    assert CHROMIUM, "CI is set, and there is no Chromium"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        opened = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS.split())
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A page of each kind, and one on which every name is hostile and long."""
    folder = tmp_path_factory.mktemp("pages")
    one = made_run(folder / "one", names=tuple(f"./test/r_{i}" for i in range(3)), size=(300, 200))
    (one / "mining_maps").mkdir()
    for name in MAPS:
        Image.new("RGB", (1000, 400), (250, 120, 30)).save(one / "mining_maps" / f"{name}.png")
    two = made_run(folder / "two", RunConfig(preset="ngp", seed=9, seconds=17.0))
    names = (HOSTILE, "a" * 400, "/b" * 200, "無人機" * 60)
    hostile = made_run(folder / ("x" * 200), scene="y" * 300, names=names)
    write_report([one, two, hostile], folder / "several.html")
    return {
        "run": write_run_report(one),
        "several": folder / "several.html",
        "hostile": write_run_report(hostile),
        "race": write_race_report(made_race(folder / "race")),
    }


@dataclass
class Opened:
    """A page in a window, and what it did besides showing itself."""

    page: Any
    asked: list[str] = field(default_factory=list)
    """Addresses that were asked for, but for the page's own and those that hold their data."""
    complaints: list[str] = field(default_factory=list)


@pytest.fixture
def show(browser: Any, pages: dict[str, Path]) -> Iterator[Any]:
    contexts = []

    def opened(name: str, size: dict, theme: str = "light", script: bool = True) -> Opened:
        context = browser.new_context(
            viewport=size, color_scheme=theme, java_script_enabled=script, offline=True
        )
        contexts.append(context)
        own = pages[name].as_uri()
        shown = Opened(context.new_page())
        on = shown.page.on
        on("console", lambda line: shown.complaints.append(line.text))
        on("pageerror", lambda error: shown.complaints.append(str(error)))
        on("request", lambda asked: shown.asked.append(asked.url))
        shown.page.goto(own)
        shown.asked = [url for url in shown.asked if url != own and not url.startswith("data:")]
        return shown

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("name", ["run", "several", "hostile", "race"])
def test_nothing_overflows_complains_or_is_fetched(show, name: str, size: dict, theme: str) -> None:
    shown = show(name, size, theme)
    wide = shown.page.evaluate("document.documentElement.scrollWidth")
    assert wide <= size["width"]
    assert (shown.asked, shown.complaints) == ([], [])
    curves = shown.page.locator("figure.chart svg[role=img] polyline")
    assert curves.count() >= 4
    for index in range(curves.count()):
        box = curves.nth(index).bounding_box()
        assert box["width"] > 50  # the shorter part of a broken curve
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size["width"]
    loaded = "[...document.images].every(i => i.complete && i.naturalWidth > 0)"
    assert shown.page.evaluate(loaded)


@pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_the_slider_moves_the_picture(show, size: dict) -> None:
    """At its left end the render is seen, at its right end the photograph."""
    shown = show("run", size)
    cell, slider = shown.page.locator(".compare").first, shown.page.locator("input").first
    assert shown.page.locator("td.render .compare").count() == 3
    cell.scroll_into_view_if_needed()
    box = cell.bounding_box()
    middle = box["y"] + box["height"] / 2
    pictures = {}
    for share in (0.02, 0.5, 0.98):
        shown.page.mouse.click(box["x"] + share * box["width"], middle)
        pictures[share] = cell.screenshot()
        at = float(slider.input_value())
        assert at == pytest.approx(100 * share, abs=5)
        assert cell.evaluate("box => box.style.getPropertyValue('--at')") == f"{at:g}%"
    assert len(set(pictures.values())) == 3
    slider.focus()
    before = float(slider.input_value())
    shown.page.keyboard.press("ArrowLeft")
    assert float(slider.input_value()) < before
    assert shown.complaints == []


def test_without_scripts_every_picture_and_curve_is_there(show) -> None:
    shown = show("run", DESKTOP, script=False)
    for kind in ("photograph", "render", "error"):
        assert shown.page.locator(f"td.{kind} img").count() == 3
        assert shown.page.locator(f"td.{kind} img").first.bounding_box()["width"] > 150
    assert shown.page.locator("figure.chart").count() == 4
    assert not shown.page.get_by_text("Drag across a render").is_visible()


def test_hostile_names_are_shown_and_not_obeyed(show) -> None:
    shown = show("hostile", DESKTOP)
    assert shown.page.title().startswith("yyy")
    assert shown.page.get_by_text("<script>document.title='taken'</script>").count() == 1
    assert shown.page.locator("script").count() == 1


def contrast(one: str, other: str) -> float:
    """The ratio of two colors' luminances, as the Web Content Accessibility Guidelines define it.

    Of colors as a browser gives them: `rgb(20, 23, 26)`.
    """

    def luminance(color: str) -> float:
        parts = [int(part) / 255 for part in color[4:-1].split(",")]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_curves_stand_out_from_the_paper(show, theme: str) -> None:
    page = show("run", DESKTOP, theme).page
    style = "e => getComputedStyle(e).color"
    paper = page.locator("body").evaluate("e => getComputedStyle(e).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (theme == "light")
    for kind in ("h1", ".lead", "dt", "dd", ".note"):
        assert contrast(page.locator(kind).first.evaluate(style), paper) >= 4.5
    for number in range(6):
        add = f"() => {{ const e = document.createElement('i'); e.className = 'c{number}'; "
        add += "document.body.append(e); return getComputedStyle(e).color; }"
        assert contrast(page.evaluate(add), paper) >= 3
