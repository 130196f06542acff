"""Laws of pictures: rounding, color maps, depth, opacity, normals."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps

from orefield.cameras.path_file import fov_camera
from orefield.rendering.pixels import color_mapped, depth_pixels, layer_pixels, to_pixels
from orefield.rendering.render import RenderedView


def test_pixels_are_rounded_and_clipped() -> None:
    color = torch.tensor([[[-1.0, 0.5, 2.0], [0.0, 1.0, 0.2]]])
    assert to_pixels(color).tolist() == [[[0, 128, 255], [0, 255, 51]]]


def test_nearer_is_brighter_and_empty_is_black() -> None:
    depth = torch.linspace(1, 2, 50)[None]
    opacity = torch.ones(1, 50)
    luminance = depth_pixels(depth, opacity)[0].astype(int).sum(1)
    assert luminance[0] > luminance[25] > luminance[-1]
    assert (depth_pixels(depth, torch.zeros(1, 50)) == 0).all()
    half = opacity.clone()
    half[0, :10] = 0
    assert (depth_pixels(depth, half)[0, :10] == 0).all()


def test_values_go_through_the_map_as_in_matplotlib() -> None:
    values = torch.linspace(-0.2, 1.2, 400).view(20, 20)
    expected = colormaps["inferno"](values.clamp(0, 1).numpy())[..., :3]
    np.testing.assert_allclose(color_mapped("inferno", values).numpy(), expected, atol=1e-6)


def test_layers_of_a_wall_that_fills_half_of_the_picture() -> None:
    camera, pose = fov_camera(60.0, 12, 8), torch.eye(3, 4)
    opacity = torch.zeros(8, 12)
    opacity[:, :6] = 1.0
    # A plane across the optical axis: the distance along a ray grows towards the corners.
    x = (torch.arange(12) + 0.5 - camera.cx) / camera.fx
    y = (torch.arange(8) + 0.5 - camera.cy) / camera.fy
    distance = 2 * (1 + x**2 + y[:, None] ** 2).sqrt() * opacity
    view = RenderedView(torch.full((8, 12, 3), 0.2), opacity, distance, distance)
    assert layer_pixels("color", view, camera, pose)[0, 0].tolist() == [51, 51, 51]
    seen = layer_pixels("opacity", view, camera, pose)
    assert (seen[:, :6] == 255).all()
    assert (seen[:, 6:] == 0).all()
    normals = layer_pixels("normals", view, camera, pose)
    # Towards the camera: minus z; x and y in the middle of their range.
    assert normals[4, 2].tolist() == pytest.approx([128, 128, 0], abs=1)
    assert (normals[:, 6:] == 0).all()
    depth = layer_pixels("depth", view, camera, pose)
    assert depth[3, 5].sum() > depth[0, 0].sum()
