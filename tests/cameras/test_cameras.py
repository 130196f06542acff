import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.cameras import (
    Camera,
    border_directions,
    panorama,
    pixel_centers,
    pixel_directions,
    project,
    view_rays,
)

FOX = (0.0578421, -0.0805099, -0.000980296, 0.00015575)
GOPRO = (0.0341, -0.0063, 0.0021, -0.0004)
SIZE = st.integers(1, 2000)
SHARE = st.floats(0.2, 0.8)
WEAK = st.floats(-0.03, 0.03)


# Strategies draw numbers, not cameras: beartype looks at a random entry of a long tuple, which
# hypothesis takes for a test that is not a function of its draws.
@st.composite
def perspective(draw):
    """Cameras of every size whose lens bends a little, as the fox's, or not at all."""
    width, height = draw(SIZE), draw(SIZE)
    fx = max(width, height) * draw(st.floats(1.2, 3.0))
    lens = draw(
        st.sampled_from([(0.0,) * 4, FOX])
        | st.tuples(WEAK, WEAK, WEAK, WEAK)
        | st.tuples(WEAK, WEAK, WEAK, WEAK, WEAK)
        | st.tuples(*[WEAK] * 8)
    )
    cx, cy = width * draw(SHARE), height * draw(SHARE)
    return width, height, fx, fx * draw(st.floats(0.9, 1.1)), cx, cy, lens


@st.composite
def fisheyes(draw):
    """From narrow to a corner 172 degrees off the axis; terms weak enough not to fold there."""
    width, height = draw(SIZE), draw(SIZE)
    cx, cy = width * draw(SHARE), height * draw(SHARE)
    farthest = math.hypot(max(cx, width - cx), max(cy, height - cy))
    fx, terms = farthest / draw(st.floats(0.1, 1.5)), st.floats(-0.01, 0.02)
    lens = draw(st.sampled_from([(0.0,) * 4, GOPRO]) | st.tuples(terms, terms, WEAK.map(abs)))
    if len(lens) == 3:
        lens = (*lens, 0.0)
    elif not any(lens):
        fx = farthest / draw(st.floats(0.1, 3.0))
    return width, height, fx, fx * draw(st.floats(1.0, 1.04)), cx, cy, lens, "fisheye"


CAMERAS = {"perspective": perspective(), "fisheye": fisheyes(), "panorama": st.tuples(SIZE, SIZE)}


def made(numbers):
    return panorama(*numbers) if len(numbers) == 2 else Camera(*numbers)


@pytest.mark.parametrize("lens", CAMERAS)
def test_pixel_to_ray_to_pixel_leads_back(lens):
    @given(CAMERAS[lens], st.integers(0, 1000))
    def law(numbers, seed):
        camera = made(numbers)
        generator = torch.Generator().manual_seed(seed)
        size = torch.tensor([camera.width, camera.height])
        pixels = torch.rand((50, 2), generator=generator, dtype=torch.float64) * size
        depths = torch.rand((50, 1), generator=generator, dtype=torch.float64) + 0.1
        directions = pixel_directions(camera, pixels)
        torch.testing.assert_close(directions.norm(dim=1), torch.ones(50, dtype=torch.float64))
        back = project(camera, directions * depths)
        torch.testing.assert_close(back, pixels, atol=1e-4, rtol=0)

    law()


def test_a_fisheye_without_terms_is_equidistant():
    """Half a turn across 400 pixels: straight left, right, up and down on the border."""
    camera = Camera(400, 400, 400 / math.pi, 400 / math.pi, 200.0, 200.0, lens="fisheye")
    rim = torch.tensor([[0.0, 200], [400, 200], [200, 0], [200, 400], [200, 200], [300, 200]])
    half = math.sqrt(0.5)
    expected = [[-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 1], [half, 0, half]]
    torch.testing.assert_close(
        pixel_directions(camera, rim), torch.tensor(expected, dtype=torch.float), atol=1e-6, rtol=0
    )
    behind = project(camera, torch.tensor([[1.0, 0.0, -1.0], [0.0, 0.0, -1.0], [0.0, 0.0, 2.0]]))
    torch.testing.assert_close(behind[0], torch.tensor([500.0, 200.0]))
    assert behind[1].isnan().all()
    assert behind[2].tolist() == [200, 200]


