import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.cameras import Camera
from orefield.cameras.focus import common_focus
from orefield.errors import SceneError
from orefield.scenes.dataparsers.parsed_scene import Frame
from orefield.scenes.scene import SceneWarning
from orefield.scenes.scene_bounds import DEFAULT_BACKGROUND_EXTENT
from orefield.scenes.scene_box import (
    OBJECT_MARGIN,
    find_box,
)

CAMERA = Camera(40, 30, 50.0, 50.0, 20.0, 15.0)


def looking(center, forward, bounds=None):
    """A frame taken from `center` along `forward`, upright."""
    forward = torch.tensor(forward, dtype=torch.float64)
    forward /= forward.norm()
    right = torch.linalg.cross(forward, torch.tensor([0.1, 0.2, 1.0], dtype=torch.float64))
    right /= right.norm()
    down = torch.linalg.cross(forward, right)
    position = torch.tensor(center, dtype=torch.float64)
    pose = torch.stack((right, down, forward, position), dim=1)
    return Frame("x", Path("x.png"), None, CAMERA, pose, bounds)


def ring(focus, radius, bounds=None):
    turns = [0.8 * i for i in range(8)]
    steps = [(math.cos(a), math.sin(a), 0.5 * math.sin(3 * a)) for a in turns]
    return [
        looking(
            [f + radius * s for f, s in zip(focus, step, strict=True)], [-s for s in step], bounds
        )
        for step in steps
    ]


POINT = st.tuples(*[st.floats(-10, 10)] * 3)


@given(POINT, st.floats(0.1, 100))
def test_cameras_that_look_at_a_point_have_it_as_their_focus(focus, radius):
    frames = ring(focus, radius)
    box = find_box(frames, opaque=False)
    expected = torch.tensor(focus, dtype=torch.float64)
    torch.testing.assert_close(box.center, expected, atol=1e-9 * radius + 1e-12, rtol=1e-9)
    away = [float((frame.pose[:, 3] - expected).norm()) for frame in frames]
    # The longer side of the image.
    assert box.half == pytest.approx(OBJECT_MARGIN * max(away) * 20 / 50)
    assert box.near == pytest.approx(0.2 * min(away))
    assert find_box(frames, opaque=True).half == pytest.approx(max(away))


def test_the_focus_has_the_least_squared_distance_to_the_axes():
    generator = torch.Generator().manual_seed(0)
    positions = 5 * torch.randn((6, 3), generator=generator, dtype=torch.float64)
    axes = torch.randn((6, 3), generator=generator, dtype=torch.float64) - positions
    axes /= axes.norm(dim=1, keepdim=True)

    def cost(point):
        away = point - positions
        return (away - (away * axes).sum(1, keepdim=True) * axes).square().sum()

    turns = torch.zeros((6, 3, 2), dtype=torch.float64)  # only axes and positions count
    focus = common_focus(torch.cat((turns, axes[..., None], positions[..., None]), dim=2))
    for step in 1e-3 * torch.eye(3, dtype=torch.float64):
        assert cost(focus) < min(cost(focus + step), cost(focus - step))


def test_parallel_and_outward_cameras_have_no_focus():
    frames = [looking((x, x * x, 0), (0, 0, 1)) for x in range(4)]
    outward = [looking(step, step) for step in [(1, 0, 0), (0, 1, 0), (-1, 0, 0), (0, -1, 0.1)]]
    for cameras in (frames, outward):
        assert common_focus(torch.stack([frame.pose for frame in cameras])) is None


def test_the_box_of_forward_facing_cameras_holds_their_frusta_between_their_bounds():
    frames = [looking((x, 0.3 * x, 0), (0.02 * x, 0, 1), (2.0 + x, 30.0 + x)) for x in range(4)]
    box = find_box(frames, opaque=True)
    assert box.near == pytest.approx(0.9 * 2.0)
    generator = torch.Generator().manual_seed(0)
    reach = torch.zeros(3, dtype=torch.float64)
    for frame in frames:
        near, far = frame.bounds
        depth = near + (far - near) * torch.rand((5000, 1), generator=generator).double()
        plane = (torch.rand((5000, 2), generator=generator).double() - 0.5) * torch.tensor(
            [0.8, 0.6]
        )
        points = torch.cat((plane * depth, depth), dim=1) @ frame.pose[:, :3].T + frame.pose[:, 3]
        offset = (points - box.center).abs()
        assert (offset <= box.half * (1 + 1e-9)).all()
        reach = torch.maximum(reach, offset.max(0).values)
    assert reach.max() > 0.9 * box.half  # and not much larger than need be


def test_known_bounds_set_the_near_distance_of_an_object_too():
    box = find_box(ring((1.0, 2.0, 3.0), 4.0, bounds=(3.0, 5.0)), opaque=False)
    torch.testing.assert_close(box.center, torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64))
    assert box.near == pytest.approx(2.7)


