"""Orefield's hash-grid field in a foreign renderer: the dense loop of plain_nerf.py.

    python examples/foreign_renderer.py path/to/lego

A foreign renderer knows neither packed rays nor occupancy grids. All that the field needs is an
adapter that takes one row per sample; mining then works as for any module.
"""

import copy

import torch
from plain_nerf import arguments, read, train
from torch import Tensor, nn

from orefield import FieldConfig, RunConfig, Trainer


class RowPerSample(nn.Module):
    """From the position and direction of each sample to the field's raw outputs."""

    def __init__(self, field: nn.Module) -> None:
        """Adapt the field of a trainer, or of a run."""
        super().__init__()
        self.field = field

    def forward(self, points: Tensor, views: Tensor) -> Tensor:
        """Raw outputs [n, 4] at points [n, 3] in the unit cube, seen along views [n, 3]."""
        ray = torch.arange(len(points))  # every sample is a ray of its own
        return self.field(points.T.contiguous(), self.field.encode_directions(views), ray)


def main(argv: list[str] | None = None) -> dict[str, float]:
    """From the command line to the test PSNR of each rule."""
    parser = arguments(lr=1e-2)
    parser.add_argument("--log2-hashmap-size", type=int, default=15)
    args = parser.parse_args(argv)
    scene, field = read(args), FieldConfig(log2_hashmap_size=args.log2_hashmap_size)
    net = RowPerSample(Trainer(scene, RunConfig(field=field, device="cpu")).field)
    return train({rule: copy.deepcopy(net) for rule in args.rules}, scene, args)


if __name__ == "__main__":
    main()
