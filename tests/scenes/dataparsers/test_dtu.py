"""The DTU layout of IDR and NeuS."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import ExifTags, Image

from orefield.scenes import SceneWarning, open_scene
from orefield.scenes.dataparsers.dtu import decompose
from orefield.types import SceneError
from reading import PLAIN, assert_same


def test_cameras_come_back_and_the_ball_is_the_box(dtu, capture):
    scene = open_scene(dtu, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    assert_same(scene, scene.test, capture, [0, 3, 6])
    assert float(scene.to_world[0, 0]) == pytest.approx(4)
    assert scene.to_world[:3, 3].tolist() == pytest.approx([-1, 0, 1])
    assert scene.near * 4 == pytest.approx(0.2 * 4)


def test_masks_go_by_order(dtu):
    (dtu / "mask").mkdir()
    mask = np.zeros((10, 12), np.uint8)
    mask[2:5, 3:9] = 255
    for i in range(9):
        Image.fromarray(mask).save(dtu / f"mask/{i:03d}.png")
    view = open_scene(dtu, PLAIN).train[0]
    assert (view.image[:, :, 3][torch.from_numpy(mask) == 0] == 0).all()
    (dtu / "mask/003.png").unlink()
    with pytest.raises(SceneError, match="mask: has 8 masks, expected 9"):
        open_scene(dtu, PLAIN)


@given(
    st.floats(0.1, 3000),
    st.floats(0.8, 1.2),
    st.tuples(st.floats(-2000, 2000), st.floats(-2000, 2000)),
    st.floats(1e-3, 1e3),
    st.booleans(),
    st.integers(0, 1000),
)
def test_a_projection_of_any_scale_and_sign_comes_apart_again(f, aspect, center, scale, flip, seed):
    generator = np.random.default_rng(seed)
    rotation = np.linalg.qr(generator.normal(size=(3, 3)))[0]
    rotation *= np.linalg.det(rotation)
    position = 5 * generator.normal(size=3)
    intrinsics = np.array([[f, 0, center[0]], [0, f * aspect, center[1]], [0, 0, 1]])
    projection = intrinsics @ rotation @ np.concatenate((np.eye(3), -position[:, None]), 1)
    projection *= -scale if flip else scale
    k, pose = decompose(torch.from_numpy(projection), "P")
    reach = np.abs(intrinsics).max()
    np.testing.assert_allclose(k.numpy(), intrinsics, atol=1e-9 * reach**2 / min(f, 1), rtol=0)
    np.testing.assert_allclose(pose[:, :3].numpy(), rotation.T, atol=1e-9 * reach / min(f, 1))
    np.testing.assert_allclose(pose[:, 3].numpy(), position, atol=1e-6)


def scaled(factor):
    return lambda m: m.update({k: v * factor for k, v in m.items() if k.startswith("world_mat")})


def with_cameras(matrix):
    """A `camera_mat` for each photograph."""
    return lambda m: m.update({f"camera_mat_{i}": matrix(m[f"world_mat_{i}"]) for i in range(9)})


def intrinsics(world):
    return np.float32(decompose(torch.from_numpy(world[:3]), "")[0].numpy())


def to_unit(world, less=0):
    across, down = 2 / (12 - less), 2 / (10 - less)
    return np.array([[across, 0, -1, 0], [0, down, -1, 0], [0, 0, 1, 0], [0, 0, 0, 1]])


def nearly_without_skew(world):
    """K as it was before rounding left a skew of a ten-thousandth of the focal length."""
    k = intrinsics(world)
    return np.float32([[k[0, 0], 1e-4 * k[0, 0], k[0, 2]], k[1], k[2]])


SAME = {
    "tiny": scaled(1e-9),
    "large": scaled(-1e9),
    "inverses": lambda m: m.update(world_mat_inv_3=np.eye(4), scale_mat_inv_0=np.eye(4)),
    "K repeated": with_cameras(intrinsics),
    "K repeated but for rounding": with_cameras(nearly_without_skew),
    "pixels to -1 ... 1": with_cameras(to_unit),
    "centers to -1 ... 1": with_cameras(lambda world: to_unit(world, 1)),
    "three rows": lambda m: m.update({k: v[:3] for k, v in m.items()}),
    "Fortran order": lambda m: m.update({k: np.asfortranarray(v) for k, v in m.items()}),
    "big-endian": lambda m: m.update({k: v.astype(">f8") for k, v in m.items()}),
}


def rewrite(file, change, save=np.savez):
    with np.load(file) as stored:
        matrices = dict(stored)
    change(matrices)
    save(file, **matrices)


@pytest.mark.parametrize("form", SAME)
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_the_same_cameras_in_other_forms(dtu, capture, form, save):
    rewrite(dtu / "cameras_sphere.npz", SAME[form], save)
    scene = open_scene(dtu, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])


def test_photographs_are_read_as_they_are_stored_without_what_systems_leave(dtu, capture):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 3
    with Image.open(dtu / "image/000001.png") as image:
        image.save(dtu / "image/000001.png", exif=exif)
    (dtu / "image/@eaDir").mkdir()
    for name in ("._000001.png", "@eaDir/000001.jpg", "Thumbs.db", "desktop.ini"):
        (dtu / "image" / name).write_bytes(b"\0\5\x16\7")
    scene = open_scene(dtu, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])


def test_other_arrays_are_named_once(dtu, capture):
    others = {"pts_all": np.zeros((7, 3)), "distance": np.array("x"), "\x1b[2J": np.eye(4)}
    rewrite(dtu / "cameras_sphere.npz", lambda m: m.update(others))
    with pytest.warns(SceneWarning) as caught:
        scene = open_scene(dtu, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    (warning,) = caught
    assert str(warning.message).endswith(": not read: pts_all, distance, \\x1b[2J")


def put(name, row, column, value):
    return lambda m: m[name].__setitem__((row, column), value)


BAD = [
    (lambda m: m.pop("world_mat_4"), "world_mat_4 is missing"),
    (lambda m: m.pop("scale_mat_0"), "scale_mat_0 is missing"),
    (lambda m: m.update(world_mat_9=m["world_mat_8"]), "world_mat_9 belongs to no photograph"),
    (lambda m: m.update(dist_0=np.zeros(5)), "dist_0 is refused: only pinhole cameras"),
    (lambda m: m.update(Distortion=np.zeros(5)), "Distortion is refused: only pinhole cameras"),
    (lambda m: m.update(k1=np.float64(0)), "k1 is refused: only pinhole cameras"),
    (lambda m: m["world_mat_4"].fill(0), "world_mat_4 must be a camera's projection matrix"),
    (lambda m: np.copyto(m["world_mat_4"][1], m["world_mat_4"][0]), "got a singular one"),
    (
        lambda m: m["world_mat_4"].__imul__([1e-9, 1e-9, 1e-9, 1e9]),
        "world_mat_4 must be that of a camera in reach",
    ),
    (scaled(1e-200), "world_mat_0 must be a camera's projection matrix"),
    (scaled(1e200), "world_mat_0 must hold finite numbers"),
    (lambda m: m["world_mat_4"].fill(np.nan), "world_mat_4 must hold finite numbers"),
    (put("scale_mat_4", 1, 1, -1e200), "scale_mat_4 must hold finite numbers"),
    (put("scale_mat_0", 0, 0, 3), "scale_mat_0 must be a scale and a shift"),
    (put("scale_mat_0", 1, 0, 1), "scale_mat_0 must be a scale and a shift"),
    (put("scale_mat_0", 3, 3, 2), "scale_mat_0 must be a scale and a shift"),
    (lambda m: m["scale_mat_0"].fill(0), "scale_mat_0 must be a scale and a shift"),
    (put("scale_mat_4", 0, 3, 5), "scale_mat_4 must be the same as scale_mat_0"),
    (with_cameras(lambda w: np.diag([20.0, 20, 1, 1])), "camera_mat_0 must hold the intrinsics K"),
    (with_cameras(lambda w: intrinsics(w) * [1, 1.01, 1]), "camera_mat_0 must hold the intrinsics"),
    (lambda m: m.update(world_mat_4=np.eye(3)), "world_mat_4 must have four columns"),
    (lambda m: m.update(world_mat_4=np.eye(2)), "world_mat_4.npy: expected a 4 x 4 matrix"),
    (lambda m: m.update(world_mat_4=np.array("x")), "world_mat_4.npy: cannot be read as a NumPy"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD)
def test_bad_matrices(dtu, change, complaint):
    rewrite(dtu / "cameras_sphere.npz", change)
    with pytest.raises(SceneError) as caught:
        open_scene(dtu, PLAIN)
    assert "cameras_sphere.npz: " in str(caught.value)
    assert complaint in str(caught.value)
    (dtu / "cameras_sphere.npz").write_bytes(b"PK")
    with pytest.raises(SceneError, match=r"cameras_sphere\.npz: cannot be read as a NumPy file"):
        open_scene(dtu, PLAIN)


def test_pixels_that_are_no_rectangles_are_refused(dtu):
    skewed = np.eye(4)
    skewed[0, 1] = 0.01  # a hundredth of the focal length
    rewrite(
        dtu / "cameras_sphere.npz",
        lambda m: m.update({k: skewed @ v for k, v in m.items() if k == "world_mat_2"}),
    )
    with pytest.raises(SceneError, match=r"world_mat_2: pixels must be rectangles, got a skew of"):
        open_scene(dtu, PLAIN)
