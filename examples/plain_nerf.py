"""A NeRF in plain PyTorch, and the three lines that mine it (each marked with MINING).

    python examples/plain_nerf.py path/to/lego

The network of the original paper, made small, on a Blender scene at 100 x 100 pixels. Two copies
train side by side: the rule `plain` is the network's own call, so its arm is the loop as it was.
"""

import argparse
import copy
from itertools import pairwise

import torch
from compare import over_white, psnr, table, take_turns
from torch import Tensor, nn

from orefield import (  # MINING 1: the import
    MiningStats,
    PixelSampler,
    Scene,
    SceneConfig,
    mine,
    open_scene,
)


class Nerf(nn.Module):
    """From the position and direction of each sample to (log density, color logits)."""

    def __init__(self, width: int = 128, octaves: int = 7) -> None:
        """Four hidden layers of `width`."""
        super().__init__()
        self.register_buffer("scales", torch.pi * 2.0 ** torch.arange(octaves))
        sizes = [3 + 6 * octaves] + [width] * 4
        self.trunk = nn.Sequential(
            *(nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(sizes))
        )
        self.density = nn.Linear(width, 1)
        self.color = nn.Sequential(nn.Linear(width + 3, width), nn.ReLU(), nn.Linear(width, 3))

    def forward(self, points: Tensor, views: Tensor) -> Tensor:
        """Raw outputs [n, 4] at points [n, 3] in the unit cube, seen along views [n, 3]."""
        angles = ((2 * points - 1)[:, :, None] * self.scales).flatten(1)
        h = self.trunk(torch.cat([points, angles.sin(), angles.cos()], dim=1))
        return torch.cat([self.density(h), self.color(torch.cat([h, views], dim=1))], dim=1)


def render(network, origins: Tensor, directions: Tensor, jitter: Tensor) -> Tensor:
    """Colors of rays over white, from one sample in the unit cube per column of the jitter."""
    rays, n = jitter.shape
    sides = torch.stack([-origins / directions, (1 - origins) / directions])
    near = sides.amin(0).amax(1, keepdim=True).clamp(min=0)
    far = torch.maximum(sides.amax(0).amin(1, keepdim=True), near)
    t = near + (far - near) * (torch.arange(n) + jitter) / n
    points = origins[:, None] + t[..., None] * directions[:, None]
    raw = network(points.flatten(0, 1), directions.repeat_interleave(n, 0)).view(rays, n, 4)
    depth = raw[..., 0].exp() * (far - near) / n  # optical depth of each interval
    weights = torch.exp(depth - depth.cumsum(1)) * -torch.expm1(-depth)
    return (weights[..., None] * (raw[..., 1:].sigmoid() - 1)).sum(1) + 1


def steps(net: nn.Module, rule: str, stats: MiningStats, pixels: PixelSampler, args):
    """One training step after the other."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=args.lr, eps=1e-15)
    while True:
        rays, rgba, *_ = pixels.sample(args.rays, generator)
        jitter = torch.rand(args.rays, args.samples, generator=generator)

        def network(points: Tensor, views: Tensor) -> Tensor:
            return mine(net, points, views, rule=rule, stats=stats)  # MINING 2: net(points, views)

        color = render(network, rays.origins, rays.directions, jitter)
        loss = (color - over_white(rgba)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss


def read(args: argparse.Namespace) -> Scene:
    """The scene, with two of its test views."""
    return open_scene(args.scene, SceneConfig(downscale=args.downscale, max_test_views=2))


def train(nets: dict[str, nn.Module], scene: Scene, args: argparse.Namespace) -> dict[str, float]:
    """Train one network per rule, print the table, return each one's test PSNR."""
    pixels = PixelSampler(scene.train)
    stats = {rule: MiningStats() for rule in nets}  # MINING 3: records what was kept
    arms = {rule: steps(net, rule, stats[rule], pixels, args) for rule, net in nets.items()}
    costs = take_turns({rule: arm.__next__ for rule, arm in arms.items()}, args.steps)
    middle = torch.full((1, args.samples), 0.5)
    scores = {rule: psnr(net, render, scene.test, middle) for rule, net in nets.items()}
    print(f"{scene.name}, {args.steps} steps of {args.rays} rays x {args.samples} samples")
    print(table(costs, stats, scores))
    return scores


def arguments(lr: float) -> argparse.ArgumentParser:
    """The arguments that both NeRF examples take."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scene", help="a scene's folder, or the name of an embedded scene")
    parser.add_argument("--downscale", type=int, default=4, help="makes 400 pixels 100")
    parser.add_argument("--rules", nargs="+", default=["plain", "threshold"])
    parser.add_argument("--rays", type=int, default=384, help="per step")
    parser.add_argument("--samples", type=int, default=64, help="per ray")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--lr", type=float, default=lr)
    return parser


def main(argv: list[str] | None = None) -> dict[str, float]:
    """From the command line to the PSNR of each rule."""
    args = arguments(lr=2e-3).parse_args(argv)
    torch.manual_seed(0)
    net = Nerf()
    return train({rule: copy.deepcopy(net) for rule in args.rules}, read(args), args)


if __name__ == "__main__":
    main()
