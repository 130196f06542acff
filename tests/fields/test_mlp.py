"""Laws of the original NeRF field."""

import pytest
import torch

from orefield.fields.mlp import MlpField


def make(width: int = 16, precision: str = "fp32", seed: int = 0) -> MlpField:
    return MlpField(width, precision, torch.Generator().manual_seed(seed))


def query(samples: int = 11, rays: int = 3, dtype: torch.dtype = torch.float32):
    generator = torch.Generator().manual_seed(1)
    positions = torch.rand(3, samples, generator=generator, dtype=dtype)
    directions = torch.randn(rays, 3, generator=generator, dtype=dtype)
    ray = torch.arange(samples) % rays
    return positions, torch.nn.functional.normalize(directions, dim=1), ray


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("samples", [0, 1, 11])
def test_outputs_are_float32_of_four_columns(precision, samples):
    field = make(precision=precision)
    positions, directions, ray = query(samples)
    raw = field(positions, field.encode_directions(directions), ray)
    assert raw.shape == (samples, 4)
    assert raw.dtype == torch.float32
    assert {p.dtype for p in field.parameters()} == {torch.float32}


def test_density_is_the_exponential_of_the_first_output_and_has_no_graph():
    field = make()
    positions, directions, ray = query()
    density = field.density(positions)
    torch.testing.assert_close(
        density, field(positions, field.encode_directions(directions), ray)[:, 0].exp()
    )
    assert not density.requires_grad


def test_density_does_not_depend_on_the_direction_but_color_does():
    field = make()
    positions, directions, ray = query()
    one, other = (
        field(positions, field.encode_directions(d), ray) for d in (directions, -directions)
    )
    assert torch.equal(one[:, 0], other[:, 0])
    assert (one[:, 1:] != other[:, 1:]).all()


def test_samples_do_not_see_each_other():
    field = make().double()
    positions, directions, ray = query(dtype=torch.float64)
    raw = field(positions, field.encode_directions(directions), ray)
    part = torch.tensor([8, 2])
    alone = field(positions[:, part], field.encode_directions(directions), ray[part])
    torch.testing.assert_close(alone, raw[part])


def test_bf16_is_close_to_fp32():
    positions, directions, ray = query(200)
    exact, rounded = (
        field(positions, field.encode_directions(directions), ray)
        for field in (make(64), make(64, "bf16"))
    )
    error = (exact - rounded).abs().max() / exact.abs().max()
    assert 0 < error < 10 * 2**-8  # ten layers of relative rounding 2^-8


def test_weights_are_a_function_of_the_generator_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = make()
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    for a, b in zip(first.parameters(), make().parameters(), strict=True):
        assert torch.equal(a, b)
    assert not torch.equal(first.trunk[0].weight, make(seed=1).trunk[0].weight)


def test_gradients_are_right():
    field = make(8).double()
    positions, directions, ray = query(4, dtype=torch.float64)
    encoded = field.encode_directions(directions)
    parameters = tuple(field.parameters())

    def raw(positions, *_):
        return field(positions, encoded, ray)

    # eps well below the shortest wave, 2^-9; then differences of float64 are good to 1e-4.
    assert torch.autograd.gradcheck(
        raw, (positions.requires_grad_(), *parameters), eps=1e-7, atol=1e-4, fast_mode=True
    )


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_it_learns_a_ball_within_a_few_steps(precision):
    field = make(64, precision)
    generator = torch.Generator().manual_seed(2)
    optimizer = torch.optim.Adam(field.parameters(), lr=2e-3)
    losses = []
    for _ in range(60):
        positions = torch.rand(3, 512, generator=generator)
        inside = ((positions - 0.5).norm(dim=0) < 0.3).float()
        ray = torch.zeros(512, dtype=torch.int64)
        raw = field(positions, field.encode_directions(torch.tensor([[0.0, 0.0, 1.0]])), ray)
        loss = (raw.sigmoid() - inside[:, None]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[0] > 0.15
    assert sum(losses[-5:]) / 5 < 0.08


@pytest.mark.parametrize("at_positions", [False, True])
def test_accumulate_grad_is_what_autograd_does(at_positions):
    """With features at hand or without, and the gradient at the positions where it is wanted."""
    positions, directions, ray = query(dtype=torch.float64)
    grad, found = torch.randn(11, 4, dtype=torch.float64), []
    for way in ("autograd", "by hand", "with features"):
        field, x = make().double(), positions.clone().requires_grad_()
        encoded = field.encode_directions(directions)
        for p in field.parameters():
            p.grad = torch.ones_like(p)
        if way == "autograd":
            field(x, encoded, ray).backward(grad)
            at = x.grad
        else:
            features = field.encode_positions(positions) if way == "with features" else None
            at = field.accumulate_grad(positions, encoded, ray, grad, features, at_positions)
        found.append([*(p.grad for p in field.parameters()), *([at] if at_positions else [])])
        assert way == "autograd" or (at is not None) == at_positions
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
