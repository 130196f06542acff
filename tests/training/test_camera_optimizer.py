"""Laws of what is learned about the photographs: known exposures and poses are found again."""

import dataclasses

import pytest
import torch
from hypothesis import given

from orefield.config import CalibrationConfig, RunConfig, changed
from orefield.errors import SceneError
from orefield.ops.contraction import contract
from orefield.ops.frustum import Frustum
from orefield.rendering.render import render_view
from orefield.scenes import Scene, View, open_scene
from orefield.training.camera_optimizer import (
    PULL,
    CameraOptimizer,
    ExposureCorrections,
    PoseCorrections,
    rotated,
)
from orefield.training.losses import Target, pixel_loss
from orefield.training.trainer import Trainer
from orefield.types import CubeRays, PackedSamples, Rays
from strategies import SEEDS, packed, seeded

SETTINGS = (
    "optim.target_samples=4096,field.init_density=1,field.levels=6,field.features_per_level=2,field.max_resolution=64,field.log2_hashmap_size=11,"
    "field.width=16,mining.rule=plain,sampler.resolution=32,sampler.steps_per_diagonal=128,steps=200"
)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    from orefield.scenes.shapes import write_shapes

    folder = tmp_path_factory.mktemp("calibration") / "shapes"
    write_shapes(folder, 32, 12, 2)
    return open_scene(folder, RunConfig().scene)


def with_train(scene: Scene, views: list[View]) -> Scene:
    return dataclasses.replace(scene, train=tuple(views))


def trained(scene: Scene, changes: str) -> Trainer:
    trainer = Trainer(scene, changed(RunConfig(), f"{SETTINGS},{changes}"))
    while trainer.progress() < 1:
        trainer.advance()
    return trainer


@pytest.mark.slow
def test_known_exposures_are_found_again(scene: Scene) -> None:
    """Up to a factor for all: gains relative to their mean."""
    gains = 0.5 + 0.5 * torch.rand(len(scene.train), 3, generator=seeded(1))
    views = [
        dataclasses.replace(
            view,
            image=torch.cat(
                [(view.image[..., :3] * gain).round().byte(), view.image[..., 3:]], dim=2
            ),
        )
        for view, gain in zip(scene.train, gains, strict=True)
    ]
    trainer = trained(
        with_train(scene, views), "steps=150,calibration.exposure=true,calibration.exposure_lr=0.04"
    )
    found = trainer.cameras.exposures.of(torch.arange(len(views))).gain
    want = gains / gains.mean(0)
    assert (found - want).abs().mean() < 0.75 * (want - 1).abs().mean()
    both = torch.corrcoef(torch.stack([found.flatten(), want.flatten()]))
    assert both[0, 1] > 0.8


@pytest.mark.slow
def test_known_errors_of_poses_shrink(scene: Scene) -> None:
    """Rotations by two degrees, up to one that all cameras share."""
    number = len(scene.train)
    errors = torch.randn(number, 3, generator=seeded(2)) * 0.03
    views = [
        dataclasses.replace(
            view,
            pose=torch.cat([rotated(view.pose[:, :3].T, w.expand(3, 3)).T, view.pose[:, 3:]], 1),
        )
        for view, w in zip(scene.train, errors, strict=True)
    ]
    changes = (
        "steps=160,calibration.poses=true,calibration.poses_after=40,calibration.poses_lr=0.003"
    )
    trainer = trained(with_train(scene, views), changes)
    left = errors + trainer.cameras.poses.rotations.detach()

    def relative(w: torch.Tensor) -> float:
        return float((w - w.mean(0)).norm(dim=1).mean())

    assert relative(left) < 0.75 * relative(errors)


@pytest.mark.slow
def test_measured_depths_are_obeyed(scene: Scene) -> None:
    """Given the distances a long run finds in some views, a short one comes closer to them."""
    teacher = trained(scene, "steps=120")
    views = []
    for view in scene.train[:4]:
        rendered = render_view(teacher.field, teacher.sampler, view.camera, view.pose)
        sure = rendered.opacity > 0.9
        views.append(dataclasses.replace(view, depth=torch.where(sure, rendered.median, 0.0)))
    measured = with_train(scene, [*views, *scene.train[4:]])

    def error(changes: str) -> float:
        trainer = trained(measured, f"steps=40,{changes}")
        view = views[0]
        rendered = render_view(trainer.field, trainer.sampler, view.camera, view.pose)
        known = view.depth > 0
        return float((rendered.depth - view.depth)[known].abs().mean())

    assert error("calibration.depth=10") < 0.8 * error("calibration.depth=0")


def test_depth_without_depth_maps_is_refused(tiny_scene: Scene, tiny_config: RunConfig) -> None:
    with pytest.raises(SceneError, match="no view has one"):
        Trainer(tiny_scene, changed(tiny_config, "calibration.depth=0.5"))


