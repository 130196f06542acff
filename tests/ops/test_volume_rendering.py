"""Laws of volume rendering; closed forms from the definition in the module's docstring."""

import pytest
import torch
from hypothesis import given

from orefield.ops.backend import using
from orefield.ops.volume_rendering import (
    MAX_LOG_DENSITY,
    Rendering,
    volume_rendering,
    volume_rendering_backward,
    volume_rendering_forward,
)
from strategies import Packed, corners, packed, packed_rays, seeded
from twins import COMPILED, FEW_TWINS, MANY, TWINS, run

EPS = torch.finfo(torch.float32).eps
BLOCK = 64  # the Triton twin's


def grads_like(rendering: Rendering, seed: int = 7) -> list[torch.Tensor]:
    return [torch.randn(p.shape, generator=seeded(seed)).to(p) for p in rendering]


def through_definition(case: Packed, grads: list[torch.Tensor]) -> torch.Tensor:
    raw = case.raw.clone().requires_grad_()
    with using("definition"):
        rendering = volume_rendering(raw, *case[1:])
    # No rays: torch.autograd.grad refuses outputs that do not depend on raw.
    total = sum((p * g).sum() for p, g in zip(rendering, grads, strict=True)) + 0 * raw[:, 1:].sum()
    return torch.autograd.grad(total, raw)[0]


@pytest.mark.parametrize("twin", TWINS)
@given(case=packed_rays())
@corners
def test_float32_is_as_good_as_float64(twin: str, case: Packed) -> None:
    with using("definition"):
        exact = volume_rendering(*case.double())
    rendering = run(twin, volume_rendering, *case)
    # Exponents sum up to 40 terms, hence err by 40 eps x, of which exp(-x) leaves 40 eps x exp(-x);
    # weights sum to one, and t lies below 10.
    for got, want, largest in zip(rendering, exact, (1, 1, 10, 1), strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=40 * EPS * largest)


