"""Cases that hypothesis draws for the laws, and the corners that every law must meet."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from hypothesis import example
from hypothesis import strategies as st

from orefield.types import Rays

SEEDS = st.integers(0, 2**20)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Packed(NamedTuple):
    """What `volume_rendering` takes: rays of so many samples, end to end."""

    raw: torch.Tensor
    t: torch.Tensor
    dt: torch.Tensor
    spans: torch.Tensor

    def double(self) -> "Packed":
        return Packed(self.raw.double(), self.t.double(), self.dt.double(), self.spans)


# Log densities: zero, next to zero, a thin medium, a surface, at and above the largest allowed.
DENSITIES = {
    "empty": [-torch.inf],
    "traces": [-40.0, -20.0],
    "thin": [-1.0, 0.0, 1.0],
    "mixed": [-torch.inf, -20.0, 0.0, 2.0, 4.0, 9.0],
    "extreme": [-torch.inf, -1.0, 0.0, 0.3, 1.0, 14.9, 15.0, 15.1, 40.0],
}
# No rays; no samples; empty rays first, in the middle and last; rays of one sample.
CORNERS = ([], [0, 0], [0, 3, 0, 1, 0], [1], [1, 1, 1])


def packed(
    counts: list[int], density: str = "mixed", opaque_first: bool = False, seed: int = 0
) -> Packed:
    """Rays with so many samples each; opaque ones end in their first sample."""
    generator, spans = seeded(seed), torch.zeros(len(counts), 2, dtype=torch.int32)
    spans[:, 1] = torch.tensor(counts)
    spans[:, 0] = spans[:, 1].cumsum(0) - spans[:, 1]
    n = sum(counts)
    raw = 3 * torch.randn(n, 4, generator=generator)
    levels = torch.tensor(DENSITIES[density])
    raw[:, 0] = levels[torch.randint(len(levels), (n,), generator=generator)]
    if opaque_first:
        raw[spans[spans[:, 1] > 0, 0].long(), 0] = 12.0
    dt = 0.01 + 0.2 * torch.rand(n, generator=generator)
    ends = [dt[first : first + count].cumsum(0) for first, count in spans.tolist()]
    t = 0.5 + torch.cat(ends) - dt / 2 if ends else dt
    return Packed(raw, t, dt, spans)


@st.composite
def packed_rays(draw: st.DrawFn, density: tuple[str, ...] = tuple(DENSITIES)) -> Packed:
    counts = draw(st.lists(st.sampled_from([0, 1, 2, 7, 40]), max_size=8))
    return packed(counts, draw(st.sampled_from(density)), draw(st.booleans()), draw(SEEDS))


def corners(test: Callable) -> Callable:
    """Put a law on packed rays to every corner too."""
    for counts in CORNERS:
        test = example(packed(counts))(test)
    test = example(packed([7, 40, 0, 2], "extreme", seed=2))(test)
    return example(packed([5, 1], opaque_first=True))(test)


@st.composite
def grid_settings(draw: st.DrawFn) -> tuple[int, int, int, int, int]:
    """For `grid_layout`: up to four levels, the coarse ones dense, the fine ones mostly hashed."""
    base_resolution = draw(st.integers(2, 8))
    return (
        draw(st.integers(1, 4)),
        draw(st.integers(6, 11)),
        base_resolution,
        draw(st.integers(8, 300)),
        draw(st.sampled_from([2, 4])),
    )


@st.composite
def positions(draw: st.DrawFn) -> torch.Tensor:
    """Points in the cube, on its faces, edges and corners, on lattice planes, and outside of it."""
    points = torch.rand(3, draw(st.sampled_from([0, 1, 5, 70])), generator=seeded(draw(SEEDS)))
    kind = draw(st.sampled_from(["inside", "on the surface", "on a lattice", "outside"]))
    if kind == "on the surface":
        return torch.where(points < 0.5, points.round(), points)
    if kind == "on a lattice":
        return (points * 8).round() / 8
    return 4 * points - 1.5 if kind == "outside" else points


@st.composite
def grids(draw: st.DrawFn) -> torch.Tensor:
    """Occupancy grids: empty, a cell or two, sparse, half full, full."""
    res = draw(st.sampled_from([4, 5, 8, 13]))
    share = draw(st.sampled_from([0.0, 1.5 / res**3, 0.03, 0.5, 1.0]))
    return torch.rand(res, res, res, generator=seeded(draw(SEEDS))) < share


def _aimed(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    origins = 0.5 + 2 * torch.randn(n, 3, generator=generator)
    return origins, torch.rand(n, 3, generator=generator) - origins


def _astray(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    origins = 1.5 + torch.rand(n, 3, generator=generator)
    return origins, torch.rand(n, 3, generator=generator) + 0.01


def _inside(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.rand(n, 3, generator=generator), torch.randn(n, 3, generator=generator)


def _along_axes(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    directions = torch.eye(3)[torch.randint(3, (n,), generator=generator)]
    sign = torch.randint(2, (n, 1), generator=generator) * 2 - 1
    return 3 * torch.rand(n, 3, generator=generator) - 1, directions * sign


def _in_a_face(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    origins, directions = _aimed(generator, n)
    axis = torch.randint(3, (n, 1), generator=generator)
    side = torch.randint(2, (n, 1), generator=generator).float()
    return origins.scatter(1, axis, side), directions.scatter(1, axis, 0.0)


def _diagonal(generator: torch.Generator, n: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Through two opposite corners, where three cells change at once."""
    return torch.full((n, 3), -0.25), torch.ones(n, 3)


RAY_KINDS = (_aimed, _astray, _inside, _along_axes, _in_a_face, _diagonal)


@st.composite
def rays(draw: st.DrawFn) -> Rays:
    """As many of each kind: crossing, missing, touching the cube, starting in it; or none."""
    generator, each = seeded(draw(SEEDS)), draw(st.sampled_from([0, 1, 30]))
    parts = [kind(generator, each) for kind in RAY_KINDS]
    origins, directions = (torch.cat(values) for values in zip(*parts, strict=True))
    return Rays(origins, directions / directions.norm(dim=1, keepdim=True))
