"""Ray marching through an occupancy grid over the unit cube (Müller et al. 2022, appendix E.1).

Sample k of a ray lies at t_k = entry + (k + jitter) dt, where `entry` is the distance at which the
ray enters the cube, but at least `near`. A sample is kept when it lies inside the cube and its cell
is occupied. `first` and `limit` march a ray in pieces: at most `limit` samples with k >= first, and
where the next piece begins.
"""

import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from orefield.ops.backend import pick
from orefield.types import PackedSamples, Rays

ENDED = -1
"""In the second result of `march`: this ray has no more samples."""
FARTHEST = 8
"""`clearance` counts no farther than this."""


def clearance(occupied: Bool[Tensor, "res res res"]) -> UInt8[Tensor, "res res res"]:
    """Cells from each cell to the nearest occupied one, diagonals counting one; 0 if it is itself.

    So a ray may leap over a cube of empty cells, `2 clearance - 1` a side. At most `FARTHEST`.
    Raises ValueError for a grid that is not a cube.
    """
    if occupied.ndim != 3 or len(set(occupied.shape)) != 1:
        raise ValueError(f"occupied must be a cube of cells, got {list(occupied.shape)}")
    near = occupied
    clear = (~near).to(torch.uint8)
    for _ in range(FARTHEST - 1):
        for axis in range(3):
            grown, last = near.clone(), near.shape[axis] - 1
            grown.narrow(axis, 0, last).logical_or_(near.narrow(axis, 1, last))
            grown.narrow(axis, 1, last).logical_or_(near.narrow(axis, 0, last))
            near = grown
        clear += ~near
    return clear


def entry_and_exit(
    rays: Rays, near: float
) -> tuple[Float[Tensor, " rays"], Float[Tensor, " rays"]]:
    """Distances at which rays enter and leave the unit cube; exit <= entry where they miss it."""
    inverse = 1 / rays.directions
    low, high = -rays.origins * inverse, (1 - rays.origins) * inverse
    # A ray in a face's plane gives 0 * inf = nan: it touches nothing, let the other axes decide.
    entry = torch.nan_to_num(torch.minimum(low, high), nan=-torch.inf, posinf=torch.inf)
    leave = torch.nan_to_num(torch.maximum(low, high), nan=torch.inf, posinf=torch.inf)
    return entry.amax(1).clamp(min=near), leave.amin(1)


def definition(
    rays: Rays,
    entry: Float[Tensor, " rays"],
    leave: Float[Tensor, " rays"],
    clear: UInt8[Tensor, "res res res"],
    dt: float,
    jitter: Float[Tensor, " rays"],
    first: Int[Tensor, " rays"],
    limit: int,
) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
    """Every k of every ray at once, in plain torch."""
    res = clear.shape[0]
    longest = float((leave - entry).clamp(min=0).amax()) if len(rays) else 0.0
    k = torch.arange(int(longest / dt) + 2, device=entry.device)
    t = entry[:, None] + (k + jitter[:, None]) * dt
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    cell = (points * res).nan_to_num(0, 0, 0).clamp(0, res - 1).long()
    inside = (t < leave[:, None]) & (k >= first[:, None])
    hit = inside & (clear[cell.unbind(-1)] == 0)
    order = hit.cumsum(1)
    kept, overflow = hit & (order <= limit), hit & (order > limit)
    ray, index = kept.nonzero(as_tuple=True)
    counts = kept.sum(1)
    spans = torch.stack([counts.cumsum(0) - counts, counts], 1).int()
    following = torch.where(overflow.any(1), overflow.int().argmax(1), ENDED).int()
    positions = points[ray, index].T.contiguous()
    samples = PackedSamples(
        positions, t[ray, index], torch.full_like(t[ray, index], dt), ray.int(), spans
    )
    return samples, following


def march(
    rays: Rays,
    clear: UInt8[Tensor, "res res res"],
    dt: float,
    near: float = 0.0,
    jitter: Float[Tensor, " rays"] | None = None,
    first: Int[Tensor, " rays"] | None = None,
    limit: int = 2**15 - 1,
) -> tuple[PackedSamples, Int[Tensor, " rays"]]:
    """Samples in occupied cells, and per ray the k at which to go on (ENDED when there is none).

    `clear` is the grid's `clearance`. `jitter` lies in [0, 1) and defaults to bin centres, 0.5;
    `first` defaults to 0. Raises ValueError for dt <= 0 or limit < 1.
    """
    if dt <= 0 or limit < 1:
        raise ValueError(f"dt must be positive and limit at least 1, got {dt} and {limit}")
    device = rays.origins.device
    jitter = torch.full((len(rays),), 0.5, device=device) if jitter is None else jitter
    first = torch.zeros(len(rays), dtype=torch.int32, device=device) if first is None else first
    entry, leave = entry_and_exit(rays, near)
    twin = pick("march", rays.origins)
    run = definition if twin is None else twin.march
    samples, following = run(rays, entry, leave, clear, dt, jitter, first, limit)
    return samples, following
