"""Laws of the computed scene: closed-form hits, exact depth, honest alpha, equal bytes."""

import json

import numpy as np
import pytest
from PIL import Image

from orefield.scenes.shapes.procedural import (
    ANGLE_X,
    DISTANCE,
    circle_poses,
    hemisphere_poses,
    orbit_pose,
    pixel_rays,
    render_shapes,
    write_shapes,
)
from orefield.scenes.shapes.geometry import Block, Frustum, Sphere, column, dot, unit
from orefield.scenes.shapes.light import everything, radiance
from orefield.scenes.shapes.objects import FLOOR
from orefield.scenes.shapes.surface import SUN
from orefield.scenes.shapes.thin import Ring, Rods
from orefield.types import SceneError

SOLIDS = {
    "sphere": Sphere((0.2, -0.1, 0.3), 0.4),
    "cylinder": Frustum((0.1, 0.2, -0.3), 0.7, 0.25, 0.25),
    "cone": Frustum((0.1, 0.2, -0.3), 0.7, 0.3, 0.0),
    "funnel": Frustum((0.1, 0.2, -0.3), 0.7, 0.1, 0.4),
    "block": Block((0.1, -0.2, 0.0), (0.3, 0.2, 0.4), 0.5),
    "rods": Rods((((0.0, 0.0, 0.0), (0.5, 0.1, 0.2)), ((0.5, 0.1, 0.2), (0.1, -0.4, 0.3))), 0.05),
    "ring": Ring((0.1, 0.0, 0.2), (0.6, 0.0, 0.8), 0.4, 0.1),
}


def inside(solid, p):
    """How far points are inside a solid, negative outside; written without looking at `hit`."""
    if isinstance(solid, Sphere):
        return solid.radius - np.linalg.norm(p - column(solid.center), axis=0)
    if isinstance(solid, Frustum):
        x, y, z = p - column(solid.foot)
        rim = solid.lower + (solid.upper - solid.lower) * z / solid.height
        return np.minimum(rim - np.hypot(x, y), np.minimum(z, solid.height - z))
    if isinstance(solid, Block):
        c, s = np.cos(solid.yaw), np.sin(solid.yaw)
        q = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) @ (p - column(solid.center))
        return (column(solid.half) - np.abs(q)).min(axis=0)
    if isinstance(solid, Ring):
        offset = p - column(solid.center)
        height = np.array(solid.axis) @ offset
        reach = np.sqrt(np.maximum((offset**2).sum(axis=0) - height**2, 0))
        return solid.tube - np.hypot(reach - solid.radius, height)
    nearest = np.inf
    for a, b in solid.ends:
        rod = np.subtract(b, a)
        share = np.clip(rod @ (p - column(a)) / (rod @ rod), 0, 1)
        nearest = np.minimum(nearest, np.linalg.norm(p - column(a) - rod[:, None] * share, axis=0))
    return solid.radius - nearest


def random_rays(n):
    rng = np.random.default_rng(0)
    origins = 2.5 * unit(rng.normal(size=(3, n)))
    return origins, unit(rng.uniform(-0.5, 0.5, size=(3, n)) - origins)


@pytest.mark.parametrize("name", SOLIDS)
def test_hits_lie_on_the_surface_with_nothing_before_them(name):
    solid = SOLIDS[name]
    origins, directions = random_rays(400)
    t = solid.hit(origins, directions)
    met = np.isfinite(t)
    assert met.sum() > 5
    on = origins + np.where(met, t, 0.0) * directions
    np.testing.assert_allclose(inside(solid, on[:, met]), 0, atol=1e-6)
    for share in np.linspace(
        0.4, 0.999, 60
    ):  # a ray that misses is followed through the whole scene
        before = origins + share * np.where(met, t, 5.0) * directions
        assert (inside(solid, before) < 1e-6).all()


