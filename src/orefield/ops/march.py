"""Ray marching through an occupancy grid (Müller et al. 2022, appendix E.1).

The grid covers the unit cube, and with more than one level also what surrounds it: level m is a
cube of side 2^m with the same center and as many cells, and a point belongs to the smallest cube
that holds it. Samples then lie at contracted positions (ops/contraction.py), and steps grow with
distance: they double at N dt, 2 N dt, 4 N dt, ... from the camera, with N = 1 / cone_angle, so that
a step is never longer than cone_angle times its distance, nor, far out, shorter than half of that.

A distance t is u(t) steps from the camera. Sample k of a ray lies at u = u(entry) + k + jitter,
where `entry` is the distance at which the ray enters the largest cube, but at least `near`. It is
kept when it lies inside that cube and its cell is occupied. `first` and `limit` march a ray in
chunks: at most `limit` samples with k >= first, and where the next chunk begins.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from orefield.ops.backend import pick
from orefield.ops.contraction import contract
from orefield.types import PackedSamples, Rays

ENDED = -1
"""In the second result of `march`: this ray has no more samples."""
FARTHEST = 8
"""`clearance` counts no farther than this."""
DOUBLINGS = 30
"""How often a step's length doubles, at most: far beyond any scene."""
_EQUAL = 2.0**24
"""Steps before the first doubling where steps do not grow."""
_MOST_STEPS = 2.0**24
"""Steps of a ray through the cubes, at most: as many as float32 can tell apart. Only a ray whose
direction is not of length one has more."""


class Grid(NamedTuple):
    """Where samples may lie, and how far apart."""

    clear: UInt8[Tensor, "levels res res res"]
    """The `clearance` of its levels."""
    dt: float
    """Length of a step in the cube; of the shortest, where steps grow."""
    near: float = 0.0
    """Distance from the rays' origins before which nothing is sampled."""
    cone_angle: float = 0.0
    """Longest step as a share of its distance; 0 for equal steps, as in a grid of one level."""

    @property
    def background_extent(self) -> int:
        """Side of the largest cube."""
        return 1 << (len(self.clear) - 1)

    @property
    def octave(self) -> float:
        """N: steps before the first doubling, and between two."""
        return (
            float(round(1 / self.cone_angle)) if self.cone_angle and len(self.clear) > 1 else _EQUAL
        )


