"""Compaction: the indices at which a mask is set, in a buffer of fixed size.

Reading the number of chosen samples from a GPU would make host and device wait for each other. So
the buffer's size is fixed, and the number stays on the device.
"""

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from orefield.ops.backend import pick


def definition(
    mask: Bool[Tensor, " samples"], capacity: int
) -> tuple[Int[Tensor, " capacity"], Int[Tensor, ""]]:
    """A prefix sum gives each set element its slot; in plain torch."""
    order = mask.cumsum(0)
    slot = torch.where(mask & (order <= capacity), order - 1, capacity)
    # One more slot, cut off below, takes whatever does not fit.
    index = order.new_zeros(capacity + 1).scatter_(
        0, slot, torch.arange(len(mask), device=mask.device)
    )
    return index[:capacity], mask.sum().clamp(max=capacity)


@torch.no_grad()
def compact(
    mask: Bool[Tensor, " samples"], capacity: int
) -> tuple[Int[Tensor, " capacity"], Int[Tensor, ""]]:
    """Ascending indices of the set elements, and their number, which stays on the device.

    If more than `capacity` are set, the first ones are taken. Slots past the number hold index 0:
    whoever gathers with them gives them the weight 0.

        compact([False, True, True, False, True], 4) = [1, 2, 4, 0], 3

    Raises ValueError for a capacity below 1 or a mask that is not a row of booleans.
    """
    if mask.ndim != 1 or mask.dtype != torch.bool or capacity < 1:
        raise ValueError(
            f"a mask of [samples] booleans and a capacity of at least 1 expected, "
            f"got {mask.dtype} {list(mask.shape)} and {capacity}"
        )
    twin = pick("compact", mask)
    index, count = definition(mask, capacity) if twin is None else twin.compact(mask, capacity)
    return index, count