@given(SEEDS)
def test_exposures_have_the_gradients_of_autograd(seed: int) -> None:
    case = packed([3, 0, 5, 2], "mixed", False)
    positions, ray = torch.zeros(3, len(case.t)), torch.repeat_interleave(case.spans[:, 1])
    samples = PackedSamples(positions, case.t, case.dt, ray.int(), case.spans)
    generator = seeded(seed)
    target, background = torch.rand(2, 4, 3, generator=generator)
    view = torch.tensor([0, 2, 2, 1])
    exposure = ExposureCorrections(3)
    exposure.gains.data = torch.randn(3, 3, generator=generator) * 0.1
    exposure.offsets.data = torch.randn(3, 3, generator=generator) * 0.1
    wanted = Target(target, background, exposure=exposure.of(view))
    found = pixel_loss(case.raw, samples, wanted)
    exposure.accumulate_grad(view, found.at_pixels, found.rendering)

    def loss(gains: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        g, o = (1 + gains - gains.mean(0))[view], (offsets - offsets.mean(0))[view]
        opacity = found.rendering.opacity[:, None]
        pixels = g * found.rendering.color + o * opacity + (1 - opacity) * background
        return (pixels - target).square().mean()

    torch.testing.assert_close(
        found.terms["color"], loss(exposure.gains, exposure.offsets).detach()
    )
    grads = torch.autograd.grad(
        loss(exposure.gains, exposure.offsets), (exposure.gains, exposure.offsets)
    )
    for p, want in zip((exposure.gains, exposure.offsets), grads, strict=True):
        pulled = 2 * PULL * (p - p.mean(0)).detach() / p.numel()
        torch.testing.assert_close(p.grad, want + pulled, rtol=1e-4, atol=1e-6)


def test_corrections_are_rotations_about_their_vector() -> None:
    d = torch.tensor([[1.0, 0.0, 0.0]])
    quarter = torch.tensor([[0.0, 0.0, torch.pi / 2]])
    torch.testing.assert_close(
        rotated(d, quarter), torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6, rtol=0
    )
    small = torch.randn(9, 3, generator=seeded()) * 0.2
    around = torch.nn.functional.normalize(torch.randn(9, 3, generator=seeded(1)))
    torch.testing.assert_close(rotated(around, small).norm(dim=1), torch.ones(9))
    torch.testing.assert_close(rotated(around, torch.zeros(9, 3)), around)


FRUSTUM = Frustum(
    torch.eye(3, 4, dtype=torch.float64),
    torch.full((2,), -3.0, dtype=torch.float64),
    torch.full((2,), 4.0, dtype=torch.float64),
    near=0.01,
)


@pytest.mark.parametrize("space", ["box", "contracted", "frustum"])
def test_gradients_reach_the_cameras_as_finite_differences_say(space: str) -> None:
    """For a smooth function of the samples' positions, in float64."""
    generator = seeded(3)
    origins, toward = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64)
    rays = Rays(origins, torch.nn.functional.normalize(toward))
    view, ray = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 2, 3, 4, 4])
    t = torch.rand(7, generator=generator, dtype=torch.float64) * 3
    poses = PoseCorrections(3).double()
    poses.rotations.data = torch.randn(3, 3, generator=generator, dtype=torch.float64) * 0.1

    def cube_rays(rays: Rays) -> CubeRays:
        return FRUSTUM.cube_rays(rays, 0.02) if space == "frustum" else CubeRays(rays)

    def positions(corrected: Rays) -> torch.Tensor:
        lines = cube_rays(corrected).lines
        x = (lines.origins[ray] + t[:, None] * lines.directions[ray]).T
        return contract(x) if space == "contracted" else x

    def value() -> torch.Tensor:
        return torch.sin(3 * positions(poses.corrected(rays, view))).sum()

    corrected = poses.corrected(rays, view)
    at_positions = 3 * torch.cos(3 * positions(corrected.detached()))
    samples = PackedSamples(positions(corrected.detached()), t, t, ray, torch.zeros(5, 2).int())
    poses.accumulate_grad(corrected, samples, at_positions, space == "contracted", cube_rays)
    for p in (poses.rotations, poses.translations):
        for index in ((0, 1), (1, 2), (2, 0)):
            step = 1e-6
            with torch.no_grad():
                p[index] += step
                high = float(value())
                p[index] -= 2 * step
                low = float(value())
                p[index] += step
            assert float(p.grad[index]) == pytest.approx(
                (high - low) / (2 * step), rel=1e-4, abs=1e-6
            )


@pytest.mark.parametrize("changes", ["", "exposure", "poses", "exposure,poses"])
def test_a_camera_that_learns_nothing_changes_nothing(changes: str) -> None:
    """Each part on its own; fresh corrections are the identity; poses wait for their step."""
    switched = {name: True for name in changes.split(",") if name}
    cameras = CameraOptimizer(CalibrationConfig(**switched, poses_after=5), 3, False)
    assert len(cameras.groups()) == len(switched)
    assert len(list(cameras.parameters())) == 2 * len(switched)
    rays, view = Rays(torch.rand(4, 3), torch.eye(3)[[0, 1, 2, 0]]), torch.tensor([0, 2, 2, 1])
    corrected = cameras.corrected(rays, view)
    assert torch.equal(corrected.origins, rays.origins)
    assert torch.equal(corrected.directions, rays.directions)
    exposure = cameras.exposure(view)
    assert (exposure is not None) == ("exposure" in changes)
    if exposure is not None:
        assert (exposure.gain == 1).all()
        assert not exposure.offset.any()
    for step, moves in ((4, False), (5, True)):
        cameras.update(step)
        assert cameras.moves_rays is (moves and "poses" in changes)