def test_a_fisheye_follows_opencvs_formula():
    camera = Camera(800, 600, 300.0, 310.0, 400.0, 290.0, GOPRO, "fisheye")
    point = torch.tensor([[0.8, -0.5, 0.9]], dtype=torch.float64)
    x, y, z = point[0].tolist()
    angle = math.atan(math.hypot(x, y) / z)
    k1, k2, k3, k4 = GOPRO
    bent = angle * (1 + k1 * angle**2 + k2 * angle**4 + k3 * angle**6 + k4 * angle**8)
    share = bent / math.hypot(x, y)
    expected = [300 * share * x + 400, 310 * share * y + 290]
    assert project(camera, point)[0].tolist() == pytest.approx(expected)


def test_a_panorama_looks_forward_in_its_middle_and_all_round():
    camera = panorama(400, 200)
    pixels = torch.tensor([[200.0, 100], [300, 100], [100, 100], [400, 100], [7, 0], [7, 200]])
    expected = [[0, 0, 1], [1, 0, 0], [-1, 0, 0], [0, 0, -1], [0, -1, 0], [0, 1, 0]]
    torch.testing.assert_close(
        pixel_directions(camera, pixels),
        torch.tensor(expected, dtype=torch.float),
        atol=1e-6,
        rtol=0,
    )
    assert float(border_directions(camera, 9)[:, 2].min()) == pytest.approx(-1)


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


@pytest.mark.parametrize("lens", CAMERAS)
def test_a_rescaled_camera_sees_each_small_pixel_where_its_square_was(lens):
    @given(CAMERAS[lens], st.integers(1, 8))
    def law(numbers, factor):
        camera = made(numbers)
        if min(camera.width, camera.height) < factor:
            with pytest.raises(ValueError, match="pixel"):
                camera.rescaled(1 / factor)
            return
        small = camera.rescaled(1 / factor)
        assert (small.width, small.height) == (camera.width // factor, camera.height // factor)
        centers = pixel_centers(small)[:: max(1, small.width * small.height // 100)].double()
        torch.testing.assert_close(
            pixel_directions(small, centers), pixel_directions(camera, centers * factor)
        )

    law()


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
        # Beyond the fold its border has a solution again.
        ({"distortion": (-1.5, 0.15, 0.0, 0.0)}, "folds"),
        ({"distortion": (0.1, 0.0)}, "4 or 5 or 8 coefficients"),
        ({"distortion": (0.0,) * 8, "lens": "fisheye"}, "takes 4 coefficients"),
        ({"distortion": (-0.3, 0.0, 0.0, 0.0), "lens": "fisheye"}, "fisheye lens .* folds"),
        # In the corners alone: the middle of the nearer border would do.
        ({"width": 16, "distortion": (-0.1, 0.0, 0.0, 0.0), "lens": "fisheye"}, "folds"),
        ({"fx": 0.5, "fy": 0.5, "lens": "fisheye"}, "folds"),  # more than half a turn off the axis
        ({"lens": "equirectangular", "fx": 0.5}, "folds"),  # more than once round
        ({"distortion": FOX, "lens": "equirectangular"}, "no distortion"),
    ],
)
def test_cameras_that_cannot_be_are_refused(change, message):
    sound = {"width": 4, "height": 4, "fx": 2.0, "fy": 2.0, "cx": 2.0, "cy": 2.0}
    Camera(**sound)
    with pytest.raises(ValueError, match=message):
        Camera(**{**sound, **change})
