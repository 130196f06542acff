"""Laws of rendering, on a ball in closed form."""

import math

import pytest
import torch

from closed_forms import Ball
from orefield.cameras import Camera, view_rays
from orefield.config import SamplerConfig
from orefield.errors import OrefieldError
from orefield.ops.volume_rendering import volume_rendering
from orefield.rendering import render
from orefield.rendering.render import render_rays, render_view
from orefield.samplers import OccupancySampler
from orefield.types import Rays
from strategies import seeded

CAMERA = Camera(40, 30, 50.0, 50.0, 20.0, 15.0)
POSE = torch.cat([torch.eye(3), torch.tensor([[0.5], [0.45], [-1.0]])], 1)  # along +z
STEPS = 512
DT = 3**0.5 / STEPS
SETTINGS = SamplerConfig(
    "occupancy", resolution=16, steps_per_diagonal=STEPS, cone_angle=0.0, occ_threshold=0.03
)


def sampler_for(ball: Ball) -> OccupancySampler:
    sampler = OccupancySampler(SETTINGS, 0.0)
    for _ in range(40):  # each looks at one point of each cell; the rim takes many
        sampler.refresh(torch.arange(16**3), ball.density, seeded())
    return sampler


EVERYWHERE = OccupancySampler(SETTINGS, 0.0)


def whole(ball: Ball):
    """Color, opacity and depth from all samples at once."""
    rays = view_rays(CAMERA, POSE)
    samples = sampler_for(ball)(rays, None)
    raw = ball(samples.positions, ball.encode_directions(rays.directions), samples.ray)
    return volume_rendering(raw, samples.t, samples.dt, samples.spans)


@pytest.mark.parametrize("sigma", [0.5, 5.0, 50.0, 1000.0])
@pytest.mark.parametrize("chunk", [1, 16, 1000])
def test_chunks_add_up_to_the_whole_but_for_the_occluded(monkeypatch, sigma, chunk):
    monkeypatch.setattr(render, "_CHUNK", chunk)
    ball = Ball(sigma=sigma)
    parts = render_rays(ball, sampler_for(ball), view_rays(CAMERA, POSE))
    # What is left out once T < 1e-4 is at most 1e-4 of the light, at distances below 3.
    for part, total, far in zip(parts, whole(ball), (1, 1, 3), strict=False):
        torch.testing.assert_close(part, total, rtol=0, atol=far * 1.1e-4)


@pytest.mark.parametrize("sigma", [2.0, 10_000.0])
def test_a_ball_looks_like_a_ball(sigma):
    ball = Ball(sigma=sigma)
    rays = view_rays(CAMERA, POSE)
    view = render_view(ball, EVERYWHERE, CAMERA, POSE, 0.0)
    front, path = ball.crossing(rays.origins, rays.directions)
    # The march finds the path to a step: where the ball is thick, it may miss a rim that thin.
    surely, perhaps = (-torch.expm1(-sigma * (path + step).clamp(min=0)) for step in (-DT, DT))
    opacity = view.opacity.view(-1)
    assert (opacity >= surely - 2e-4).all()
    assert (opacity <= perhaps * (path > 0) + 2e-4).all()
    color = opacity[:, None] * rays.directions.sigmoid()
    torch.testing.assert_close(view.color.view(-1, 3), color, rtol=0, atol=1e-5)
    if sigma == 10_000.0:
        behind = (view.depth.view(-1) - front)[path > DT]
        assert ((behind > -1e-5) & (behind < DT + 1e-5)).all()
        assert len(behind) > 200


def test_the_background_shows_where_light_passes():
    ball = Ball(sigma=2.0)
    sampler = sampler_for(ball)
    black, gray, white = (
        render_view(ball, sampler, CAMERA, POSE, background) for background in (0.0, 0.5, 1.0)
    )
    for view, background in ((gray, 0.5), (white, 1.0)):
        want = black.color + (1 - black.opacity)[..., None] * background
        torch.testing.assert_close(view.color, want)
        assert torch.equal(view.opacity, black.opacity)
    assert (white.color[0, 0] == 1).all()
    assert (black.color[0, 0] == 0).all()
    assert black.opacity[0, 0] == black.depth[0, 0] == 0


@pytest.mark.parametrize("away", [100.0, -100.0])
def test_rays_that_miss_the_scene_show_the_background(away):
    pose = POSE.clone()
    pose[0, 3] = away
    view = render_view(Ball(), sampler_for(Ball()), CAMERA, pose, 0.25)
    assert (view.color == 0.25).all()
    assert not view.opacity.any()
    assert not view.depth.any()


def test_the_number_of_rays_at_once_changes_nothing(monkeypatch):
    ball = Ball(sigma=20.0)
    views = []
    for rays in (7, 400, 10**6):
        monkeypatch.setattr(render, "_RAYS", rays)
        views.append(render_view(ball, sampler_for(ball), CAMERA, POSE, 1.0))
    for view in views[1:]:
        for name, value in vars(view).items():
            assert torch.equal(value, vars(views[0])[name])


@pytest.mark.parametrize(("sigma", "occluded"), [(10_000.0, True), (1.0, False)])
def test_occluded_samples_are_never_evaluated(sigma, occluded):
    """The far side of an opaque ball costs nothing; that of a thin one is looked at."""
    deepest = 0.0

    class Watched(Ball):
        def __call__(self, positions, encoded_directions, ray):
            nonlocal deepest
            middle = (positions[:2] - 0.5).norm(dim=0) < 0.1
            deepest = max([deepest, *positions[2, middle].tolist()])
            return super().__call__(positions, encoded_directions, ray)

    ball = Watched(sigma=sigma)
    render_view(ball, sampler_for(ball), CAMERA, POSE, 1.0)
    assert deepest > 0.25
    assert (deepest < 0.4) == occluded


def test_a_view_has_the_cameras_shape_and_range():
    view = render_view(Ball(), sampler_for(Ball()), CAMERA, POSE, 1.0)
    assert view.color.shape == (30, 40, 3)
    assert view.opacity.shape == view.depth.shape == (30, 40)
    assert view.color.min() >= 0
    assert view.color.max() <= 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [(0, 0), (2, 3)], ids=["rotation", "place"])
def test_a_pose_that_is_not_finite_is_refused(value, at):
    pose = POSE.clone()
    pose[at] = value
    with pytest.raises(
        OrefieldError, match=r"pose must be finite numbers \[3, 4\], got .*(nan|inf)"
    ):
        render_view(Ball(), EVERYWHERE, CAMERA, pose)


@pytest.mark.parametrize("name", ["origins", "directions"])
def test_rays_that_are_not_finite_are_refused(name):
    seen = view_rays(CAMERA, POSE)
    rays = Rays(seen.origins.clone(), seen.directions.clone())
    getattr(rays, name)[7, 1] = math.nan
    with pytest.raises(OrefieldError, match=rf"{name} of rays must be finite, .* for ray 7"):
        render_rays(Ball(), EVERYWHERE, rays)