def clearance(
    occupied: Bool[Tensor, "levels x y z"],
) -> UInt8[Tensor, "levels x y z"]:
    """Cells from each cell to the nearest occupied one, diagonals counting one; 0 if it is itself.

    So a ray may leap over a cube of empty cells, `2 clearance - 1` a side. At most `FARTHEST`. The
    middle of a level, which the level before covers, counts as occupied where that is. Along x,
    with the first of four cells occupied:

        occupied = [True, False, False, False]    clearance = [0, 1, 2, 3]

    Raises ValueError for levels that are not cubes, or where one does not fit into the next.
    """
    levels, res = len(occupied), occupied.shape[-1]
    if len(set(occupied.shape[1:])) != 1 or (levels > 1 and res % 4):
        raise ValueError(
            f"occupied must be cubes of cells, several with a multiple of 4 on each side, got "
            f"{list(occupied.shape)}"
        )
    near = occupied.clone()
    inner = slice(res // 4, res - res // 4)
    for level in range(1, levels):
        pooled = near[level - 1].view(res // 2, 2, res // 2, 2, res // 2, 2).amax((1, 3, 5))
        near[level, inner, inner, inner] = pooled
    clear = (~near).to(torch.uint8)
    for _ in range(FARTHEST - 1):
        for axis in range(1, 4):
            grown, last = near.clone(), res - 1
            grown.narrow(axis, 0, last).logical_or_(near.narrow(axis, 1, last))
            grown.narrow(axis, 1, last).logical_or_(near.narrow(axis, 0, last))
            near = grown
        clear += ~near
    return clear


def entry_and_exit(
    rays: Rays, near: float, background_extent: int = 1
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Distances at which rays enter and leave the unit cube, or a larger one about its center.

    Its side is `background_extent`; exit <= entry where they miss it. From (-1, 1/2, 1/2) along +x:

        entry, exit = 1, 2    with background_extent = 2: 0.5, 2.5
    """
    inverse, margin = 1 / rays.directions, (background_extent - 1) / 2
    low, high = (-margin - rays.origins) * inverse, (1 + margin - rays.origins) * inverse
    # A ray in a face's plane gives 0 * inf = nan: it touches nothing, let the other axes decide.
    entry = torch.nan_to_num(torch.minimum(low, high), nan=-torch.inf, posinf=torch.inf)
    leave = torch.nan_to_num(torch.maximum(low, high), nan=torch.inf, posinf=torch.inf)
    return entry.amax(1).clamp(min=near), leave.amin(1)


def steps_to(t: Float[Tensor, " n"], dt: float, octave: float) -> Float[Tensor, " n"]:
    """u(t): how many steps from the camera a distance is."""
    doublings = torch.log2(t / (octave * dt)).floor().clamp(0, DOUBLINGS)
    return doublings * octave + t / (dt * torch.exp2(doublings))


def distance_after(
    u: Float[Tensor, "*n"], dt: float, octave: float
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n"]]:
    """t(u), the inverse of `steps_to`, and the length of the step there."""
    doublings = (u * (1 / octave)).floor().sub(1).clamp(0, DOUBLINGS)
    step = torch.ldexp(torch.full_like(u, dt), doublings.int())
    return step * (u - doublings * octave), step


def span_in_steps(rays: Rays, grid: Grid) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """u(entry), and the distance of the exit; 0 and -1 for rays that miss.

    So do rays that are not finite, and those that would never end, as with a direction of zeros.
    """
    entry, leave = entry_and_exit(rays, grid.near, grid.background_extent)
    meets = (entry < leave) & (rays.origins + rays.directions).sum(1).isfinite()
    begin = steps_to(torch.where(meets, entry, 0.0), grid.dt, grid.octave)
    meets &= steps_to(leave.clamp(min=0), grid.dt, grid.octave) - begin < _MOST_STEPS
    return begin, torch.where(meets, leave, -1.0)


def definition(
    rays: Rays,
    begin: Float[Tensor, " rays"],
    leave: Float[Tensor, " rays"],
    grid: Grid,
    jitter: Float[Tensor, " rays"],
    first: Int[Tensor, " rays"],
    limit: int,
) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
    """Every k of every ray at once, in plain torch."""
    longest = steps_to(leave.clamp(min=0), grid.dt, grid.octave) - begin
    most = int(longest.clamp(min=0).amax()) + 2 if len(rays) else 2
    k = torch.arange(most, device=begin.device)
    t, step = distance_after(begin[:, None] + (k + jitter[:, None]), grid.dt, grid.octave)
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    inside = (t < leave[:, None]) & (k >= first[:, None])
    hit = inside & (grid.clear.view(-1)[_cells(points, grid.clear)] == 0)
    order = hit.cumsum(1)
    kept, overflow = hit & (order <= limit), hit & (order > limit)
    ray, index = kept.nonzero(as_tuple=True)
    counts = kept.sum(1)
    spans = torch.stack([counts.cumsum(0) - counts, counts], 1).int()
    following = torch.where(overflow.any(1), overflow.int().argmax(1), ENDED).int()
    positions = points[ray, index].T.contiguous()
    positions = contract(positions) if grid.background_extent > 1 else positions
    samples = PackedSamples(positions, t[ray, index], step[ray, index], ray.int(), spans)
    return samples, following


def _cells(
    points: Float[Tensor, "*n 3"], clear: UInt8[Tensor, "levels res res res"]
) -> Int[Tensor, "*n"]:
    """Number of each point's cell, level by level."""
    res, away = clear.shape[1], (points - 0.5).abs().amax(-1)
    level = sum((away > 2.0**m for m in range(-1, len(clear) - 2)), torch.zeros_like(away)).long()
    local = (points - 0.5) * torch.exp2(-level.float())[..., None] + 0.5
    x, y, z = (local * res).nan_to_num(0, 0, 0).clamp(0, res - 1).long().unbind(-1)
    cell: Tensor = ((level * res + x) * res + y) * res + z
    return cell


def march(
    rays: Rays,
    grid: Grid,
    jitter: Float[Tensor, " rays"] | None = None,
    first: Int[Tensor, " rays"] | None = None,
    limit: int = 2**15 - 1,
) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
    """Samples in occupied cells, and per ray the k at which to go on (ENDED when there is none).

    `jitter` lies in [0, 1) and defaults to bin centers, 0.5; `first` defaults to 0. A ray from
    (-1, 1/2, 1/2) along +x through a grid that is occupied throughout, with dt = 0.25:

        t = [1.125, 1.375, 1.625, 1.875]    dt = [0.25, 0.25, 0.25, 0.25]    spans = [[0, 4]]

    Raises ValueError for dt <= 0 or limit < 1.
    """
    if grid.dt <= 0 or limit < 1:
        raise ValueError(f"dt must be positive and limit at least 1, got {grid.dt} and {limit}")
    device = rays.origins.device
    jitter = torch.full((len(rays),), 0.5, device=device) if jitter is None else jitter
    first = torch.zeros(len(rays), dtype=torch.int32, device=device) if first is None else first
    begin, leave = span_in_steps(rays, grid)
    twin = pick("march", rays.origins)
    run = definition if twin is None else twin.march
    samples, following = run(rays, begin, leave, grid, jitter, first, limit)
    return samples, following
