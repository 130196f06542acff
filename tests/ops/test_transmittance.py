"""Laws of visibility: what compositing says of the same samples."""

import pytest
import torch
from hypothesis import given

from orefield.ops.volume_rendering import volume_rendering_forward
from orefield.ops.transmittance import visibility
from strategies import Packed, corners, packed, packed_rays
from twins import MANY, TWINS, run

EPS = torch.finfo(torch.float32).eps
BLOCK = 64  # the Triton twin's


@pytest.mark.parametrize("twin", TWINS)
@given(case=packed_rays())
@corners
def test_float32_is_as_good_as_float64(twin: str, case: Packed) -> None:
    before = torch.rand(len(case.spans))
    exact = case.double()
    inputs = exact.raw[:, 0], exact.dt, case.spans, before.double()
    want = run("definition", visibility, *inputs)
    got = run(twin, visibility, case.raw[:, 0], case.dt, case.spans, before)
    # Exponents sum up to 40 terms, hence err by 40 eps x, of which exp(-x) leaves 40 eps x exp(-x).
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("opaque_first", [False, True])
def test_rays_about_the_block_and_many_of_them(twin: str, opaque_first: bool) -> None:
    about = [BLOCK - 1, BLOCK, 0, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 0]
    case = packed(about * max(MANY // sum(about), 1), "mixed", opaque_first)
    exact = case.double()
    want = run("definition", visibility, exact.raw[:, 0], exact.dt, case.spans)
    got = run(twin, visibility, case.raw[:, 0], case.dt, case.spans)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=129 * EPS)


@pytest.mark.parametrize("twin", TWINS)
@given(case=packed_rays())
@corners
def test_weights_are_those_of_compositing(twin: str, case: Packed) -> None:
    pixels, tape = run(twin, volume_rendering_forward, *case)
    seen = run(twin, visibility, case.raw[:, 0], case.dt, case.spans)
    torch.testing.assert_close(seen.weights, pixels.weights, rtol=0, atol=40 * EPS)
    torch.testing.assert_close(seen.reaching, tape.behind + tape.weights, rtol=0, atol=40 * EPS)
    torch.testing.assert_close(seen.left, 1 - pixels.opacity, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
def test_light_passes_from_piece_to_piece(twin: str) -> None:
    """A ray seen in two pieces, the second with what the first left over, is the ray seen whole."""
    case = packed([7, 0, 40], "fog")
    log, dt, spans = case.raw[:, 0], case.dt, case.spans
    whole = run(twin, visibility, log, dt, spans)
    cut = torch.tensor([[0, 3], [3, 0], [3, 20]], dtype=torch.int32)
    first = torch.cat([torch.arange(3), torch.arange(7, 27)])
    second = torch.cat([torch.arange(3, 7), torch.arange(27, 47)])
    rest = torch.tensor([[0, 4], [4, 0], [4, 20]], dtype=torch.int32)
    near = run(twin, visibility, log[first], dt[first], cut)
    far = run(twin, visibility, log[second], dt[second], rest, near.left)
    torch.testing.assert_close(near.reaching, whole.reaching[first], rtol=0, atol=40 * EPS)
    torch.testing.assert_close(far.reaching, whole.reaching[second], rtol=0, atol=40 * EPS)
    torch.testing.assert_close(far.left, whole.left, rtol=0, atol=40 * EPS)
