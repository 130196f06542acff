"""What the examples share: training loops in turn, their time and memory, and scores."""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor, nn

from orefield import MiningStats, View, view_rays


@dataclass
class Cost:
    """What a step takes."""

    milliseconds: float
    """Median over the steps, so that what else the machine does counts for little."""
    held: int
    """Peak of the bytes held for the backward pass, in the last step."""


def take_turns(arms: dict[str, Callable[[], object]], steps: int) -> dict[str, Cost]:
    """Run `steps` steps of each arm, at least 3, in turns: a slow minute hits all arms alike.

    Not timed are the first step, which compiles and allocates, and the last, which counts bytes.
    """
    times: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(steps - 1):
        for name, advance in arms.items():
            start = time.perf_counter()
            advance()
            times[name].append(time.perf_counter() - start)
    costs = {}
    for name, advance in arms.items():
        with counting() as held:
            advance()
        costs[name] = Cost(1e3 * median(times[name][1:]), held.peak)
    return costs


def table(costs: dict[str, Cost], stats: dict[str, MiningStats], psnr: dict[str, float]) -> str:
    """One line per arm; the share of samples kept is the last step's."""
    lines = [f"{'rule':12}{'ms/step':>9}{'held MB':>9}{'kept':>7}{'PSNR':>8}"]
    for name, cost in costs.items():
        kept = stats[name].share if stats[name].passes else 1.0
        lines.append(
            f"{name:12}{cost.milliseconds:9.1f}{cost.held / 1e6:9.2f}{kept:7.0%}{psnr[name]:8.2f}"
        )
    return "\n".join(lines)


def over_white(rgba: Tensor) -> Tensor:
    """Colors [n, 3] of pixels with straight alpha, over white."""
    return rgba[:, :3] * rgba[:, 3:] + 1 - rgba[:, 3:]


@torch.no_grad()
def psnr(network: nn.Module, render, views: Sequence[View], jitter: Tensor) -> float:
    """PSNR over all pixels of the views, in dB; `jitter` [1, samples] serves every ray."""
    errors = []
    for view in views:
        rays, pixels = view_rays(view.camera, view.pose), view.image.flatten(0, 1) / 255
        for part in torch.arange(len(pixels)).split(2048):
            some = rays.origins[part], rays.directions[part]
            image = render(network, *some, jitter.expand(len(part), -1))
            errors.append((image - over_white(pixels[part])).square().flatten())
    return float(-10 * torch.cat(errors).mean().log10())


class Held:
    """The bytes that autograd holds on to; `peak` is the most at one time.

    Tensors that share memory count once; parameters, which are there anyway, do not count.
    """

    peak = now = 0

    def __init__(self) -> None:
        """Nothing held yet."""
        self.users: Counter[int] = Counter()

    def change(self, x: Tensor, users: int) -> None:
        """Count so many more users of a tensor."""
        memory = x.untyped_storage()
        before = self.users[memory.data_ptr()]
        self.users[memory.data_ptr()] += users
        if 0 in (before, before + users):
            self.now += users * memory.nbytes()
            self.peak = max(self.peak, self.now)


class _Kept:
    """A tensor saved for the backward pass, which the graph drops when it is done with it."""

    def __init__(self, x: Tensor, held: Held) -> None:
        self.x, self.held = x, held
        self.counts = not isinstance(x, nn.Parameter)
        if self.counts:
            held.change(x, +1)

    def __del__(self) -> None:
        if self.counts:
            self.held.change(self.x, -1)


@contextmanager
def counting() -> Iterator[Held]:
    """Count the bytes held by graphs built within the block."""
    held = Held()
    with torch.autograd.graph.saved_tensors_hooks(lambda x: _Kept(x, held), lambda kept: kept.x):
        yield held
