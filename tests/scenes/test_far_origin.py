"""Georeferenced captures lie a thousand kilometers from the origin; nothing is lost on the way."""

import json
from pathlib import Path

import pytest
import torch

from orefield.cameras import project
from orefield.config import RunConfig, SceneConfig
from orefield.runs.header import header_of, read_config, write_config
from orefield.scenes import describe, open_scene
from written import FORMATS, PLAIN, UTM, Form, write

CONFIG = SceneConfig(holdout=4)
FAR = torch.from_numpy(UTM)


@pytest.fixture(params=FORMATS)
def both(request, tmp_path):
    """An object of 1.5 m at the origin and far from it."""
    for name, form in (("near", PLAIN), ("far", Form(origin=UTM))):
        write(tmp_path / name, request.param, form)
    return [open_scene(tmp_path / name, CONFIG) for name in ("near", "far")]


def test_a_scene_far_from_the_origin_has_the_same_rays(both):
    generator = torch.Generator().manual_seed(0)
    points = 0.25 + 0.5 * torch.rand((100, 3), generator=generator, dtype=torch.float64)
    near, far = both
    assert far.to_world.dtype == torch.float64
    back = far.to_world[:3, 3] - FAR
    torch.testing.assert_close(back, near.to_world[:3, 3], atol=1e-6, rtol=0)
    assert far.near == pytest.approx(near.near, rel=1e-6)
    assert far.background_extent == near.background_extent
    for one, other in zip(near.train + near.test, far.train + far.test, strict=True):
        seen = [
            project(view.camera, (points - view.pose[:, 3].double()) @ view.pose[:, :3].double())
            for view in (one, other)
        ]
        torch.testing.assert_close(*seen, atol=1e-4, rtol=0)


def test_the_way_back_is_exact_to_less_than_a_millimeter(both, tmp_path):
    near, far = both
    (tmp_path / "run").mkdir()
    write_config(tmp_path / "run", header_of(far, RunConfig()))
    header = read_config(tmp_path / "run")
    to_world = torch.tensor(header.to_world, dtype=torch.float64)
    assert torch.equal(to_world, far.to_world)
    assert json.loads((tmp_path / "run/config.json").read_text())["to_world"] == (
        far.to_world.tolist()
    )
    for one, other in zip(near.train, far.train, strict=True):
        here = near.to_world[:3, :3] @ one.pose[:, 3].double() + near.to_world[:3, 3]
        there = to_world[:3, :3] @ other.pose[:, 3].double() + to_world[:3, 3]
        assert float((there - FAR - here).abs().max()) < 1e-4


def test_the_box_is_described_as_finely_as_it_is_large(tmp_path: Path):
    write(tmp_path / "far", "transforms", Form(origin=1.0001 * UTM))
    center = (
        open_scene(tmp_path / "far", CONFIG).to_world @ torch.tensor([0.5, 0.5, 0.5, 1]).double()
    )
    words = describe(open_scene(tmp_path / "far", CONFIG)).split("center (")[1].split(")")[0]
    for value, word in zip(center.tolist(), words.split(", "), strict=False):
        assert float(word) == pytest.approx(value, abs=0.05)
