"""Laws of the hash-grid field's networks: the twin computes what the definition does."""

import pytest
import torch

from orefield.ops import mlp
from orefield.ops.backend import using
from orefield.ops.mlp import Layers, color_mlp, definition, density_mlp, mlp_backward
from strategies import seeded

EPS = torch.finfo(torch.float32).eps
START = 0.7
BLOCK = 64
"""Samples of a block of the twin."""
SIZES = [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 5, 40 * BLOCK]


class Batch:
    """Layers and inputs, of size 1 or so."""

    def __init__(self, samples: int, width: int = 64, features: int = 32, rays: int = 7) -> None:
        generator = seeded(samples + width)

        def random(*shape: int) -> torch.Tensor:
            return torch.randn(shape, generator=generator)

        shapes = (width, features), (16, width), (width, 32), (width, width), (3, width)
        self.layers = Layers(*(random(*shape) / shape[1] ** 0.5 for shape in shapes))
        self.features, self.encoded = random(features, samples), random(rays, 16)
        self.ray = torch.randint(rays, (samples,), generator=generator).sort().values.int()
        self.grad = random(samples, 4)

    def double(self) -> "Batch":
        self.layers = Layers(*(w.double() for w in self.layers))
        for name in ("features", "encoded", "grad"):
            setattr(self, name, getattr(self, name).double())
        return self

    def raw(self, dtype: torch.dtype | None = None) -> torch.Tensor:
        dtype = dtype or self.layers.color3.dtype
        geometry = density_mlp(self.features, self.layers, START, dtype)
        logits = color_mlp(geometry, self.encoded, self.ray, self.layers, dtype)
        return torch.cat([geometry[:, :1], logits], 1)

    def gradients(self, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
        inputs = self.features, self.encoded, self.ray, self.grad, self.layers, START
        at_layers, at_features = mlp_backward(*inputs, dtype)
        return *at_layers, at_features

    def gradients_by_autograd(self) -> tuple[torch.Tensor, ...]:
        inputs = [x.requires_grad_() for x in (*self.layers, self.features)]
        raw = definition(inputs[-1], self.encoded, self.ray, Layers(*inputs[:-1]), START)
        return torch.autograd.grad(raw, inputs, self.grad)


def assert_close(got: torch.Tensor, want: torch.Tensor, terms: int) -> None:
    """Up to rounding of sums of so many terms, for values of this size."""
    assert got.shape == want.shape
    if want.numel():
        close = terms**0.5 * 8 * EPS * float(want.abs().max())
        torch.testing.assert_close(got, want.float(), rtol=0, atol=close)


@pytest.mark.parametrize("samples", SIZES)
@pytest.mark.parametrize(("width", "features"), [(64, 32), (13, 8), (80, 20)])
def test_twin_agrees_with_the_definition_in_doubles(samples, width, features):
    """Also for widths that are no whole vectors."""
    got, want = Batch(samples, width, features).raw(), Batch(samples, width, features).double()
    assert got.dtype == torch.float32
    assert_close(got, want.raw(), width)


@pytest.mark.parametrize("samples", SIZES)
@pytest.mark.parametrize(("width", "features"), [(64, 32), (13, 8)])
def test_gradients_of_the_twin_are_those_of_autograd_in_doubles(samples, width, features):
    got = Batch(samples, width, features).gradients(torch.float32)
    want = Batch(samples, width, features).double().gradients_by_autograd()
    for one, other in zip(got, want, strict=True):
        assert one.dtype == torch.float32
        assert_close(one, other, max(samples, width))


@pytest.mark.parametrize("samples", [0, 1, 150])
def test_gradients_by_hand_are_those_of_autograd(samples):
    with using("definition"):
        got = Batch(samples).double().gradients(torch.float64)
    for one, other in zip(got, Batch(samples).double().gradients_by_autograd(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("twin", ["cpu", "definition"])
@pytest.mark.parametrize("samples", [BLOCK, 150])
def test_products_in_bf16_are_those_in_fp32_up_to_rounding(twin, samples):
    """Each of five layers rounds by 2^-9; some rectifiers are on with one precision alone."""
    exact, few = Batch(samples).raw(), 0.1
    with using(twin):
        rough = Batch(samples).raw(torch.bfloat16)
        gradients = Batch(samples).gradients(torch.bfloat16)
    assert (rough - exact).abs().max() < 5 * 2**-8 * exact.abs().max()
    for got, want in zip(gradients, Batch(samples).gradients(torch.float32), strict=True):
        assert got.shape == want.shape
        assert (got - want).norm() < few * want.norm()


def test_doubles_are_left_to_the_definition(monkeypatch):
    monkeypatch.setattr(mlp, "pick", lambda *_: pytest.fail("no twin computes in doubles"))
    assert Batch(5).double().raw().dtype == torch.float64


def test_layers_of_zeros_give_the_start_and_gray():
    batch = Batch(100)
    batch.layers = Layers(*(torch.zeros_like(w) for w in batch.layers))
    want = torch.tensor([START, 0, 0, 0]).expand(100, 4)
    assert torch.equal(batch.raw(), want)


def test_a_gradient_that_is_no_number_reaches_its_layers():
    batch = Batch(100)
    batch.grad[99, 2] = torch.nan
    assert all(bool(found.isnan().any()) for found in batch.gradients(torch.float32)[1:])


def test_sums_do_not_depend_on_the_number_of_threads():
    import numba

    threads, batch = numba.get_num_threads(), Batch(3000)
    found = []
    for number in (1, threads):
        numba.set_num_threads(number)
        found.append(batch.gradients(torch.float32))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
