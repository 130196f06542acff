"""A signed-distance field by somebody else's network: SIREN, as siren-pytorch has it.

    pip install siren-pytorch
    python examples/siren_distance.py

SIREN (Sitzmann et al. 2020) because it is what most signed-distance fields without a grid are made
of, and siren-pytorch because it is one small package that knows nothing of mining. The loss clamps
distances (Park et al. 2019, DeepSDF, eq. 4), so that points far from the surface teach nothing once
they are known to be far: those that `mine` leaves out.
"""

import argparse
import copy

import torch
from compare import table, take_turns
from siren_pytorch import SirenNet
from torch import Tensor, nn

from orefield import MiningStats, mine

BAND = 0.1
"""Distances are clamped to this on both sides of the surface."""


def distance(x: Tensor) -> Tensor:
    """Signed distance [n, 1] of points [n, 3] from two rings that pass through each other."""
    flat = _ring(x + x.new_tensor([0.25, 0.0, 0.0]))
    upright = _ring((x - x.new_tensor([0.25, 0.0, 0.0]))[:, [0, 2, 1]])
    return torch.minimum(flat, upright)[:, None]


def _ring(x: Tensor, radius: float = 0.5, thickness: float = 0.12) -> Tensor:
    return (x[:, :2].norm(dim=1) - radius).hypot(x[:, 2]) - thickness


def points(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in the cube from -1 to 1."""
    return 2 * torch.rand(count, 3, generator=generator) - 1


def clamped(distances: Tensor) -> Tensor:
    """Within the band."""
    return distances.clamp(-BAND, BAND)


def steps(net: nn.Module, rule: str, stats: MiningStats, count: int):
    """One training step after the other."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-4)
    while True:
        x = points(count, generator)
        found = mine(net, x, rule=rule, stats=stats)
        loss = (clamped(found) - clamped(distance(x))).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss


@torch.no_grad()
def psnr(net: nn.Module) -> float:
    """Of clamped distances, over the band, in dB, at points that were not trained on."""
    x = points(200_000, torch.Generator().manual_seed(1))
    error = torch.cat([clamped(net(part)) - clamped(distance(part)) for part in x.split(65_536)])
    return float(-10 * (error / (2 * BAND)).square().mean().log10())


def main(argv: list[str] | None = None) -> dict[str, float]:
    """From the command line to the PSNR of each rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rules", nargs="+", default=["plain", "threshold"])
    parser.add_argument("--points", type=int, default=32_768, help="per step")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args(argv)

    torch.manual_seed(0)
    net = SirenNet(dim_in=3, dim_hidden=args.width, dim_out=1, num_layers=3)
    nets = {rule: copy.deepcopy(net) for rule in args.rules}
    stats = {rule: MiningStats() for rule in nets}
    arms = {rule: steps(net, rule, stats[rule], args.points) for rule, net in nets.items()}
    costs = take_turns({rule: arm.__next__ for rule, arm in arms.items()}, args.steps)
    scores = {rule: psnr(net) for rule, net in nets.items()}
    print(f"two rings, {args.steps} steps of {args.points} points")
    print(table(costs, stats, scores))
    return scores


if __name__ == "__main__":
    main()