def test_the_unit_cube_becomes_the_box():
    box = find_box(ring((1.0, 2.0, 3.0), 4.0), opaque=False)
    for scale in (1.0, 1.5):
        corners = box.to_world(scale) @ torch.tensor([[0.0, 1], [0, 1], [0, 1], [1, 1]]).double()
        half = box.half * scale
        torch.testing.assert_close(corners[:3, 0], box.center - half)
        torch.testing.assert_close(corners[:3, 1], box.center + half)


def scattered(radius, n=2000):
    """Points within a ball about the origin, as many in each shell."""
    generator = torch.Generator().manual_seed(5)
    outward = torch.randn((n, 3), generator=generator, dtype=torch.float64)
    outward /= outward.norm(dim=1, keepdim=True)
    return outward * radius * torch.rand((n, 1), generator=generator, dtype=torch.float64)


def test_an_unbounded_scene_has_a_background_and_its_box_is_round_the_cameras():
    frames = ring((0.0, 0.0, 0.0), 2.0)
    away = max(float(frame.pose[:, 3].norm()) for frame in frames)
    box = find_box(frames, opaque=True)
    assert (box.half, box.background_extent) == (pytest.approx(away), DEFAULT_BACKGROUND_EXTENT)
    around = find_box(frames, True, scattered(9.0))
    assert around.half == pytest.approx(away)
    # 99 % of the points lie within 9 along each axis, and the box reaches 2.2.
    assert around.background_extent == 4


def test_files_say_how_far_the_background_reaches():
    frames = ring((0.0, 0.0, 0.0), 2.0)
    assert find_box(frames, opaque=True, half_extent=1.0).background_extent == 1
    assert find_box(frames, opaque=True, half_extent=10.0).background_extent == 8
    assert find_box(frames, opaque=True, half_extent=1e6).background_extent == 128


def test_a_background_extent_that_is_asked_for_is_taken():
    frames = ring((0.0, 0.0, 0.0), 2.0)
    assert find_box(frames, opaque=True, background_extent=32).background_extent == 32
    assert find_box(frames, opaque=False, background_extent=2).background_extent == 2
    boxed = find_box(frames, True, scattered(6.0), background_extent=1)
    assert boxed.background_extent == 1
    assert boxed.half > find_box(frames, True, scattered(6.0)).half


def test_objects_and_bounded_views_have_no_background():
    assert find_box(ring((0.0, 0.0, 0.0), 2.0), opaque=False).background_extent == 1
    ball = torch.zeros(3, dtype=torch.float64), 1.0
    assert find_box(ring((0.0, 0.0, 0.0), 2.0), True, ball=ball).background_extent == 1
    parallel = [looking((x, 0.0, 0.0), (0.0, 1.0, 0.0), (2.0, 9.0)) for x in (0.0, 0.1, 0.3)]
    assert find_box(parallel, opaque=True).background_extent == 1


@pytest.mark.parametrize(("focus", "radius"), [((0, 0, 0), 1e16), ((1e12, 0, 0), 10.0)])
def test_boxes_without_a_sensible_size_or_place_are_refused(focus, radius):
    frames, ball = ring(focus, radius), (torch.tensor(focus, dtype=torch.float64), radius)
    for hints in ({"ball": ball}, {"given": (*map(float, focus), 2 * radius)}):
        with pytest.raises(
            SceneError, match=r"no scene box: it would have half size.*--scene\.box"
        ):
            find_box(frames, False, **hints)
    with pytest.raises(SceneError, match=r"no scene box: .*--scene\.box"):
        find_box(frames, opaque=False)


EAST_NORTH_UP = torch.tensor([500_000.0, 5_600_000.0, 100.0], dtype=torch.float64)
"""An origin as in UTM coordinates."""


def moved(frames, offset):
    return [
        replace(f, pose=torch.cat((f.pose[:, :3], f.pose[:, 3:] + offset[:, None]), 1))
        for f in frames
    ]


def facing(size, bounds=None):
    """Cameras that look one way, beside each other."""
    return [
        looking((size * x, 0.4 * size * (x % 3), 0.0), (0.0, 0.01 * x, -1.0), bounds)
        for x in range(6)
    ]


@pytest.mark.parametrize("size", [1.0, 10_000.0])
@pytest.mark.parametrize("rule", ["ball", "forward", "object", "unbounded", "boxed", "spacing"])
def test_a_capture_far_from_the_origin_has_the_same_box(rule, size):
    """To float64, in which coordinates of 5,600 km differ by a nanometre."""
    zero = torch.zeros(3, dtype=torch.float64)
    frames = ring((0.0, 0.0, 0.0), 2 * size)

    def box(offset):
        points = size * scattered(6.0) + offset
        if rule == "ball":
            return find_box(moved(frames, offset), True, ball=(offset, size))
        if rule == "forward":
            bounded = facing(size, (2 * size, 9 * size))
            return find_box(moved(bounded, offset), True)
        if rule == "object":
            return find_box(moved(frames, offset), opaque=False)
        if rule == "unbounded":
            return find_box(moved(frames, offset), True, points)
        if rule == "boxed":
            return find_box(moved(frames, offset), True, points, background_extent=1)
        return find_box(moved(facing(size), offset), opaque=True)

    here, there = box(zero), box(EAST_NORTH_UP)
    tolerance = 1e-7
    torch.testing.assert_close(there.center - EAST_NORTH_UP, here.center, atol=tolerance, rtol=0)
    assert there.half == pytest.approx(here.half, abs=tolerance)
    assert there.near == pytest.approx(here.near, abs=tolerance)
    assert there.background_extent == here.background_extent


