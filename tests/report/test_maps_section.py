"""Laws of mining maps on a page."""

from pathlib import Path

from PIL import Image

from orefield.report.maps_section import map_files, maps_section


def test_the_maps_that_there_are_are_shown(tmp_path: Path) -> None:
    assert map_files(tmp_path / "absent") == ()
    for name in ("strip", "overlay", "kept", "other"):
        Image.new("RGB", (30, 20)).save(tmp_path / f"{name}.png")
    files = map_files(tmp_path)
    assert [file.stem for file in files] == ["overlay", "strip"]
    shown = maps_section(files, "<T>")
    assert shown.count("<img") == 2
    assert "&lt;T&gt;" in shown
    assert maps_section((), "T") == ""


def test_a_damaged_map_is_named(tmp_path: Path) -> None:
    (tmp_path / "strip.png").write_bytes(b"nothing")
    assert "strip.png cannot be read." in maps_section(map_files(tmp_path), "T")
