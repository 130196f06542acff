"""The documentation builds as a site, without a warning, and asks no other address for anything."""

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import orefield

ROOT = Path(__file__).resolve().parent.parent.parent
LOADED = re.compile(r"<(?:script|link|img|iframe)[^>]*?(?:src|href)=\"?(https?:[^\s\">]+)")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert find_spec("mkdocs"), "mkdocs is part of the extra docs"
    out = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_every_page_is_there_and_loads_nothing_from_elsewhere(site: Path) -> None:
    for source in (ROOT / "docs").glob("*.md"):
        name = "index.html" if source.stem == "index" else f"{source.stem}/index.html"
        text = (site / name).read_text(encoding="utf-8")
        assert LOADED.findall(text) == [], name


@pytest.mark.slow
def test_the_reference_has_every_public_name(site: Path) -> None:
    text = "".join(
        (site / p / "index.html").read_text(encoding="utf-8") for p in ("api", "settings")
    )
    missing = [
        name for name in orefield.__all__ if not re.search(rf'id="orefield\.[\w.]*\b{name}"', text)
    ]
    assert missing == []
