import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.cameras import Camera, pixel_centres, pixel_directions, project, view_rays

FOX = (0.0578421, -0.0805099, -0.000980296, 0.00015575)
SIZE = st.integers(1, 2000)
SHARE = st.floats(0.2, 0.8)


@st.composite
def cameras(draw):
    """Cameras of every size whose lens bends a little, as the fox's, or not at all."""
    width, height = draw(SIZE), draw(SIZE)
    fx = max(width, height) * draw(st.floats(1.2, 3.0))
    weak = st.floats(-0.03, 0.03)
    lens = draw(st.sampled_from([(0.0,) * 4, FOX]) | st.tuples(weak, weak, weak, weak))
    cx, cy = width * draw(SHARE), height * draw(SHARE)
    return Camera(width, height, fx, fx * draw(st.floats(0.9, 1.1)), cx, cy, lens)


@given(cameras(), st.integers(0, 1000))
def test_pixel_to_ray_to_pixel_leads_back(camera, seed):
    generator = torch.Generator().manual_seed(seed)
    size = torch.tensor([camera.width, camera.height])
    pixels = torch.rand((50, 2), generator=generator, dtype=torch.float64) * size
    depths = torch.rand((50, 1), generator=generator, dtype=torch.float64) + 0.1
    directions = pixel_directions(camera, pixels)
    torch.testing.assert_close(directions.norm(dim=1), torch.ones(50, dtype=torch.float64))
    back = project(camera, directions * depths)
    torch.testing.assert_close(back, pixels, atol=1e-4, rtol=0)


def test_the_fox_lens_bends_its_corner_by_opencvs_formula():
    camera = Camera(1080, 1920, 1375.52, 1374.49, 554.558, 965.268, FOX)
    x, y = -0.4, -0.7
    k1, k2, p1, p2 = FOX
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2
    bent_x = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    bent_y = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    expected = [1375.52 * bent_x + 554.558, 1374.49 * bent_y + 965.268]
    got = project(camera, torch.tensor([[2 * x, 2 * y, 2.0]], dtype=torch.float64))[0]
    torch.testing.assert_close(got, torch.tensor(expected, dtype=torch.float64))
    straight = Camera(1080, 1920, 1375.52, 1374.49, 554.558, 965.268)
    moved = project(straight, torch.tensor([[x, y, 1.0]], dtype=torch.float64))[0] - got
    assert moved.norm() > 1  # the distortion is worth testing


def test_view_rays_start_at_the_camera_and_run_row_by_row():
    camera = Camera(3, 2, 2.0, 2.0, 1.5, 1.0)
    quarter = torch.tensor([[0.0, 0.0, 1.0, 5.0], [0.0, 1.0, 0.0, 6.0], [-1.0, 0.0, 0.0, 7.0]])
    rays = view_rays(camera, quarter)
    assert len(rays) == 6
    torch.testing.assert_close(rays.origins, torch.tensor([5.0, 6.0, 7.0]).expand(6, 3))
    middle = 0.5 * (rays.directions[1] + rays.directions[4])  # the column x = 1.5, above and below
    torch.testing.assert_close(middle / middle.norm(), torch.tensor([1.0, 0.0, 0.0]))
    # The last pixel is right of and below the axis: camera x is -world z here, camera y is world y.
    assert rays.directions[5, 2] < 0 < rays.directions[5, 1]


def test_points_behind_the_camera_have_no_pixel():
    camera = Camera(4, 4, 2.0, 2.0, 2.0, 2.0)
    pixels = project(camera, torch.tensor([[0.0, 0.0, -1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]))
    assert pixels.isnan().all(dim=1).tolist() == [True, True, False]


@given(cameras(), st.integers(1, 8))
def test_a_rescaled_camera_sees_each_small_pixel_where_its_square_was(camera, factor):
    if min(camera.width, camera.height) < factor:
        with pytest.raises(ValueError, match="pixel"):
            camera.rescaled(1 / factor)
        return
    small = camera.rescaled(1 / factor)
    assert (small.width, small.height) == (camera.width // factor, camera.height // factor)
    centres = pixel_centres(small)[:: max(1, small.width * small.height // 100)].double()
    torch.testing.assert_close(
        pixel_directions(small, centres), pixel_directions(camera, centres * factor)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 0}, "0 x 4"),
        ({"height": -1}, "4 x -1"),
        ({"fx": 0.0}, "focal length"),
        ({"fy": -2.0}, "focal length"),
        ({"cx": math.nan}, "finite"),
        ({"distortion": (math.inf, 0.0, 0.0, 0.0)}, "finite"),
        ({"distortion": (-0.5, 0.0, 0.0, 0.0)}, "folds"),
        ({"distortion": (-1.0, 0.2, 0.0, 0.0)}, "folds"),
    ],
)
def test_cameras_that_cannot_be_are_refused(change, message):
    sound = {"width": 4, "height": 4, "fx": 2.0, "fy": 2.0, "cx": 2.0, "cy": 2.0}
    Camera(**sound)
    with pytest.raises(ValueError, match=message):
        Camera(**{**sound, **change})
