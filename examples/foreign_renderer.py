"""Our field through a foreign renderer: the hash grid, drawn by the dense loop of plain_nerf.py.

    python examples/foreign_renderer.py path/to/lego

A foreign renderer knows neither packed rays nor occupancy. All that the field needs is an adapter
that takes one row per sample; mining then works as for any module.
"""

import copy

import torch
from plain_nerf import arguments, train
from torch import Tensor, nn

from orefield.config import FieldConfig
from orefield.fields import make_field


class RowPerSample(nn.Module):
    """Position and direction of each sample to the field's raw outputs."""

    def __init__(self, field: nn.Module) -> None:
        """Adapt a field of `orefield.fields`."""
        super().__init__()
        self.field = field

    def forward(self, points: Tensor, views: Tensor) -> Tensor:
        """Raw outputs [n, 4] at points [n, 3] in the unit cube, seen along views [n, 3]."""
        ray = torch.arange(len(points))  # every sample is a ray of its own
        return self.field(points.T.contiguous(), self.field.encode_directions(views), ray)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """From the command line to the test PSNR of each rule."""
    parser = arguments(lr=1e-2)
    parser.add_argument("--log2-table", type=int, default=15)
    args = parser.parse_args(argv)
    net = RowPerSample(make_field(FieldConfig(log2_hashmap_size=args.log2_hashmap_size), seed=0))
    return train({rule: copy.deepcopy(net) for rule in args.rules}, args)


if __name__ == "__main__":
    main()