def test_a_box_and_a_near_distance_that_are_given_win_over_every_rule():
    ball = torch.zeros(3, dtype=torch.float64), 1.0
    frames, given = ring((0.0, 0.0, 0.0), 4.0), (0.5, -1.0, 2.0, 3.0)
    for known in ({}, {"points": scattered(6.0)}, {"ball": ball}):
        box = find_box(frames, True, given=given, **known)
        assert (box.center.tolist(), box.half) == ([0.5, -1.0, 2.0], 1.5)
        assert find_box(frames, True, given=given, near=0.7, **known).near == 0.7
        found, near = find_box(frames, True, **known), find_box(frames, True, near=0.7, **known)
        assert (near.near, near.half, near.background_extent) == (
            0.7,
            found.half,
            found.background_extent,
        )
    assert find_box(frames, False, given=given).background_extent == 1
    assert find_box(frames, True, given=given).background_extent == DEFAULT_BACKGROUND_EXTENT
    assert find_box(frames, True, given=given, background_extent=2).background_extent == 2


def test_the_near_distance_of_a_given_box_follows_from_bounds_or_from_the_cameras():
    cube = (0.0, 0.0, 0.0, 2.0)
    outside = [looking((0.0, 6.0, 0.0), (0, -1, 0)), looking((0.0, -4.0, 0.0), (0, 1, 0))]
    assert find_box(outside, True, given=cube).near == pytest.approx(0.2 * 3)
    inside = [*outside, looking((0.5, 0.0, 0.0), (1, 0, 0))]
    assert find_box(inside, True, given=cube).near == pytest.approx(0.02)
    bounded = ring((0.0, 0.0, 0.0), 4.0, bounds=(3.0, 5.0))
    assert find_box(bounded, True, given=cube).near == pytest.approx(0.9 * 3.0)


def test_a_near_distance_beyond_all_that_is_sampled_is_refused():
    with pytest.raises(SceneError, match=r"nothing would be sampled.*--scene\.near"):
        find_box(ring((0.0, 0.0, 0.0), 4.0), opaque=False, near=20.0)


def test_a_camera_in_the_focus_leaves_a_near_distance():
    frames = [*ring((0.0, 0.0, 0.0), 4.0), looking((0.0, 0.0, 0.0), (1, 0, 0))]
    for opaque in (False, True):
        assert 0 < find_box(frames, opaque).near < 0.01
    ball = frames[-1].pose[:, 3], 1.0
    assert 0 < find_box(frames, True, ball=ball).near < 0.01


@pytest.mark.parametrize("frames", [1, 5])
def test_cameras_at_one_place_need_a_box_and_take_a_given_one(frames):
    for place in ((0.0, 0.0, 0.0), (500_000.3, 5_600_000.1, 100.7)):
        directions = [(math.cos(i), math.sin(i), 0.1) for i in range(frames)]
        still = [looking(place, direction) for direction in directions]
        for i, frame in enumerate(still):  # rounding errors are no distances
            frame.pose[:, 3] *= 1 + 1e-15 * i
        with pytest.raises(SceneError, match=r"one (place|camera).*--scene\.box X Y Z SIDE"):
            find_box(still, opaque=True)
        box = find_box(still, opaque=True, given=(*place, 4.0))
        assert (box.half, box.near) == (2.0, pytest.approx(0.04))
        assert box.background_extent == DEFAULT_BACKGROUND_EXTENT


def test_a_camera_far_off_all_others_is_named():
    stray = replace(looking((0.0, 5000.0, 0.0), (0, -1, 0)), image=Path("stray.jpg"))
    frames = [*ring((0.0, 0.0, 0.0), 4.0), *ring((0.0, 0.0, 0.1), 4.1), stray]
    with pytest.warns(SceneWarning, match=r"stray\.jpg: its camera is .* times as far"):
        find_box(frames, opaque=True)
    find_box(frames, opaque=True, given=(0.0, 0.0, 0.0, 4.0))  # without a warning


@pytest.mark.parametrize("others", [3, 6, 9])
def test_a_camera_far_off_a_few_others_is_named(others):
    stray = replace(looking((0.0, 5000.0, 0.0), (0, -1, 0)), image=Path("stray.jpg"))
    with pytest.warns(SceneWarning, match=r"stray\.jpg: its camera is .* times as far"):
        find_box([*ring((0.0, 0.0, 0.0), 4.0)[:others], stray], opaque=True)


def test_of_two_cameras_none_is_far_off():
    pair = [looking((0.0, 0.01, 0.0), (0, 0, 1)), looking((1.0, 0.0, 0.0), (0, 0, 1))]
    find_box(pair, opaque=True)  # without a warning