@pytest.mark.parametrize("name", SOLIDS)
def test_normals_have_length_one_and_face_the_ray(name):
    solid = SOLIDS[name]
    origins, directions = random_rays(4000)
    t = solid.hit(origins, directions)
    met = np.isfinite(t)
    points, arriving = (origins + np.where(met, t, 0.0) * directions)[:, met], directions[:, met]
    normals = solid.normal(points)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=0), 1, atol=1e-12)
    assert (dot(normals, arriving) < 1e-3).all()
    # Off an edge, a step along the normal leaves by that step and a step against it enters.
    step = 1e-4
    assert np.median(inside(solid, points + step * normals)) == pytest.approx(-step, rel=0.1)
    assert np.median(inside(solid, points - step * normals)) == pytest.approx(step, rel=0.1)


def test_rays_at_known_centers_hit_at_the_closed_form_depth():
    down, start = np.array([[0.0], [0.0], [-1.0]]), column((0.1, 0.2, 3.0))
    assert Sphere((0.1, 0.2, 0.5), 0.4).hit(start, down)[0] == pytest.approx(3 - 0.9)
    assert Frustum((0.1, 0.2, -0.3), 0.7, 0.2, 0.1).hit(start, down)[0] == pytest.approx(3 - 0.4)
    assert Block((0.1, 0.2, 0.0), (0.3, 0.3, 0.25), 0.7).hit(start, down)[0] == pytest.approx(2.75)
    rods = Rods((((-1.0, 0.2, 0.0), (1.0, 0.2, 0.0)),), 0.05)
    assert rods.hit(start, down)[0] == pytest.approx(2.95)
    ring = Ring((0.1, 0.0, 0.0), (0.0, 0.0, 1.0), 0.2, 0.03)
    assert ring.hit(start, down)[0] == pytest.approx(2.97, abs=1e-6)


def test_a_ray_through_the_hole_of_a_ring_misses_it():
    ring = Ring((0.0, 0.0, 0.0), (0.0, 0.0, 1.0), 0.4, 0.1)
    x = np.array([0.0, 0.29, 0.31, 0.49, 0.51])
    origins = np.stack([x, 0 * x, 0 * x + 2])
    t = ring.hit(origins, np.repeat(column((0.0, 0.0, -1.0)), 5, axis=1))
    assert np.isfinite(t).tolist() == [False, False, True, True, False]


def test_every_thing_stays_in_the_box():
    for pose in (orbit_pose(0.3, 0.1), orbit_pose(2.0, 0.7), orbit_pose(4.0, 1.2)):
        image, depth = render_shapes(pose, 48, 48, supersample=1)
        y, x = np.nonzero(np.isfinite(depth))
        origins, directions = pixel_rays(pose, 48, 48, ANGLE_X, np.stack([x, y]) + 0.5)
        assert (abs(origins + depth[y, x] * directions) < 1.2).all()
        assert not image[[0, -1]].any()
        assert not image[:, [0, -1]].any()


def test_depth_leads_to_the_same_point_from_another_camera():
    first, second = orbit_pose(0.4, 0.6), orbit_pose(0.55, 0.7)
    y, x = np.mgrid[:60, :60].reshape(2, -1)
    _, depth = render_shapes(first, 60, 60, supersample=1)
    t = depth.ravel()
    met = np.isfinite(t)
    origins, directions = pixel_rays(first, 60, 60, ANGLE_X, np.stack([x, y]) + 0.5)
    points = origins[:, met] + t[met] * directions[:, met]

    eye = np.repeat(second[:3, 3:], met.sum(), axis=1)
    away = np.linalg.norm(points - eye, axis=0)
    _, seen, _ = radiance(everything(), eye, unit(points - eye), 0)
    assert (seen < away + 1e-4).all()  # the point itself, or something in front of it
    assert np.mean(abs(seen - away) < 1e-4) > 0.8  # mostly the point itself


