"""Compiles what the Triton twins launch, for GPUs that need not be there.

Run by test_compiles.py in a process of its own: the tests' process has the kernels interpreted.
Prints for each kernel and GPU how many loads and atomic additions move a whole row of a table.
"""

import re
from functools import partial

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from orefield.ops.gpu import (
    compact,
    hash_grid,
    hash_grid_positions,
    march,
    sparse_adam,
    transmittance,
    volume_rendering,
)
from orefield.ops.hash_grid import grid_layout
from orefield.ops.march import Grid
from orefield.types import Rays

TARGETS = [GPUTarget("cuda", 90, 32), GPUTarget("hip", "gfx942", 64)]


class Elsewhere:
    """A driver for a GPU of this kind; nothing may run on it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def get_current_target(self) -> GPUTarget:
        return TARGETS[self.number]

    def get_current_device(self) -> int:
        return self.number

    def get_current_stream(self, device: int) -> int:
        return 0


def compiled(kernel: JITFunction, grid: tuple[int, ...], *arguments: object, **options) -> None:
    """In place of a launch."""
    done = kernel.warmup(*arguments, grid=grid, **options)
    row = re.findall(r"(?:ld|red|atom)\.global\.\S*v[24]\.\w+", done.asm.get("ptx", ""))
    name = f"{kernel.fn.__module__.split('.')[-1]}.{kernel.fn.__name__}"
    print(name, driver.active.get_current_target().arch, len(row))  # noqa: T201


def launch_everything(samples: int, rays: int) -> None:
    raw, t, spans = torch.zeros(samples, 4), torch.zeros(samples), torch.zeros(rays, 2).int()
    three, one = torch.zeros(rays, 3), torch.zeros(rays)
    _, tape = volume_rendering.forward(raw, t, t, spans, 15.0)
    volume_rendering.backward(tape, raw, t, spans, 15.0, three, one, one, t)
    volume_rendering.backward(tape, raw, t, spans, 15.0, three, one, None, None)
    transmittance.transmittance(t, t, spans, one, 15.0)
    for width in (2, 4):
        layout = grid_layout(4, 9, 4, 60, width)
        table, points = torch.zeros(layout.shape), torch.zeros(3, samples)
        hash_grid.forward(table, points, layout, torch.bfloat16)
        hash_grid.forward(table.half(), points, layout, torch.float32)
        features = torch.zeros(samples, layout.features).bfloat16()
        hash_grid.backward(features.T, points, layout, table)
        hash_grid_positions.hash_grid_positions_backward(features.T, table, points, layout)
        constants = torch.ones(2), 0.9, 0.99, 1e-15
        sparse_adam.sparse_adam(table, table, table, table, None, *constants)
        sparse_adam.sparse_adam(table, table, table, table, table.half(), *constants)
    compact.compact(t > 0, samples)
    bundle = Rays(three, three)
    for levels in (1, 3):
        grid = Grid(torch.zeros(levels, 4, 4, 4).byte(), 0.1, 0.0, 0.1)
        march.march(bundle, one, one, grid, one, spans[:, 0], 7)
        march.march_fixed(bundle, one, one, grid, one, samples)


def main() -> None:
    JITFunction.__getitem__ = lambda kernel, grid: partial(compiled, kernel, grid)
    for number in range(len(TARGETS)):
        driver.set_active(Elsewhere(number))
        launch_everything(40, 3)
        if number == 0:
            launch_everything(1, 1)


if __name__ == "__main__":
    assert not triton.knobs.runtime.interpret
    main()
