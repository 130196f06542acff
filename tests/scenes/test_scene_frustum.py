"""Laws of the frustum of forward-facing captures: when there is one, and what it holds."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given

from orefield.cameras import Camera, pixel_directions
from orefield.config import ConfigError, SceneConfig
from orefield.errors import SceneError
from orefield.scenes import describe, open_scene
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.scenes.scene_frustum import MARGIN, OUTLIER, find_frustum, in_scene_units
from strategies import SEEDS, seeded
from written import Form, Shot, colmap, llff

CAMERA = Camera(40, 30, 50.0, 50.0, 20.0, 15.0)
AUTO = SceneConfig()


def facing(number=8, spread=0.3, depths=(2.0, 10.0), camera=CAMERA, turn=None, inward=0.1):
    """Cameras on an arc that look along -z, turned a little inward, upright."""
    frames = []
    for i in range(number):
        angle = 2.4 * i
        position = torch.tensor([math.cos(angle), math.sin(angle), 0.1 * math.sin(3 * angle)])
        position = spread * position.double()
        inner = -inward * position / spread
        forward = torch.tensor([inner[0], inner[1], -1.0]).double()
        forward /= forward.norm()
        right = torch.linalg.cross(forward, torch.tensor([0.0, 1.0, 0.0]).double())
        right /= right.norm()
        pose = torch.stack((right, torch.linalg.cross(forward, right), forward, position), 1)
        if turn is not None:
            pose = turn @ pose
        frames.append(Frame("x", Path(f"{i}.png"), None, camera, pose, depths))
    return frames


def found(frames, points=None, config=AUTO, opaque=True):
    return find_frustum(frames, opaque, points, config)


@given(SEEDS)
def test_it_holds_all_that_any_camera_sees_beyond_its_nearest_depth(seed):
    generator = seeded(seed)
    turn, _ = torch.linalg.qr(torch.randn(3, 3, generator=generator, dtype=torch.float64))
    frames = facing(turn=turn)
    frustum, box = found(frames)
    for frame in frames:
        pixels = torch.rand(200, 2, generator=generator, dtype=torch.float64)
        directions = pixel_directions(CAMERA, pixels * torch.tensor([40, 30])) @ frame.pose[:, :3].T
        depth = 2.0 + 50 * torch.rand(200, 1, generator=generator, dtype=torch.float64) ** 3
        slope = (directions @ frame.pose[:, 2])[:, None]
        seen = frame.pose[:, 3] + depth / slope * directions
        cube = frustum.to_cube(seen.T)
        assert ((cube > -1e-9) & (cube < 1 + 1e-9)).all()
        assert (cube[2] > 0.02).all()  # behind the near plane, with a margin
    torch.testing.assert_close(box.center, frustum.pose[:, 3])
    assert box.half == frustum.near
    assert box.near == pytest.approx(0.9 * 2.0)


def test_it_is_no_wider_than_what_the_cameras_see():
    frustum, _ = found(facing(spread=1e-3, inward=0.0))
    widest = torch.tensor([0.4, 0.3]).double() * (1 + 2 * MARGIN)
    torch.testing.assert_close(frustum.low, -widest, atol=0.005, rtol=0)
    torch.testing.assert_close(frustum.high, widest, atol=0.005, rtol=0)
    assert frustum.near == pytest.approx(0.9 * 2.0, rel=0.01)


def test_points_say_where_it_begins_where_no_bounds_are_stated():
    frames = facing(depths=None)
    generator = seeded(3)
    points = torch.randn(4000, 3, generator=generator, dtype=torch.float64)
    points[:, 2] = -3.0 - 9 * torch.rand(4000, generator=generator, dtype=torch.float64)
    frustum, _ = found(frames, points)
    assert frustum.near == pytest.approx(0.75 * 3.0, rel=0.1)
    assert found(frames) is None


def test_a_single_camera_whose_bound_is_wrong_does_not_count_and_is_named():
    frames = facing()
    frames[3] = replace(frames[3], bounds=(2.0 / OUTLIER / 2, 1e6))
    with pytest.warns(SceneWarning, match=r"3\.png: its nearest depth, 0\.25, is less than a qua"):
        frustum, box = found(frames)
    expected, whole = found(facing())
    assert frustum.near == pytest.approx(expected.near, rel=0.01)
    assert box.half == pytest.approx(whole.half, rel=0.01)


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        (facing(depths=None), "expected known depths"),
        (facing(spread=12.0), "expected cameras nearer to each other"),
        (facing(camera=replace(CAMERA, lens="fisheye")), "expected perspective cameras"),
    ],
    ids=["no depths", "a flight", "fisheye"],
)
def test_other_captures_have_none_and_asking_for_one_says_why(frames, why):
    assert found(frames) is None
    with pytest.raises(SceneError, match=why):
        found(frames, config=SceneConfig(forward_facing="on"))


def test_cameras_round_a_subject_have_none():
    frames = facing()
    for i in (0, 1, 2, 3):
        turned = frames[i].pose.clone()
        turned[:, 2], turned[:, 0] = -turned[:, 2], -turned[:, 0]
        frames[i] = replace(frames[i], pose=turned)
    assert found(frames) is None
    with pytest.raises(SceneError, match="cameras that look one way"):
        found(frames, config=SceneConfig(forward_facing="on"))


@pytest.mark.parametrize(
    "config",
    [
        SceneConfig(forward_facing="off"),
        SceneConfig(box=(0.0, 0.0, 0.0, 1.0)),
        SceneConfig(background_extent=4),
        SceneConfig(box_scale=2.0),
    ],
    ids=["off", "box", "extent", "scale"],
)
def test_a_box_that_is_asked_for_is_no_frustum(config):
    assert found(facing(), config=config) is None
    if config.forward_facing != "off":
        with pytest.raises(ConfigError, match=r"scene\.forward_facing must be auto or off with"):
            replace(config, forward_facing="on")


def test_cut_out_objects_have_one_only_if_it_is_asked_for():
    assert found(facing(), opaque=False) is None
    assert found(facing(), opaque=False, config=SceneConfig(forward_facing="on")) is not None


def test_near_that_is_given_is_the_near_plane_and_the_near_distance():
    """The plane is where the first camera sees that far, so nothing farther is cut off."""
    frustum, box = found(facing(), config=SceneConfig(near=1.0))
    assert box.near == 1.0
    assert 0.8 < frustum.near < 1.0


def test_near_that_leaves_no_frustum_says_so():
    assert found(facing(), config=SceneConfig(near=11.0)) is None
    with pytest.raises(SceneError, match=r"scene\.near below the largest depth .* got 11"):
        found(facing(), config=SceneConfig(near=11.0, forward_facing="on"))


def test_a_capture_whose_cameras_are_upright_and_upside_down_has_one():
    flip = torch.diag(torch.tensor([-1.0, -1.0, 1.0, 1.0])).double()
    frames = [replace(f, pose=f.pose @ flip) if i % 2 else f for i, f in enumerate(facing())]
    turned, upright = found(frames)[0], found(facing())[0]
    turned_range, range_ = (torch.stack((f.low, f.high)).abs() for f in (turned, upright))
    torch.testing.assert_close(turned_range, range_, atol=0.05, rtol=0)


def test_one_camera_that_looks_back_is_named():
    frames = facing(60)
    back = frames[7].pose.clone()
    back[:, 0], back[:, 2] = -back[:, 0], -back[:, 2]
    frames[7] = replace(frames[7], pose=back, name="backward.png")
    assert found(frames) is None
    with pytest.raises(SceneError, match=r"one way, backward\.png looks sideways or back"):
        found(frames, config=SceneConfig(forward_facing="on"))


def shots() -> list[Shot]:
    """Twelve opaque views of noise, from cameras that look along -z."""
    generator = np.random.default_rng(0)
    made = []
    for _ in range(12):
        pose = np.eye(4)
        pose[:2, 3] = generator.uniform(-0.3, 0.3, 2)
        pixels = generator.integers(0, 256, (18, 24, 4), np.uint8)
        pixels[..., 3] = 255
        made.append(Shot(pose, pixels, 30.0))
    return made


def test_llff_and_colmap_lead_to_the_same_frustum(tmp_path):
    """Where points are as far away as the bounds say."""
    form, taken = Form(opaque=True), shots()
    llff(tmp_path / "llff", taken, form)
    colmap(tmp_path / "colmap", taken, form)
    generator = np.random.default_rng(1)
    depth = 2.0 * 0.9 / 0.75 + 3 * generator.uniform(0, 1, 5000) ** 2
    across = generator.uniform(-0.4, 0.4, (2, 5000)) * depth
    rows = [
        f"{i} {x} {y} {-z} 9 9 9 0.5 0 0 1 1 2 2 3 3"
        for i, (x, y, z) in enumerate(zip(*across, depth, strict=True))
    ]
    (tmp_path / "colmap/sparse/0/points3D.txt").write_text("\n".join(rows) + "\n")
    first, second = open_scene(tmp_path / "llff"), open_scene(tmp_path / "colmap")
    for scene in (first, second):
        assert scene.frustum is not None
        assert not scene.unbounded
        assert "forward-facing, for all cameras look one way" in describe(scene)
        assert float(scene.to_world[0, 0]) * scene.frustum.near == pytest.approx(1.8, rel=0.02)
    torch.testing.assert_close(first.frustum.low, second.frustum.low, atol=0.02, rtol=0)
    torch.testing.assert_close(first.frustum.high, second.frustum.high, atol=0.02, rtol=0)


def test_in_scene_units_it_is_the_same_frustum():
    frustum, box = found(facing())
    to_world = box.to_world()
    scaled = in_scene_units(frustum, to_world)
    points = torch.rand(3, 50, generator=seeded()) * 0.9
    in_files = (to_world[:3, :3] @ scaled.to_scene(points).double()) + to_world[:3, 3:]
    torch.testing.assert_close(frustum.to_cube(in_files).float(), points, atol=1e-5, rtol=0)
    assert scaled.near == pytest.approx(0.5)
