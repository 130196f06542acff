"""A field that is solid where a function says so, and cameras round it."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from orefield.cameras import Camera
from orefield.cameras.paths import look_at
from orefield.config import SamplerConfig
from orefield.export.space import FieldInSpace
from orefield.samplers import OccupancySampler
from orefield.scenes.scene import View

STEEP = 150.0
"""Change of the log density over a length of one: a few times within a cell of a lattice."""
TO_WORLD = torch.tensor([[2.0, 0, 0, 10], [0, 2, 0, -5], [0, 0, 2, 3], [0, 0, 0, 1]]).double()


class SolidField(nn.Module):
    """Dense inside of a solid, by the distance from its surface; red, more so from +x."""

    def __init__(self, outside: Callable[[Tensor], Tensor], steep: float = STEEP) -> None:
        super().__init__()
        self.outside, self.steep = outside, steep
        self.weight = nn.Parameter(torch.zeros(1))

    def encode_directions(
        self, directions: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, "rays encoded"]:
        return directions

    def _log_density(self, positions: Float[Tensor, "3 samples"]) -> Float[Tensor, " samples"]:
        # exp(3.9) = 50 on the surface.
        return (3.912 - self.steep * self.outside(positions)).clamp(-20, 7)

    def density(self, positions: Float[Tensor, "3 points"]) -> Float[Tensor, " points"]:
        return self._log_density(positions).exp()

    def forward(
        self,
        positions: Float[Tensor, "3 samples"],
        encoded_directions: Float[Tensor, "rays encoded"],
        ray: Int[Tensor, " samples"],
    ) -> Float[Tensor, "samples 4"]:
        s = self._log_density(positions)
        logits = torch.full((len(s), 3), -3.0)
        logits[:, 0] = -3 * encoded_directions[ray.long(), 0]
        return torch.cat([s[:, None], logits], 1)


def ball(center: tuple[float, float, float], radius: float) -> Callable[[Tensor], Tensor]:
    """Signed distance from a ball's surface, positive outside."""
    return lambda p: (p - torch.tensor(center)[:, None]).norm(dim=0) - radius


def space_of(outside: Callable[[Tensor], Tensor], steep: float = STEEP) -> FieldInSpace:
    config = SamplerConfig(steps_per_diagonal=400, cone_angle=0.0, resolution=16)
    return FieldInSpace(SolidField(outside, steep), OccupancySampler(config, 0.0), TO_WORLD)


def views_round(number: int = 6, size: int = 64) -> list[View]:
    """On a circle of radius 2 about the box's middle, one from above and one from below."""
    camera = Camera(size, size, 1.2 * size, 1.2 * size, size / 2, size / 2)
    middle = torch.ones(3) / 2
    angles = torch.arange(number) * (2 * torch.pi / number)
    places = [torch.stack([a.cos(), a.sin(), torch.tensor(0.3)]) for a in angles]
    places += [torch.tensor([0.01, 0.0, 1.0]), torch.tensor([0.01, 0.0, -1.0])]
    up, image = torch.tensor([0.0, 0.0, 1.0]), torch.full((size, size, 4), 255, dtype=torch.uint8)
    poses = [look_at(middle + 2 * place, middle, up) for place in places]
    return [View(f"{i}", camera, pose, image) for i, pose in enumerate(poses)]
