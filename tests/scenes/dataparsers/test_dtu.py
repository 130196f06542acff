"""The DTU layout of IDR and NeuS."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orefield.scenes import open_scene
from orefield.scenes.dataparsers.dtu import decompose
from orefield.types import SceneError
from reading import PLAIN, assert_same


def test_cameras_come_back_and_the_ball_is_the_box(dtu, capture):
    scene = open_scene(dtu, PLAIN)
    assert_same(scene, scene.train, capture, [1, 2, 4, 5, 7, 8])
    assert_same(scene, scene.test, capture, [0, 3, 6])
    assert float(scene.to_world[0, 0]) == pytest.approx(4)
    torch.testing.assert_close(scene.to_world[:3, 3], torch.tensor([-1.0, 0.0, 1.0]))
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


BAD = [
    (lambda m: m.pop("world_mat_4"), "world_mat_4 is missing"),
    (lambda m: m["world_mat_4"].fill(0), "world_mat_4 must be a camera's projection matrix"),
    (lambda m: m["world_mat_4"].fill(np.nan), "world_mat_4 must hold finite numbers"),
    (lambda m: m["scale_mat_4"].__setitem__((0, 0), 3), "scale_mat_4 must be a scale and a shift"),
    (lambda m: m.update(world_mat_4=np.eye(2)), "world_mat_4.npy: expected a 4 x 4 matrix"),
    (lambda m: m.update(world_mat_4=np.array("x")), "world_mat_4.npy: expected a 4 x 4 matrix"),
]


@pytest.mark.parametrize(("change", "complaint"), BAD)
def test_bad_matrices(dtu, change, complaint):
    file = dtu / "cameras_sphere.npz"
    with np.load(file) as stored:
        matrices = dict(stored)
    change(matrices)
    np.savez(file, **matrices)
    with pytest.raises(SceneError) as caught:
        open_scene(dtu, PLAIN)
    assert "cameras_sphere.npz: " in str(caught.value)
    assert complaint in str(caught.value)
    (dtu / "cameras_sphere.npz").write_bytes(b"PK")
    with pytest.raises(SceneError, match=r"cameras_sphere\.npz: cannot be read as a NumPy file"):
        open_scene(dtu, PLAIN)
