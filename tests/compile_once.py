"""One compile for all of a test run's processes: each compiles its share of the Numba kernels.

Numba keeps compiled kernels beside their source. Processes that start together on a fresh checkout
would each compile all of them; so they share them out, and wait for each other.
"""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from orefield.ops.compact import compact
from orefield.ops.density_network import DensityNet, density_network
from orefield.ops.density_pass import terminated_density_pass
from orefield.ops.hash_grid import grid_layout, hash_grid, hash_grid_backward
from orefield.ops.march import Grid, clearance, march
from orefield.ops.mlp import Layers, color_mlp, density_mlp, mlp_backward
from orefield.ops.proposal_weights import proposal_weights
from orefield.ops.sample_pdf import sample_pdf
from orefield.ops.sparse_adam import sparse_adam
from orefield.ops.transmittance import transmittance
from orefield.ops.volume_rendering import volume_rendering_backward, volume_rendering_forward
from orefield.types import Rays

_WAIT = 180.0
"""Seconds after which a process stops waiting for the others and compiles what it lacks."""


def compile_share(number: int, processes: int, folder: Path) -> None:
    """Compile every `processes`-th kernel from the `number`-th on; wait for the others' marks."""
    for call in _calls()[number::processes]:
        call()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / str(number)).touch()
    begun = time.monotonic()
    while len(list(folder.iterdir())) < processes and time.monotonic() - begun < _WAIT:
        time.sleep(0.1)


def _calls() -> list[Callable[[], object]]:
    """Calls that compile what training uses, by how long that takes, each with its opposite."""
    layout = grid_layout(2, 8, 4, 8, 4)
    table, points = torch.zeros(layout.shape), torch.rand(3, 4)
    rays = Rays(torch.zeros(2, 3), torch.eye(3)[:2])
    grid = Grid(clearance(torch.ones(1, 4, 4, 4, dtype=torch.bool)), 0.5)
    net = DensityNet(table, layout, torch.zeros(16, layout.features), torch.zeros(16, 16))

    def learn(dtype: torch.dtype) -> None:
        shapes = ((64, 8), (16, 64), (64, 32), (64, 64), (3, 64))
        layers = Layers(*(torch.zeros(shape) for shape in shapes))
        ray, encoded, features = torch.zeros(4).int(), torch.zeros(1, 16), torch.zeros(8, 4)
        geometry = density_mlp(features, layers, 0.0, dtype)
        color_mlp(geometry, encoded, ray, layers, dtype)
        mlp_backward(features, encoded, ray, torch.zeros(4, 4), layers, 0.0, dtype)

    def encode(dtype: torch.dtype) -> None:
        grad = torch.zeros(4, layout.features, dtype=dtype).T
        hash_grid(torch.zeros(layout.shape), points, layout, dtype)
        hash_grid_backward(grad, points, layout, torch.zeros(layout.shape))

    def render() -> None:
        spans = torch.tensor([[0, 2], [2, 2]], dtype=torch.int32)
        raw, t, rgb, one = torch.zeros(4, 4), torch.ones(4), torch.zeros(2, 3), torch.zeros(2)
        _, tape = volume_rendering_forward(raw, t, t, spans)
        volume_rendering_backward(tape, raw, t, spans, rgb, one)
        transmittance(raw[:, 0].contiguous(), t, spans)

    def rest() -> None:
        compact(torch.ones(4, dtype=torch.bool), 4)
        moments = (torch.zeros_like(table) for _ in range(3))
        sparse_adam(table.clone(), *moments, torch.ones(2))

    return [
        partial(terminated_density_pass, rays, grid, torch.zeros(2), net, 1e-4),
        partial(encode, torch.bfloat16),
        render,
        partial(encode, torch.float32),
        partial(learn, torch.bfloat16),
        partial(density_network, points, net),
        partial(learn, torch.float32),
        partial(proposal_weights, rays.origins, rays.directions, torch.rand(2, 5), net, True),
        partial(sample_pdf, torch.rand(2, 5), torch.rand(2, 4), 3),
        partial(march, rays, grid),
        rest,
    ]
