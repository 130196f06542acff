"""Laws of the Instant-NGP field."""

import pytest
import torch

from orefield.config import FieldConfig
from orefield.fields import make_field
from orefield.fields.ngp import NgpField
from orefield.ops.volume_rendering import MAX_LOG_DENSITY
from strategies import seeded

SMALL = {
    "levels": 4,
    "log2_hashmap_size": 9,
    "base_resolution": 4,
    "max_resolution": 40,
    "width": 16,
    "init_density": 2.5,
}


def field(precision: str = "fp32", seed: int = 0) -> NgpField:
    """A small field whose table is no longer near zero, so that positions matter."""
    made = make_field(FieldConfig(precision=precision, **SMALL), seed)
    assert isinstance(made, NgpField)
    made.table.data.mul_(1e4)
    return made


def batch(rays: int = 5, each: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Positions, unit directions and the ray of each sample."""
    generator = seeded(1)
    directions = torch.randn(rays, 3, generator=generator)
    directions /= directions.norm(dim=1, keepdim=True)
    ray = torch.arange(rays, dtype=torch.int32).repeat_interleave(each)
    return torch.rand(3, rays * each, generator=generator), directions, ray


def outputs(net: NgpField, part: slice = slice(None)) -> torch.Tensor:
    positions, directions, ray = batch()
    return net(positions[:, part], net.encode_directions(directions), ray[part])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_density_is_the_first_output_exponentiated(precision):
    net = field(precision)
    with torch.no_grad():
        raw, density = outputs(net), net.density(batch()[0])
    assert raw.dtype == density.dtype == torch.float32
    rounding = 1e-5 if precision == "fp32" else 0.01  # density's kernel has products in fp32
    torch.testing.assert_close(density, raw[:, 0].exp(), rtol=rounding, atol=0)
    assert not density.requires_grad


def test_a_field_starts_with_the_density_of_its_configuration():
    """So rays pass through the cube, and every sample gets a gradient."""
    net = make_field(FieldConfig(log2_hashmap_size=14, max_resolution=512, init_density=3.0), 0)
    torch.testing.assert_close(net.density(batch()[0]), torch.full((100,), 3.0), rtol=1e-3, atol=0)


def test_density_is_the_same_from_everywhere_and_color_is_not():
    net = field()
    positions, directions, ray = batch()
    one, other = (net(positions, net.encode_directions(d), ray) for d in (directions, -directions))
    assert torch.equal(one[:, 0], other[:, 0])
    assert ((one - other)[:, 1:].abs() > 1e-4).any(1).all()


def test_each_sample_is_seen_along_its_own_ray():
    net = field()
    positions, directions, ray = batch()
    encoded, order = net.encode_directions(directions), torch.tensor([3, 0, 4, 1, 2])
    moved = net(positions, encoded[order], order.argsort().int()[ray.long()])
    assert torch.equal(moved, net(positions, encoded, ray))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_sample_does_not_depend_on_its_batch(precision):
    """Hence the second forward of mining, over the kept samples, repeats the first."""
    net = field(precision)
    whole, part = outputs(net), outputs(net, slice(13, 57))
    torch.testing.assert_close(part, whole[13:57], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("samples", [0, 1, 100, 4096, 4097])
def test_accumulate_grad_is_what_autograd_does(precision, samples):
    """With features at hand or without; around the size of a block."""
    generator = seeded(3)
    positions = torch.rand(3, samples, generator=generator)
    ray = torch.randint(0, 5, (samples,), generator=generator).int().sort().values
    grad = torch.randn(samples, 4, generator=generator)
    found = []
    for way in ("autograd", "by hand", "with features"):
        net = field(precision)
        encoded = net.encode_directions(batch()[1])
        for parameter in net.parameters():
            parameter.grad = torch.ones_like(parameter)
        if way == "autograd":
            net(positions, encoded, ray).backward(grad)
        else:
            features = net.encode_positions(positions).detach() if way == "with features" else None
            net.accumulate_grad(positions, encoded, ray, grad, features)
        found.append({name: p.grad for name, p in net.named_parameters()})
    # In bf16 some rectifiers are on in one way alone.
    rounding = 0.1 if precision == "bf16" else 1e-5
    for name, expected in found[0].items():
        for other in found[1:]:
            assert (other[name] - expected).norm() <= rounding * (expected - 1).norm(), name


def test_bf16_agrees_with_fp32_to_its_precision():
    exact, rough = outputs(field("fp32")), outputs(field("bf16"))
    # Five roundings to 8 bits on the way, of values that the layers keep about as large.
    assert (rough - exact).abs().max() < 5 * 2**-8 * exact.abs().max()
    assert not torch.equal(rough, exact)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_every_parameter_learns_in_fp32(precision):
    net = field(precision)
    outputs(net).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32
        assert (parameter.grad != 0).any(), name


def test_gradients_are_the_slopes():
    """Along each parameter's own gradient, by central differences."""
    net = field()
    outputs(net).square().mean().backward()
    for parameter in net.parameters():
        direction = parameter.grad / parameter.grad.norm()
        values = []
        for step in (-1e-3, 1e-3):
            parameter.data.add_(direction, alpha=step)
            values.append(float(outputs(net).detach().double().square().mean()))
            parameter.data.sub_(direction, alpha=step)
        slope = (values[1] - values[0]) / 2e-3
        assert slope == pytest.approx(float(parameter.grad.norm()), rel=2e-2)


def test_no_samples_give_no_outputs():
    net = field()
    raw = outputs(net, slice(0, 0))
    assert raw.shape == (0, 4)
    raw.sum().backward()
    assert net.density(torch.zeros(3, 0)).shape == (0,)


def test_density_stays_finite():
    net = field()
    net.density2.data[0] = 1e30
    largest = torch.tensor(MAX_LOG_DENSITY).exp()
    density = net.density(batch()[0])
    torch.testing.assert_close(density.max(), largest)
    assert torch.isfinite(density).all()


def test_the_seed_decides_the_parameters():
    one, same, other = (make_field(FieldConfig(**SMALL), seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)