def test_alpha_is_full_inside_the_silhouette_empty_outside_and_partial_on_it():
    pose = orbit_pose(1.0, 0.5)
    image, depth = render_shapes(pose, 80, 80)
    alpha, met = image[..., 3], np.isfinite(depth)
    near = np.stack([np.roll(met, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    deep = near.all(axis=0)
    wires = render_wire_ball(pose, 80)
    assert (alpha[deep & ~wires] == 255).all()
    assert (alpha[~near.any(axis=0) & ~wires] == 0).all()
    assert set(np.unique(alpha)) == {0, 64, 128, 191, 255}
    assert not image[alpha == 0].any()


def render_wire_ball(pose, size):
    """Pixels whose ray passes the wire cage, where a wire may run between two centers."""
    ball = next(thing.solid for thing in everything() if isinstance(thing.solid, Rods)).ball
    y, x = np.mgrid[:size, :size].reshape(2, -1)
    rays = pixel_rays(pose, size, size, ANGLE_X, np.stack([x, y]) + 0.5)
    return np.isfinite(Sphere(*ball).hit(*rays)).reshape(size, size)


def test_half_size_equals_the_area_average_of_full_size():
    pose = orbit_pose(2.2, 0.6)
    full, half = (render_shapes(pose, size, size, supersample=4)[0] for size in (120, 60))

    def premultiplied(image):
        return image[..., :3] / 255.0 * image[..., 3:] / 255.0

    mean = premultiplied(full).reshape(60, 2, 60, 2, 3).mean(axis=(1, 3))
    error = abs(mean - premultiplied(half))
    assert error.mean() < 0.004
    assert np.quantile(error, 0.99) < 0.06
    alpha = full[..., 3].reshape(60, 2, 60, 2).mean(axis=(1, 3)) - half[..., 3]
    assert abs(alpha).mean() < 0.5


def test_highlights_stay_with_the_camera_not_with_the_surface():
    ball = Sphere((-0.42, -0.36, FLOOR + 0.36), 0.36)
    assert any(thing.solid == ball for thing in everything())
    eyes = [orbit_pose(azimuth, 0.8)[:3, 3:] for azimuth in (-1.0, 0.5)]
    half = unit(SUN + unit(eyes[0] - column(ball.center)))  # mirrors the sun into the first eye
    target = column(ball.center) + ball.radius * half
    seen = []
    for eye in eyes:
        color, t, index = radiance(everything(), eye, unit(target - eye), 1)
        assert everything()[index[0]].solid == ball
        assert t[0] == pytest.approx(np.linalg.norm(target - eye), abs=1e-6)
        seen.append(color.min())
    assert seen[0] > 1
    assert seen[1] < 0.2


def test_cameras_look_at_the_origin_from_a_fixed_distance_with_z_up():
    train, test = hemisphere_poses(20), circle_poses(7)
    for pose in train + test:
        rotation, position = pose[:3, :3], pose[:3, 3]
        np.testing.assert_allclose(rotation.T @ rotation, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1)
        np.testing.assert_allclose(position - DISTANCE * rotation[:, 2], 0, atol=1e-12)
        assert rotation[2, 0] == pytest.approx(0)
        assert rotation[2, 1] > 0
        assert position[2] > 0
    apart = [np.linalg.norm(a[:3, 3] - b[:3, 3]) for a in train for b in test]
    assert min(apart) > 1e-3


def test_the_folder_is_complete_and_the_same_every_time(tmp_path):
    for name in ("a", "b"):
        write_shapes(tmp_path / name, resolution=16, train_views=2, test_views=2)
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert len(files) == 2 + 2 + 2 + 2
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()

    described = json.loads((tmp_path / "a/transforms_test.json").read_text())
    assert described["camera_angle_x"] == ANGLE_X
    assert len(described["frames"]) == 2
    for i, pose in enumerate(circle_poses(2)):
        image, depth = render_shapes(pose, 16, 16)
        np.testing.assert_array_equal(described["frames"][i]["transform_matrix"], pose)
        np.testing.assert_array_equal(Image.open(tmp_path / f"a/test/r_{i}.png"), image)
        np.testing.assert_array_equal(np.load(tmp_path / f"a/test/r_{i}_depth.npy"), depth)


@pytest.mark.parametrize("field", ["resolution", "train_views", "test_views"])
def test_impossible_sizes_are_refused(tmp_path, field):
    with pytest.raises(SceneError, match=field):
        write_shapes(tmp_path / "shapes", **{field: 0})
    assert not (tmp_path / "shapes").exists()
