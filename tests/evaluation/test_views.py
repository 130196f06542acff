from dataclasses import replace

import pytest
import torch

from orefield.config import RunConfig, changed
from orefield.errors import OrefieldError
from orefield.evaluation.metrics import psnr
from orefield.evaluation.probe import PixelProbe
from orefield.evaluation.protocol import protocol
from orefield.evaluation.views import ViewScore, evaluate_views, photograph_over, summary
from orefield.rendering.render import render_view
from orefield.scenes import Scene
from orefield.training.trainer import Trainer


class Nothing:
    """A field of empty space: every pixel shows the background."""

    raw = (-1e4, 0.0, 0.0, 0.0)

    def encode_positions(self, positions: torch.Tensor) -> torch.Tensor:
        return positions

    def encode_directions(self, directions: torch.Tensor) -> torch.Tensor:
        return directions

    def __call__(self, positions: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.tensor(self.raw).repeat(positions.shape[1], 1)

    def density_and_geometry(self, features: torch.Tensor) -> torch.Tensor:
        return torch.full((features.shape[1], 1), self.raw[0])

    def color_logits(self, geometry: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        return torch.zeros(len(geometry), 3)

    def accumulate_grad(self, *batch: torch.Tensor) -> None:
        """There is nothing to learn."""

    def density(self, positions: torch.Tensor) -> torch.Tensor:
        return torch.zeros(positions.shape[1])

    def parameters(self):
        return iter(())

    def state_dict(self) -> dict:
        return {}

    def load_state_dict(self, state_dict: dict) -> None:
        """There is nothing to load."""


class Broken(Nothing):
    raw = (float("nan"),) * 4


@pytest.fixture
def sampler(tiny_scene: Scene, tiny_config: RunConfig):
    return Trainer(tiny_scene, tiny_config).sampler


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_empty_space_scores_what_the_bare_background_scores(
    tiny_scene: Scene, sampler, background: float
) -> None:
    for view, rendered in zip(
        tiny_scene.test,
        evaluate_views(Nothing(), sampler, tiny_scene.test, background),
        strict=True,
    ):
        truth = photograph_over(view.image.float() / 255, background)
        blank = torch.full_like(truth, background)
        assert torch.equal(rendered.truth, truth)
        assert rendered.score.name == view.name
        assert rendered.score.psnr == pytest.approx(psnr(blank, truth), abs=1e-4)


def test_a_photograph_over_a_background_follows_its_alpha() -> None:
    pixels = torch.tensor([[0.2, 0.4, 0.6, 1.0], [0.2, 0.4, 0.6, 0.0], [0.2, 0.4, 0.6, 0.25]])
    expected = torch.tensor([[0.2, 0.4, 0.6], [1.0, 1.0, 1.0], [0.8, 0.85, 0.9]])
    torch.testing.assert_close(photograph_over(pixels, 1.0), expected)
    assert torch.equal(photograph_over(pixels[:, :3], 1.0), pixels[:, :3])


def test_a_render_that_is_not_finite_is_an_error_naming_the_view(
    tiny_scene: Scene, sampler
) -> None:
    with pytest.raises(OrefieldError, match=f"view {tiny_scene.test[0].name}: .*not finite"):
        list(evaluate_views(Broken(), sampler, tiny_scene.test, 1.0))


def test_the_probe_agrees_with_whole_views(tiny_scene: Scene, sampler) -> None:
    """Random test pixels have about the error of all; where there are few, all are taken."""
    every, some = PixelProbe(tiny_scene, 1.0), PixelProbe(tiny_scene, 1.0, count=400)
    errors = [1 - photograph_over(view.image.float() / 255, 1.0) for view in tiny_scene.test]
    mse = torch.stack(errors).square().mean().item()
    expected = -10 * torch.tensor(mse).log10().item()
    assert every.psnr(Nothing(), sampler) == pytest.approx(expected, abs=1e-4)
    assert some.psnr(Nothing(), sampler) == pytest.approx(expected, abs=0.5)


def test_the_probe_is_the_same_in_every_run(tiny_scene: Scene) -> None:
    one, other = PixelProbe(tiny_scene, 1.0, 100), PixelProbe(tiny_scene, 1.0, 100)
    assert torch.equal(one.rays.origins, other.rays.origins)
    assert torch.equal(one.truth, other.truth)


def test_the_summary_is_the_mean_over_views() -> None:
    scores = [ViewScore("a", 20.0, 0.5), ViewScore("b", 30.0, 0.9)]
    facts = summary(scores)
    assert (facts["psnr"], facts["ssim"]) == (25.0, pytest.approx(0.7))
    assert facts["views"][1] == {"name": "b", "psnr": 30.0, "ssim": 0.9}


def test_the_protocol_says_what_the_numbers_depend_on(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    facts = protocol(tiny_scene, replace(tiny_config, eval_background="black", seed=7))
    assert facts["scene"] == tiny_scene.name
    assert facts["split"] == tiny_scene.split
    assert (facts["train_views"], facts["test_views"]) == (6, 2)
    assert facts["resolution"] == ["16x16"]
    assert (facts["background"], facts["seed"], facts["rule"]) == ("black", 7, "importance")
    assert facts["versions"]["torch"] == torch.__version__


def test_an_exposure_is_fitted_to_the_left_half_and_the_right_is_scored(
    tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    """A photograph of just what is rendered, exposed otherwise: perfect on the right half."""
    trainer = Trainer(tiny_scene, tiny_config)
    for _ in range(12):
        trainer.advance()
    view = tiny_scene.test[0]
    picture = render_view(trainer.field, trainer.sampler, view.camera, view.pose, 1.0)
    gain, offset = torch.tensor([0.5, 0.8, 0.6]), torch.tensor([0.1, 0.0, 0.05])
    solid = picture.opacity[..., None]
    light = picture.color - (1 - solid)
    taken = (gain * light + offset * solid + 1 - solid).clamp(0, 1)
    half = taken.shape[1] // 2
    taken[:, half:][::2] = 0.0  # what the right half shows is never fitted
    image = torch.cat([taken, torch.ones_like(taken[..., :1])], 2).mul(255).round().byte()
    exposed_view = replace(view, image=image)
    (fitted,) = evaluate_views(trainer.field, trainer.sampler, [exposed_view], 1.0, exposure=True)
    torch.testing.assert_close(
        fitted.render.color[:, :half], fitted.truth[:, :half], atol=0.02, rtol=0
    )
    torch.testing.assert_close(
        fitted.render.color[1::2, half:], fitted.truth[1::2, half:], atol=0.02, rtol=0
    )
    right = psnr(fitted.render.color[:, half:].clamp(0, 1), fitted.truth[:, half:])
    assert fitted.score.psnr == pytest.approx(right, abs=1e-3)
    config = changed(tiny_config, "calibration.exposure=true")
    assert "right half" in protocol(tiny_scene, config)["exposure"]
    assert "exposure" not in protocol(tiny_scene, tiny_config)
