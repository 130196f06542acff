"""Each example runs, learns, and mines as well as it does not."""

import ast
from importlib import import_module
from pathlib import Path

import pytest
import torch

import orefield
from orefield.scenes.shapes import write_shapes

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
NERF = ["--downscale", "1", "--rays", "128", "--samples", "24"]
CASES = {
    "plain_nerf": [*NERF, "--steps", "40"],
    "foreign_renderer": [*NERF, "--steps", "30", "--log2-hashmap-size", "12"],
    "siren_distance": ["--points", "2048", "--width", "48", "--steps", "60"],
    "fit_image": ["--size", "48", "--pixels", "1024", "--width", "48", "--steps", "60"],
}


@pytest.fixture(scope="module")
def scene(tmp_path_factory) -> str:
    folder = tmp_path_factory.mktemp("shapes")
    write_shapes(folder, resolution=24, train_views=8, test_views=2)
    return str(folder)


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return import_module


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "fit_image")) for n in CASES]
)
def test_example_learns_with_and_without_mining_and_holds_less(name, example, scene, capsys):
    settings = [scene, *CASES[name]] if NERF[0] in CASES[name] else CASES[name]
    scores = example(name).main(settings)
    lines = capsys.readouterr().out.splitlines()
    start = example(name).main([*settings, "--steps", "3"])
    assert scores["plain"] > start["plain"] + 1
    assert scores["threshold"] > scores["plain"] - 1.5
    assert lines[1].split() == ["rule", "ms/step", "held", "MB", "kept", "PSNR"]
    plain, mined = (line.split() for line in lines[2:4])
    assert float(mined[2]) < float(plain[2])
    assert plain[3] == "100%" != mined[3]


def test_image_example_reads_a_photograph(example, tmp_path):
    image = example("PIL.Image").new("RGB", (20, 10), (255, 0, 51))
    image.save(tmp_path / "red.png")
    colors = example("fit_image").photo(str(tmp_path / "red.png"), 8)
    assert colors.shape == (8, 8, 3)
    torch.testing.assert_close(colors[3, 4], torch.tensor([1.0, 0.0, 0.2]))


def test_held_bytes_count_what_lives_at_the_same_time(example):
    held_of = example("compare").counting
    x = torch.ones(1000, requires_grad=True)
    with held_of() as held:
        y = x.exp()  # holds y
        y.square().sum().backward()  # holds y again
        assert held.peak == 4000
        x.exp().sin().sum().backward()
    assert held.peak == 4000  # exp and sin hold the same tensor, after y was dropped


def test_examples_need_nothing_but_the_public_names():
    named = {"orefield": set(orefield.__all__)}
    for file in EXAMPLES.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module.startswith("orefield"):
                assert {alias.name for alias in node.names} <= named[node.module], file.name
            if isinstance(node, ast.Import):
                assert not [a for a in node.names if a.name.startswith("orefield.")], file.name
