"""Laws of the computed scene: closed-form hits, exact depth, honest alpha, equal bytes."""

import numpy as np
import pytest

from orefield.errors import SceneError
from orefield.scenes.shapes import ANGLE_X, hemisphere_poses, render_shapes, write_shapes
from orefield.scenes.shapes.scene import DISTANCE, THINGS
from orefield.scenes.shapes.tracing import SUN, ball, cube, radiance, rod


def toward(vectors):
    return vectors / np.linalg.norm(vectors, axis=0)


C, TURNED = np.c_[[0.1, -0.2, 0.3]], np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
ROD = rod((0.1, -0.2, -0.2), (0.1, -0.2, 0.8), 0.2)
# Each with how far points from its center are outside of it, written without looking at the bounds.
SOLIDS = {
    "ball": (ball(*C[:, 0].tolist(), 0.5), lambda p: np.linalg.norm(p, axis=0) - 0.5),
    "cube": (cube(*C[:, 0].tolist(), 0.4), lambda p: abs(TURNED @ p).max(axis=0) - 0.4),
    "rod": (ROD, lambda p: np.maximum(np.hypot(p[0], p[1]) - 0.2, abs(p[2]) - 0.5)),
}


@pytest.mark.parametrize(("solid", "outside"), SOLIDS.values(), ids=SOLIDS)
def test_hits_lie_on_the_surface_with_nothing_before_them(solid, outside):
    rng = np.random.default_rng(0)
    origins = 2.5 * toward(rng.normal(size=(3, 500)))
    directions = toward(rng.uniform(-0.8, 0.8, size=(3, 500)) - origins)
    t = solid.hit(origins, directions)
    met = np.isfinite(t)
    assert 50 < met.sum() < 450
    points = (origins + np.where(met, t, 0) * directions)[:, met]
    np.testing.assert_allclose(outside(points - C), 0, atol=1e-12)
    assert (np.linalg.norm(points - C, axis=0) < solid.radius + 1e-12).all()
    for share in np.linspace(0.3, 0.999, 60):  # a miss is followed through to the far side
        assert (outside(origins + share * np.where(met, t, 5.0) * directions - C) > 0).all()
    np.testing.assert_allclose(outside(points + 1e-3 * solid.normal(points) - C), 1e-3, rtol=1e-6)
    assert np.isinf(solid.hit(origins, -directions)).all()  # it lies behind


def test_rays_that_graze_or_run_along_a_solid():
    x, down = np.array([0.0, 0.199999, 0.200001]), np.repeat(np.c_[[0, 0, -1.0]], 3, axis=1)
    above, edge = np.stack([x, 0 * x, 0 * x + 2]), np.sqrt(0.2**2 - 0.199999**2)
    disc, pipe = rod((0, 0, 0), (0, 0, 0.1), 0.2), rod((0, -1, 0), (0, 1, 0), 0.2)
    np.testing.assert_allclose(disc.hit(above, down), [1.9, 1.9, np.inf])
    for solid in (pipe, ball(0.0, 0.0, 0.0, 0.2)):
        np.testing.assert_allclose(solid.hit(above, down), [1.8, 2 - edge, np.inf])


def scene_level(points):
    """The least over all things of the largest |A (p - center)|: below 1 inside."""
    images = ([bound @ (points - solid.center) for bound in solid.bounds] for solid, *_ in THINGS)
    return np.min([np.max([np.linalg.norm(i, axis=0) for i in im], 0) for im in images], axis=0)


@pytest.mark.parametrize("pose", hemisphere_poses(3))
def test_depth_and_alpha_agree_with_small_steps_along_rays_through_the_pixels(pose):
    image, depth = render_shapes(pose, 40, 40)
    met, x = np.isfinite(depth), (np.arange(40) - 19.5) / 20 * np.tan(ANGLE_X / 2)
    view = np.stack([np.tile(x, 40), -np.repeat(x, 40), np.full(1600, -1.0)])
    directions = toward(pose[:3, :3] @ view)
    reach = np.where(met, depth, DISTANCE + 1.15).ravel().astype(float)
    for share in np.linspace(0.65, 0.9999, 200):
        assert (scene_level(pose[:3, 3:] + share * reach * directions) > 1).all()
    points = (pose[:3, 3:] + reach * directions)[:, met.ravel()]
    np.testing.assert_allclose(scene_level(points), 1, atol=1e-4)  # the thinnest: 1e-6 of 0.012
    assert (np.linalg.norm(points, axis=0) < 1.15).all()

    near = np.stack([np.roll(met, (i, j), (0, 1)) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    assert not image[~near.any(axis=0)].any()
    assert np.mean(image[near.all(axis=0), 3] == 255) > 0.97  # all but what is between wires
    assert (image[..., 0] > image[..., 3]).any()  # straight, else no color exceeds alpha
    assert set(np.unique(image[..., 3])) == {0, 64, 128, 191, 255}
    assert not image[[0, -1]].any() | image[:, [0, -1]].any()  # the object is seen whole


def test_a_ball_is_seen_where_its_center_projects():
    pose = hemisphere_poses(9)[4]
    x, y, z, _ = np.linalg.inv(pose) @ [0.0, 0.6, 0.52, 1.0]
    focal = 60 / np.tan(ANGLE_X / 2)
    image, depth = render_shapes(pose, 120, 100)
    pixel = int(50 + focal * y / z), int(60 - focal * x / z)
    assert image[pixel][0] > 1.5 * image[pixel][2]  # yellow
    assert depth[pixel] == pytest.approx(np.linalg.norm([x, y, z]) - 0.15, abs=1e-3)


def test_gloss_depends_on_the_view_and_matte_paint_does_not():
    eyes = [toward(np.c_[[x, -0.5, 1.2]]) for x in (-0.45, 0.5)]
    mirroring = np.c_[[-0.4, -0.3, -0.08]] + 0.34 * toward(SUN + eyes[0])
    for point, least, most in ((mirroring, 1, 5), (np.c_[[0.25, -0.35, -0.42]], 0, 1e-9)):
        colors = [radiance(THINGS, point + eye, -eye)[0] for eye in eyes]
        assert least <= np.ptp(colors, axis=0).max() <= most


def test_cameras_look_at_the_origin_from_a_fixed_distance_with_z_up():
    for pose in hemisphere_poses(20) + hemisphere_poses(7, turn=1.0):
        np.testing.assert_allclose(pose[:3, :3].T @ pose[:3, :3], np.eye(3), atol=1e-12)
        assert np.linalg.det(pose) == pytest.approx(1)
        np.testing.assert_allclose(pose[:, 3], [*(DISTANCE * pose[:3, 2]), 1], atol=1e-12)
    assert min(pose[2, 1], pose[2, 3]) > 0


def test_the_folder_is_complete_and_the_same_every_time(tmp_path):
    written = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        write_shapes(folder, resolution=16, train_views=1, test_views=1)
        written.append({p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.*")})
    assert written[0] == written[1]
    assert len(written[0]) == 1 + 1 + 2 + 1
    _, depth = render_shapes(hemisphere_poses(1, turn=1.0)[0], 16, 16)
    assert np.array_equal(np.load(tmp_path / "a/test/r_0_depth.npy"), depth)


@pytest.mark.parametrize("field", ["resolution", "train_views", "test_views"])
def test_impossible_sizes_are_refused(tmp_path, field):
    with pytest.raises(SceneError, match=field):
        write_shapes(tmp_path / "shapes", **{field: 0})
    assert not (tmp_path / "shapes").exists()
