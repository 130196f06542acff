"""Laws of what is learned about the photographs: known exposures and poses are found again."""

import dataclasses

import pytest
import torch
from hypothesis import given

from orefield.training.batches import LossTerms, pixel_loss
from orefield.training.camera_optimizer import Exposure, PoseCorrections, turned
from orefield.config import RunConfig, changed
from orefield.errors import SceneError
from orefield.ops.contraction import contract
from orefield.scenes.scene import Scene, View
from orefield.training.trainer import Trainer
from orefield.types import PackedSamples, Rays
from strategies import SEEDS, packed, seeded

SETTINGS = "optim.target_samples=6144,field.levels=8,field.max_resolution=64,field.log2_hashmap_size=12,steps=250"


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    from orefield.scenes import open_scene
    from orefield.scenes.shapes.procedural import write_shapes

    folder = tmp_path_factory.mktemp("calibration") / "shapes"
    write_shapes(folder, 36, 14, 2)
    return open_scene(folder, RunConfig().scene)


def with_train(scene: Scene, views: list[View]) -> Scene:
    return dataclasses.replace(scene, train=tuple(views))


def trained(scene: Scene, changes: str) -> Trainer:
    trainer = Trainer(scene, changed(RunConfig(), f"{SETTINGS},{changes}"))
    while trainer.progress() < 1:
        trainer.advance()
    return trainer


def test_known_exposures_are_found_again(scene: Scene) -> None:
    """Up to a factor for all: gains relative to their mean. And renders are better for it."""
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
    trainer = trained(with_train(scene, views), "calibration.exposure=true")
    found, _ = trainer.calibration.exposure.of(torch.arange(len(views)))
    want = gains / gains.mean(0)
    assert (found - want).abs().mean() < 0.75 * (want - 1).abs().mean()
    both = torch.corrcoef(torch.stack([found.flatten(), want.flatten()]))
    assert both[0, 1] > 0.8


def test_known_errors_of_poses_shrink(scene: Scene) -> None:
    """Turns by two degrees, up to one that all cameras share."""
    number = len(scene.train)
    errors = torch.randn(number, 3, generator=seeded(2)) * 0.03
    views = [
        dataclasses.replace(
            view,
            pose=torch.cat([turned(view.pose[:, :3].T, w.expand(3, 3)).T, view.pose[:, 3:]], 1),
        )
        for view, w in zip(scene.train, errors, strict=True)
    ]
    changes = "calibration.poses=true,calibration.poses_after=60,calibration.poses_lr=0.003"
    trainer = trained(with_train(scene, views), changes)
    left = errors + trainer.calibration.poses.turns.detach()

    def relative(w: torch.Tensor) -> float:
        return float((w - w.mean(0)).norm(dim=1).mean())

    assert relative(left) < 0.75 * relative(errors)


def test_measured_depths_are_obeyed(scene: Scene) -> None:
    """Given the distances a long run finds, a short one comes closer to them."""
    from orefield.rendering.render import render_view

    teacher = trained(scene, "")
    views = []
    for view in scene.train:
        picture = render_view(teacher.field, teacher.sampler, view.camera, view.pose)
        sure = picture.opacity > 0.9
        views.append(dataclasses.replace(view, depth=torch.where(sure, picture.median, 0.0)))
    measured = with_train(scene, views)

    def error(changes: str) -> float:
        trainer = trained(measured, f"steps=60,{changes}")
        view = views[0]
        picture = render_view(trainer.field, trainer.sampler, view.camera, view.pose)
        known = view.depth > 0
        return float((picture.depth - view.depth)[known].abs().mean())

    assert error("calibration.depth=1") < 0.8 * error("calibration.depth=0")


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
    exposure = Exposure(3)
    exposure.gains.data = torch.randn(3, 3, generator=generator) * 0.1
    exposure.offsets.data = torch.randn(3, 3, generator=generator) * 0.1
    gain, offset = exposure.of(view)
    extra = LossTerms(gain=gain, offset=offset)
    found = pixel_loss(case.raw, samples, target, background, extra=extra)
    exposure.accumulate_grad(view, found.at_pixels, found.pixels)

    def loss(gains: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        g, o = (1 + gains - gains.mean(0))[view], (offsets - offsets.mean(0))[view]
        solid = found.pixels.opacity[:, None]
        pixels = g * found.pixels.color + o * solid + (1 - solid) * background
        return (pixels - target).square().mean()

    torch.testing.assert_close(found.loss, loss(exposure.gains, exposure.offsets).detach())
    wanted = torch.autograd.grad(
        loss(exposure.gains, exposure.offsets), (exposure.gains, exposure.offsets)
    )
    pulls = (exposure.gains.detach(), exposure.offsets.detach())
    for p, want, pull in zip((exposure.gains, exposure.offsets), wanted, pulls, strict=True):
        pulled = 2e-3 * (pull - pull.mean(0)) / pull.numel()
        torch.testing.assert_close(p.grad, want + pulled, rtol=1e-4, atol=1e-6)


def test_turns_are_rotations_about_their_vector() -> None:
    d = torch.tensor([[1.0, 0.0, 0.0]])
    quarter = torch.tensor([[0.0, 0.0, torch.pi / 2]])
    torch.testing.assert_close(
        turned(d, quarter), torch.tensor([[0.0, 1.0, 0.0]]), atol=1e-6, rtol=0
    )
    small = torch.randn(9, 3, generator=seeded()) * 0.2
    around = torch.nn.functional.normalize(torch.randn(9, 3, generator=seeded(1)))
    torch.testing.assert_close(turned(around, small).norm(dim=1), torch.ones(9))
    torch.testing.assert_close(turned(around, torch.zeros(9, 3)), around)


@pytest.mark.parametrize("contracted", [False, True])
def test_gradients_reach_the_cameras_as_finite_differences_say(contracted: bool) -> None:
    """For a smooth function of the samples' positions, in float64."""
    generator = seeded(3)
    origins, toward = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64)
    rays = Rays(origins, torch.nn.functional.normalize(toward))
    view, ray = torch.tensor([0, 1, 1, 2, 0]), torch.tensor([0, 0, 1, 2, 3, 4, 4])
    t = torch.rand(7, generator=generator, dtype=torch.float64) * 3
    poses = PoseCorrections(3).double()
    poses.turns.data = torch.randn(3, 3, generator=generator, dtype=torch.float64) * 0.1

    def places(moved: Rays) -> torch.Tensor:
        x = (moved.origins[ray] + t[:, None] * moved.directions[ray]).T
        return contract(x) if contracted else x

    def value() -> torch.Tensor:
        return torch.sin(3 * places(poses.corrected(rays, view))).sum()

    corrected = poses.corrected(rays, view)
    at_positions = 3 * torch.cos(3 * places(corrected.detached()))
    samples = PackedSamples(places(corrected.detached()), t, t, ray, torch.zeros(5, 2).int())
    poses.accumulate_grad(corrected, samples, at_positions, contracted)
    for p in (poses.turns, poses.moves):
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
