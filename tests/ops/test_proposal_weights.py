"""Laws of the weights that a proposal network expects along rays."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from orefield.ops.density_network import DensityNet
from orefield.ops.hash_grid import grid_layout
from orefield.ops.proposal_weights import definition, distance, proposal_weights
from strategies import SEEDS, seeded
from twins import run


def net(seed: int, log_density: float = 0.0) -> DensityNet:
    layout, generator = grid_layout(3, 8, 4, 40, 4), seeded(seed)
    table = torch.randn(layout.shape, generator=generator)
    hidden = 0.5 * torch.randn(16, layout.features, generator=generator)
    return DensityNet(table, layout, hidden, torch.randn(1, 16, generator=generator), log_density)


def lines(rays: int, bins: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Origins, directions and edges, some beyond one box."""
    generator = seeded(seed)
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, generator=generator))
    edges = (0.05 + 0.9 * torch.rand(rays, bins + 1, generator=generator)).sort(1)[0]
    return torch.rand(rays, 3, generator=generator), directions, edges


@pytest.mark.parametrize("contracted", [True, False])
@given(
    rays=st.sampled_from([0, 1, 7, 300]),
    bins=st.sampled_from([1, 2, 33, 64]),
    seed=SEEDS,
    log_density=st.sampled_from([-8.0, 0.0, 8.0]),
)
def test_twin_equals_definition(rays, bins, seed, log_density, contracted):
    network, given_lines = net(seed, log_density), lines(rays, bins, seed)
    want = definition(*given_lines, network, contracted)
    got = run("cpu", proposal_weights, *given_lines, network, contracted)
    assert got.shape == (rays, bins)
    # An optical depth errs by eps for each of its bins, and a weight is at most 1.
    torch.testing.assert_close(got, want, rtol=2e-3, atol=1e-4)


def test_a_ray_has_the_same_weights_among_others_and_alone():
    network, (origins, directions, edges) = net(3), lines(700, 17, 3)
    together = run("cpu", proposal_weights, origins, directions, edges, network, True)
    some = slice(400, 403)
    alone = run(
        "cpu", proposal_weights, origins[some], directions[some], edges[some], network, True
    )
    assert torch.equal(together[some], alone)


def test_weights_of_a_constant_density_are_those_of_its_formula():
    network, (origins, directions, edges) = net(0), lines(9, 12, 0)
    constant = network._replace(out=torch.zeros(1, 16), start=0.5)
    got = run("cpu", proposal_weights, origins, directions, edges, constant, True)
    passed = torch.exp(torch.tensor(0.5)) * (distance(edges) - distance(edges)[:, :1])
    want = torch.exp(-passed[:, :-1]) - torch.exp(-passed[:, 1:])
    torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-6)


def test_contradicting_shapes_are_refused():
    network = net(0)
    with pytest.raises(ValueError, match="table and hidden must be"):
        proposal_weights(*lines(2, 3, 0), network._replace(table=network.table[1:]), False)
