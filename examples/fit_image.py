"""A network that learns an image, from coordinates to color.

    python examples/fit_image.py [photo.jpg]

Each pixel is a sample, and its hardness is its own error. Without a file the image is drawn here:
a disc, and stripes that get finer to the right.
"""

import argparse
import copy
from itertools import pairwise

import torch
from compare import table, take_turns
from PIL import Image
from torch import Tensor, nn

from orefield import MiningStats, mine


def drawn(size: int) -> Tensor:
    """Colors in [0, 1] of the image drawn here."""
    y, x = torch.meshgrid(*[(torch.arange(size) + 0.5) / size] * 2, indexing="ij")
    stripes = (torch.sin(200 * x**3) > 0).float() * (y > 0.5)
    disc = ((x - 0.4).hypot(y - 0.3) < 0.2).float()
    return torch.stack([stripes, disc, 0.5 * x + 0.25 * disc], dim=-1)


def photo(path: str, size: int) -> Tensor:
    """Colors in [0, 1] of a photograph, squeezed into a square."""
    with Image.open(path) as image:
        small = image.convert("RGB").resize((size, size))
    return torch.frombuffer(bytearray(small.tobytes()), dtype=torch.uint8).view(size, size, 3) / 255


class Waves(nn.Module):
    """Coordinates of each pixel to its color, by a sine encoding and an MLP."""

    def __init__(self, width: int, octaves: int = 8) -> None:
        """Three hidden layers of `width`."""
        super().__init__()
        self.register_buffer("scales", torch.pi * 2.0 ** torch.arange(octaves))
        sizes = [4 * octaves, width, width, width]
        self.hidden = nn.Sequential(
            *(nn.Sequential(nn.Linear(*pair), nn.ReLU()) for pair in pairwise(sizes))
        )
        self.color = nn.Linear(width, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Color logits [n, 3] at coordinates x [n, 2] in [0, 1]."""
        angles = (x[:, :, None] * self.scales).flatten(1)
        return self.color(self.hidden(torch.cat([angles.sin(), angles.cos()], dim=1)))


def steps(net: nn.Module, rule: str, stats: MiningStats, image: Tensor, pixels: int):
    """One training step after the other."""
    generator = torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    size, colors = len(image), image.flatten(0, 1)
    while True:
        i = torch.randint(len(colors), (pixels,), generator=generator)
        x = torch.stack([i % size, i // size], dim=1) / size
        loss = (mine(net, x, rule=rule, stats=stats).sigmoid() - colors[i]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield loss


@torch.no_grad()
def psnr(net: nn.Module, image: Tensor) -> float:
    """Over all pixels of the image, in dB."""
    i = torch.arange(image[..., 0].numel())
    x = torch.stack([i % len(image), i // len(image)], dim=1) / len(image)
    error = torch.cat([net(part).sigmoid() for part in x.split(65_536)]) - image.flatten(0, 1)
    return float(-10 * error.square().mean().log10())


def main(argv: list[str] | None = None) -> dict[str, float]:
    """From the command line to the PSNR of each rule."""
    parser = argparse.ArgumentParser()
    parser.add_argument("image", nargs="?", help="a photograph; without one, an image is drawn")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rules", nargs="+", default=["plain", "threshold"])
    parser.add_argument("--pixels", type=int, default=32_768, help="per step")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--steps", type=int, default=200)
    args = parser.parse_args(argv)

    image = photo(args.image, args.size) if args.image else drawn(args.size)
    torch.manual_seed(0)
    net = Waves(args.width)
    nets = {rule: copy.deepcopy(net) for rule in args.rules}
    stats = {rule: MiningStats() for rule in nets}
    arms = {rule: steps(net, rule, stats[rule], image, args.pixels) for rule, net in nets.items()}
    costs = take_turns({rule: arm.__next__ for rule, arm in arms.items()}, args.steps)
    scores = {rule: psnr(net, image) for rule, net in nets.items()}
    print(f"{args.image or 'drawn'}, {args.steps} steps of {args.pixels} pixels")
    print(table(costs, stats, scores))
    return scores


if __name__ == "__main__":
    main()
