"""The notebook runs from top to bottom, and shows what it says."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parent.parent.parent / "examples" / "quickstart.ipynb"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the kernel client's, about event loops and ports
def test_the_notebook_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_spec("nbclient"), "nbclient is part of the extra dev"
    import nbformat
    from nbclient import NotebookClient

    monkeypatch.setenv("OREFIELD_SECONDS", "3")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": tmp_path}}).execute()
    text = "".join(_texts(notebook))
    assert re.search(r"\d\d\.\d\d dB, SSIM 0\.\d+, mean of 5 test views", text)
    for rule in ("plain", "threshold", "importance"):
        assert re.search(rf"{rule} +\d+\.\d+ dB after 12 steps", text)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) >= 3


def test_the_notebook_is_kept_without_outputs() -> None:
    import json

    cells: list[dict[str, Any]] = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(not cell.get("outputs") for cell in cells)


def _texts(notebook: Any) -> list[str]:
    return [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("output_type") == "stream"
    ]
