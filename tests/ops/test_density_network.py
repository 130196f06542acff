"""Laws of a density network's op: the twin has the definition's numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.density_network import DensityNet, definition, density_network
from orefield.ops.hash_grid import grid_layout
from strategies import SEEDS, positions, seeded
from twins import run


def net(seed: int, width: int = 16, outputs: int = 16, features: int = 4) -> DensityNet:
    layout, generator = grid_layout(3, 8, 4, 40, features), seeded(seed)

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    hidden, out = 0.3 * random(width, layout.features), 0.3 * random(outputs, width)
    return DensityNet(random(*layout.shape), layout, hidden, out, start=0.7)


@given(
    points=positions(),
    seed=SEEDS,
    width=st.sampled_from([3, 16, 64]),
    outputs=st.sampled_from([1, 4, 16]),
    features=st.sampled_from([2, 4]),
)
def test_twin_equals_definition(points, seed, width, outputs, features):
    """Also for widths and outputs that do not come in fours."""
    network = net(seed, width, outputs, features)
    want = definition(points, network)
    got = run("cpu", density_network, points, network)
    assert got.shape == (points.shape[1], outputs)
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-4)


def test_more_samples_than_a_task_has():
    points, network = torch.rand(3, 10_001, generator=seeded(1)), net(2)
    got = run("cpu", density_network, points, network)
    torch.testing.assert_close(got, definition(points, network), rtol=1e-4, atol=1e-4)
    assert torch.equal(got[5000:5003], run("cpu", density_network, points[:, 5000:5003], network))


def test_without_weights_only_the_start_is_left():
    network = net(0)
    zero = network._replace(out=torch.zeros_like(network.out))
    got = run("cpu", density_network, torch.rand(3, 5), zero)
    assert torch.equal(got, torch.nn.functional.pad(torch.full((5, 1), 0.7), (0, 15)))


def test_contradicting_shapes_are_refused():
    network = net(0)
    short = network._replace(table=network.table[1:])
    with pytest.raises(ValueError, match=r"table and hidden must be \["):
        density_network(torch.rand(3, 5), short)
    narrow = network._replace(hidden=network.hidden[:, 1:])
    with pytest.raises(ValueError, match=r"and \[width, 12\] for this layout, got"):
        density_network(torch.rand(3, 5), narrow)
