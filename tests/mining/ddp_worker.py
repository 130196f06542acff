"""One of two processes of test_two_processes_get_the_gradients_of_one: rank and meeting file."""

import sys

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from orefield.config import MiningConfig
from orefield.errors import OrefieldError
from orefield.mining import mine

EVERYTHING = MiningConfig(rule="threshold", threshold=0.0)


class Renderer(nn.Module):
    """A module whose forward mines the network inside it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return mine(self.net, x, rule=EVERYTHING).sigmoid()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 4)).double()


def check(rank: int) -> None:
    x = torch.randn(20, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    half = x[rank * 10 : rank * 10 + 10]
    for share in ((1.0, 1.0), (1.0, 0.0)):  # the second process of the second round keeps nothing
        alone, shared = net(), net()
        weights = torch.tensor(share).double().repeat_interleave(10)
        (alone(x).sigmoid().square().mean(1) * weights).mean().backward()

        parallel = DistributedDataParallel(Renderer(shared))
        for _ in range(2):  # twice: the reducer is ready again
            parallel.zero_grad()
            (parallel(half).square().mean() * share[rank]).backward()
        for a, b in zip(alone.parameters(), shared.parameters(), strict=True):
            torch.testing.assert_close(b.grad, a.grad)

    with pytest.raises(OrefieldError, match="wrap the module whose forward calls mine"):
        mine(DistributedDataParallel(net()), half)


if __name__ == "__main__":
    rank = int(sys.argv[1])
    dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
    check(rank)
    dist.destroy_process_group()
