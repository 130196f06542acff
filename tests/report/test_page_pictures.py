"""Laws of a page's pictures: the right parts of the right files, in a size that a page can hold."""

import base64
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from made_runs import save_comparison
from orefield.report import page_pictures
from orefield.report.page_pictures import InlinePicture, inline_file, page_comparisons
from orefield.report.pictures import comparison, error_pixels, save_picture, split_comparison


def decoded(picture: InlinePicture) -> np.ndarray:
    kind, data = picture.address.split(",", 1)
    assert kind == "data:image/webp;base64"
    with Image.open(BytesIO(base64.b64decode(data))) as image:
        assert image.size == (picture.width, picture.height)
        return np.asarray(image.convert("RGB")).astype(int)


@pytest.mark.parametrize("size", [(1, 1), (11, 30), (30, 20)])
def test_a_comparison_is_cut_where_it_was_put_together(size: tuple[int, int]) -> None:
    truth, render = torch.rand(*size, 3), torch.rand(*size, 3)
    parts = split_comparison(comparison(truth, render, "name", 20.0))
    assert parts is not None
    wanted = [(255 * truth).round(), (255 * render).round(), error_pixels(render, truth)]
    for one, pixels in zip(parts, wanted, strict=True):
        assert (np.asarray(one) == np.asarray(pixels)).all()


@pytest.mark.parametrize("size", [(10, 40), (30, 18), (8, 40), (30, 5)])
def test_a_picture_of_another_size_is_no_comparison(size: tuple[int, int]) -> None:
    assert split_comparison(Image.new("RGB", size)) is None


def test_photograph_render_and_error_are_packed_in_this_order(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    save_comparison(path)
    panels = page_comparisons([path]).panels[path]
    photograph, render = decoded(panels.photograph), decoded(panels.render)
    assert photograph.shape == render.shape == (40, 60, 3)
    assert photograph[20, 55, 0] > 200 > 90 > photograph[20, 55, 1]
    assert render[20, 55, 1] > 200 > 90 > render[20, 55, 0]
    assert decoded(panels.error).sum() > 0


def test_pictures_are_made_smaller_until_they_fit_but_never_larger(
    tmp_path: Path, monkeypatch
) -> None:
    path = tmp_path / "a.png"
    save_comparison(path, 900, 300)
    assert page_comparisons([path]).panels[path].render.width == 640
    monkeypatch.setattr(page_pictures, "_BUDGET", 1)
    small = page_comparisons([path])
    assert small.panels[path].render.width == small.side == 160
    save_comparison(path, 50, 30)
    assert page_comparisons([path]).panels[path].render.width == 50


def test_twenty_five_noisy_views_stay_below_ten_megabytes(tmp_path: Path) -> None:
    """Noise is the worst that a picture can hold; photographs take a fifth of it."""
    noise = torch.rand(2, 500, 700, 3)
    save_picture(comparison(noise[0], noise[1], "noise", 5.0), tmp_path / "0.png")
    data = (tmp_path / "0.png").read_bytes()
    paths = [tmp_path / f"{i}.png" for i in range(25)]
    for path in paths:
        path.write_bytes(data)
    found = page_comparisons(paths)
    assert len(found.panels) == 25
    parts = [p for one in found.panels.values() for p in (one.photograph, one.render, one.error)]
    assert sum(len(part.address) for part in parts) < 10_000_000


def test_of_very_many_evenly_spaced_ones_are_shown(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(page_pictures, "MOST_PICTURED", 4)
    paths = [tmp_path / f"{i}.png" for i in range(10)]
    for path in paths:
        save_comparison(path, 12, 12)
    found = page_comparisons(paths)
    assert list(found.panels) == [paths[0], paths[3], paths[6], paths[9]]
    assert (found.left_out, found.missing, found.damaged) == (6, 0, ())


def test_what_is_no_comparison_is_named_and_a_link_is_not_followed(tmp_path: Path) -> None:
    good, cut, other, link, folder = (tmp_path / f"{n}.png" for n in "abcde")
    save_comparison(good)
    cut.write_bytes(good.read_bytes()[:200])
    Image.new("RGB", (21, 40)).save(other)
    link.symlink_to(good)
    folder.mkdir()
    found = page_comparisons([good, cut, other, link, folder, tmp_path / "absent.png"])
    assert list(found.panels) == [good]
    assert found.damaged == ("b.png", "c.png", "d.png", "e.png")
    assert found.missing == 1


def test_a_whole_file_keeps_its_size(tmp_path: Path) -> None:
    Image.new("RGB", (70, 20), (200, 10, 10)).save(tmp_path / "map.png")
    picture = inline_file(tmp_path / "map.png")
    assert picture is not None
    assert decoded(picture)[10, 30, 0] > 180
    assert inline_file(tmp_path / "absent.png") is None