@given(case=packed_rays())
@corners
def test_numba_equals_definition_in_float64(case: Packed) -> None:
    case = case.double()
    want, want_tape = run("definition", volume_rendering_forward, *case)
    got, tape = run("cpu", volume_rendering_forward, *case)
    for one, other in zip((*got, *tape), (*want, *want_tape), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("twin", TWINS)
@given(case=packed_rays())
@corners
def test_closed_form_backward_equals_autograd(twin: str, case: Packed) -> None:
    """For all outputs together, and for each alone, without a graph."""
    case = case.double()
    rendering, tape = run(twin, volume_rendering_forward, *case)
    every = grads_like(rendering)
    for output in ("all", 0, 1, 2, 3) if twin in FEW_TWINS else ("all",):
        grads = [g if output in ("all", i) else 0 * g for i, g in enumerate(every)]
        got = run(twin, volume_rendering_backward, tape, case.raw, case.t, case.spans, *grads)
        torch.testing.assert_close(got, through_definition(case, grads), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("counts", [[], [0, 7, 0], [40, 65]])
def test_left_out_gradients_are_zero_ones(twin: str, counts: list[int]) -> None:
    case = packed(counts)
    rendering, tape = volume_rendering_forward(*case)
    color, opacity, depth, weights = grads_like(rendering)
    inputs = tape, case.raw, case.t, case.spans, color, opacity
    zeros = torch.zeros_like(depth), torch.zeros_like(weights)
    got = run(twin, volume_rendering_backward, *inputs)
    assert torch.equal(got, run(twin, volume_rendering_backward, *inputs, *zeros))


# Interpreted, the Triton twin's tensors lie on the CPU, and autograd would find the CPU's backward.
@pytest.mark.parametrize("twin", ["cpu", "gpu"] if COMPILED else ["cpu"])
@given(case=packed_rays())
@corners
def test_float32_backward_is_as_good_as_float64(twin: str, case: Packed) -> None:
    raw = case.raw.clone().requires_grad_()
    rendering = run(twin, volume_rendering, raw, *case[1:])
    grads = grads_like(rendering)
    torch.autograd.backward(rendering, grads)
    want = through_definition(case.double(), [g.double() for g in grads])
    # dL/ds is x T v less the sum of w v over up to 40 samples behind, with |v| < 40, x T < 1.
    torch.testing.assert_close(raw.grad.double(), want, rtol=0, atol=40 * 40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("opaque_first", [False, True])
def test_rays_about_the_block_and_many_of_them(twin: str, opaque_first: bool) -> None:
    about = [BLOCK - 1, BLOCK, 0, BLOCK + 1, 2 * BLOCK, 2 * BLOCK + 1, 0]
    case = packed(about * max(MANY // sum(about), 1), "mixed", opaque_first)
    exact, exact_tape = run("definition", volume_rendering_forward, *case.double())
    rendering, tape = run(twin, volume_rendering_forward, *case)
    # As above, with 129 terms, t below 20 and so |v| below 80.
    for got, want, largest in zip(rendering, exact, (1, 1, 20, 1), strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=129 * EPS * largest)
    for got, want in zip(tape[1:], exact_tape[1:], strict=True):
        torch.testing.assert_close(got.double(), want, rtol=0, atol=129 * EPS)
    grads = grads_like(rendering)
    got = run(twin, volume_rendering_backward, tape, case.raw, case.t, case.spans, *grads)
    inputs = exact_tape, case.raw.double(), case.t.double(), case.spans
    want = run("definition", volume_rendering_backward, *inputs, *(g.double() for g in grads))
    torch.testing.assert_close(got.double(), want, rtol=0, atol=129 * 80 * EPS)


# The Triton twin has the same gradient by the laws above; a check by differences takes it minutes.
@pytest.mark.parametrize("twin", ["cpu", "definition"])
def test_gradcheck(twin: str) -> None:
    case = packed([0, 4, 1, 0, 3], "thin").double()
    case.raw[2, 0], case.dt[2] = MAX_LOG_DENSITY + 1, 1e-7  # clamped: no slope
    raw = case.raw.requires_grad_()
    with using(twin):
        assert torch.autograd.gradcheck(lambda raw: tuple(volume_rendering(raw, *case[1:])), raw)


@pytest.mark.parametrize("twin", FEW_TWINS)
@given(case=packed_rays())
@corners
def test_weights_and_remaining_transmittance_sum_to_one(twin: str, case: Packed) -> None:
    rendering, tape = run(twin, volume_rendering_forward, *case)
    assert (rendering.weights >= 0).all()
    for r, (first, count) in enumerate(case.spans.tolist()):
        remaining = tape.transmittance_after[first + count - 1] if count else torch.tensor(1.0)
        total = rendering.weights[first : first + count].sum() + remaining
        assert float(total) == pytest.approx(1, abs=40 * EPS)
        assert float(rendering.opacity[r]) == pytest.approx(1 - float(remaining), abs=40 * EPS)


@pytest.mark.parametrize("twin", TWINS)
def test_a_homogeneous_medium_absorbs_exponentially(twin: str) -> None:
    sigma, length, n = 0.7, 3.0, 50
    dt = torch.full((n,), length / n)
    raw = torch.zeros(n, 4)
    raw[:, 0], raw[:, 1:] = torch.tensor(sigma).log(), torch.tensor([0.0, 1.0, -1.0])
    spans = torch.tensor([[0, n]], dtype=torch.int32)
    rendering = run(twin, volume_rendering, raw, dt.cumsum(0) - dt / 2, dt, spans)
    opacity = -torch.expm1(torch.tensor(-sigma * length))
    torch.testing.assert_close(rendering.opacity[0], opacity, rtol=0, atol=1e-6)
    torch.testing.assert_close(
        rendering.color[0], opacity * raw[0, 1:].sigmoid(), rtol=0, atol=1e-6
    )
    # Mean distance of the first hit, integral of t sigma exp(-sigma t) along the ray, by midpoints.
    decay = torch.exp(torch.tensor(-sigma * length))
    far = 1 / sigma - decay * (length + 1 / sigma)
    torch.testing.assert_close(rendering.depth[0], far, rtol=0, atol=(length / n) ** 2)


@pytest.mark.parametrize("twin", TWINS)
def test_an_opaque_slab_shows_its_front(twin: str) -> None:
    raw = torch.tensor([[-torch.inf, 9, 9, 9], [14, -1, 0, 1], [14, 5, 5, 5], [14, 7, 7, 7]])
    t, dt = torch.tensor([0.2, 0.6, 0.9, 1.3]), torch.full((4,), 0.3)
    rendering = run(
        twin, volume_rendering, raw.float(), t, dt, torch.tensor([[0, 4]], dtype=torch.int32)
    )
    assert rendering.weights.tolist() == [0, 1, 0, 0]
    assert float(rendering.depth) == pytest.approx(0.6)
    torch.testing.assert_close(rendering.color[0], raw[1, 1:].sigmoid())


@pytest.mark.parametrize("twin", TWINS)
@pytest.mark.parametrize("output", range(4))
def test_a_ray_with_a_nan_shows_it(twin: str, output: int) -> None:
    """Such a step is skipped, if anybody can see it."""
    case = packed([3, 2], "thin")
    case.raw[1, output] = torch.nan
    rendering = run(twin, volume_rendering, *case)
    assert rendering.color.isnan().any(1).tolist() == [True, False]


@pytest.mark.parametrize("twin", TWINS)
def test_rays_do_not_see_each_other(twin: str) -> None:
    case = packed([3, 0, 5, 1], "thin")
    together = run(twin, volume_rendering, *case)
    for r, (first, count) in enumerate(case.spans.tolist()):
        part = slice(first, first + count)
        span = torch.tensor([[0, count]], dtype=torch.int32)
        alone = run(twin, volume_rendering, case.raw[part], case.t[part], case.dt[part], span)
        assert torch.equal(alone.color[0], together.color[r])
        assert torch.equal(alone.weights, together.weights[part])


@pytest.mark.parametrize(
    ("samples", "spans"),
    [
        (3, [[0, 2]]),  # one left over
        (3, [[0, 4]]),  # one too many
        (3, [[0, 2], [1, 2]]),  # overlap
        (3, [[0, 1], [2, 1]]),  # gap
        (3, [[0, 5], [5, -2]]),  # backwards
        (3, []),  # no ray for three samples
    ],
)
def test_spans_that_do_not_tile_the_samples_are_refused(
    samples: int, spans: list[list[int]]
) -> None:
    rows = torch.tensor(spans, dtype=torch.int32).reshape(-1, 2)
    with pytest.raises(ValueError, match="spans must tile the 3 samples"):
        volume_rendering(torch.zeros(samples, 4), torch.ones(samples), torch.ones(samples), rows)
