"""Laws of transmittance: what volume rendering says of the same samples."""

import inspect

import pytest
import torch
from hypothesis import given

from orefield.ops.transmittance import transmittance
from orefield.ops.volume_rendering import volume_rendering_forward
from strategies import Packed, corners, packed, packed_rays
from twins import FEW_TWINS, MANY, TWINS, run

EPS = torch.finfo(torch.float32).eps
BLOCK = 64  # the Triton twin's


@pytest.mark.parametrize("twin", TWINS)
@given(case=packed_rays())
@corners
def test_float32_is_as_good_as_float64(twin: str, case: Packed) -> None:
    initial = torch.rand(len(case.spans))
    exact = case.double()
    inputs = exact.raw[:, 0], exact.dt, case.spans, initial.double()
    want = run("definition", transmittance, *inputs)
    got = run(twin, transmittance, case.raw[:, 0], case.dt, case.spans, initial)
    # Exponents sum up to 40 terms, hence err by 40 eps x, of which exp(-x) leaves 40 eps x exp(-x).
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("opaque_first", [False, True])
def test_rays_about_the_block_and_many_of_them(twin: str, opaque_first: bool) -> None:
    about = [BLOCK - 1, BLOCK, 0, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 0]
    case = packed(about * max(MANY // sum(about), 1), "mixed", opaque_first)
    exact = case.double()
    want = run("definition", transmittance, exact.raw[:, 0], exact.dt, case.spans)
    got = run(twin, transmittance, case.raw[:, 0], case.dt, case.spans)
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one.double(), other, rtol=0, atol=129 * EPS)


@pytest.mark.parametrize("twin", FEW_TWINS)
@given(case=packed_rays())
@corners
def test_weights_are_those_of_volume_rendering(twin: str, case: Packed) -> None:
    rendering, tape = run(twin, volume_rendering_forward, *case)
    along = run(twin, transmittance, case.raw[:, 0], case.dt, case.spans)
    torch.testing.assert_close(along.weights, rendering.weights, rtol=0, atol=40 * EPS)
    torch.testing.assert_close(
        along.before, tape.transmittance_after + tape.weights, rtol=0, atol=40 * EPS
    )
    torch.testing.assert_close(along.after, 1 - rendering.opacity, rtol=0, atol=40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
def test_transmittance_passes_from_chunk_to_chunk(twin: str) -> None:
    """A ray in two chunks, the second from where the first ended, is the whole ray."""
    case = packed([7, 0, 40], "thin")
    log, dt, spans = case.raw[:, 0], case.dt, case.spans
    whole = run(twin, transmittance, log, dt, spans)
    cut = torch.tensor([[0, 3], [3, 0], [3, 20]], dtype=torch.int32)
    first = torch.cat([torch.arange(3), torch.arange(7, 27)])
    second = torch.cat([torch.arange(3, 7), torch.arange(27, 47)])
    rest = torch.tensor([[0, 4], [4, 0], [4, 20]], dtype=torch.int32)
    near = run(twin, transmittance, log[first], dt[first], cut)
    far = run(twin, transmittance, log[second], dt[second], rest, near.after)
    torch.testing.assert_close(near.before, whole.before[first], rtol=0, atol=40 * EPS)
    torch.testing.assert_close(far.before, whole.before[second], rtol=0, atol=40 * EPS)
    torch.testing.assert_close(far.after, whole.after, rtol=0, atol=40 * EPS)


def test_inputs_that_do_not_fit_together_are_refused() -> None:
    unchecked = inspect.unwrap(transmittance)  # tests check shapes before it is called
    spans = torch.tensor([[0, 4]], dtype=torch.int32)
    for log, dt in ((torch.zeros(4), torch.ones(3)), (torch.zeros(2, 2), torch.ones(2, 2))):
        with pytest.raises(ValueError, match=r"must be \[samples\]"):
            unchecked(log, dt, spans)
