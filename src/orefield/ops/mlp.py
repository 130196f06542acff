"""The two networks of the hash-grid field: densities, colors, and the gradients of both.

    geometry = density2 relu(density1 features) + (start, 0, ...)     [16], [0] the log density
    logits = color3 relu(color2 relu(color1 [geometry, harmonics]))   [3]
    raw = (geometry[0], logits)                                       [4]
A ray's spherical harmonics, 16, are those of all its samples. With `dtype` bf16 products are in
bf16, but for the density's last layer: an error in the log density is a relative error of the
density. The twin works block by block, so that a block's activations never leave the cache; it
multiplies in fp32 where the processor has no instruction for bf16.
"""

from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import linear

from orefield.ops.backend import pick

GEOMETRY = 16
"""Outputs of the density's network; spherical harmonics of a direction are as many."""
_relu_backward = torch.ops.aten.threshold_backward


class Layers(NamedTuple):
    """Weights of both networks, or the gradients of each; rows are outputs."""

    density1: Float[Tensor, "width features"]
    density2: Float[Tensor, "16 width"]
    color1: Float[Tensor, "width 32"]
    color2: Float[Tensor, "width width"]
    color3: Float[Tensor, "3 width"]


def definition(
    features: Float[Tensor, "features samples"],
    encoded: Float[Tensor, "rays 16"],
    ray: Int[Tensor, " samples"],
    layers: Layers,
    start: float,
) -> Float[Tensor, "samples 4"]:
    """Raw outputs in plain torch under autograd."""
    dtype = layers.density1.dtype
    geometry = density_definition(features, layers, start, dtype)
    return torch.cat([geometry[:, :1], color_definition(geometry, encoded, ray, layers, dtype)], 1)


def density_definition(
    features: Float[Tensor, "features samples"], layers: Layers, start: float, dtype: torch.dtype
) -> Float[Tensor, "samples 16"]:
    """Geometry in plain torch under autograd."""
    hidden = linear(features.T.to(dtype), layers.density1.to(dtype)).relu_()
    geometry = linear(hidden.to(layers.density2.dtype), layers.density2)
    geometry[:, 0] += start
    return geometry


def color_definition(
    geometry: Float[Tensor, "samples 16"],
    encoded: Float[Tensor, "rays 16"],
    ray: Int[Tensor, " samples"],
    layers: Layers,
    dtype: torch.dtype,
) -> Float[Tensor, "samples 3"]:
    """Color logits in plain torch under autograd."""
    x = _color_inputs(geometry, encoded, ray, dtype)
    x = linear(x, layers.color1.to(dtype)).relu_()
    x = linear(x, layers.color2.to(dtype)).relu_()
    return linear(x, layers.color3.to(dtype)).to(geometry.dtype)


def backward_definition(
    features: Float[Tensor, "features samples"],
    encoded: Float[Tensor, "rays 16"],
    ray: Int[Tensor, " samples"],
    grad: Float[Tensor, "samples 4"],
    layers: Layers,
    start: float,
    dtype: torch.dtype,
) -> tuple[Layers, Float[Tensor, "features samples"]]:
    """Gradients by hand, in plain torch: for the same products two thirds of autograd's time."""
    w1, _, v1, v2, v3 = (w.to(dtype) for w in layers)
    f = features.T.to(dtype)
    hidden = linear(f, w1).relu_()
    geometry = linear(hidden.to(layers.density2.dtype), layers.density2)
    geometry[:, 0] += start
    x = _color_inputs(geometry, encoded, ray, dtype)
    first = linear(x, v1).relu_()
    second = linear(first, v2).relu_()
    g3 = grad[:, 1:].to(dtype)
    g2 = _relu_backward(g3 @ v3, second, 0)
    g1 = _relu_backward(g2 @ v2, first, 0)
    at_geometry = (g1 @ v1[:, :GEOMETRY]).to(geometry.dtype)
    at_geometry[:, 0] += grad[:, 0]
    at_hidden = _relu_backward((at_geometry @ layers.density2).to(dtype), hidden, 0)
    grads = Layers(
        at_hidden.T @ f,
        at_geometry.T @ hidden.to(geometry.dtype),
        g1.T @ x,
        g2.T @ first,
        g3.T @ second,
    )
    return Layers(*(g.to(w.dtype) for g, w in zip(grads, layers, strict=True))), (at_hidden @ w1).T


@torch.no_grad()
def density_mlp(
    features: Float[Tensor, "features samples"], layers: Layers, start: float, dtype: torch.dtype
) -> Float[Tensor, "samples 16"]:
    """Log density and 15 numbers that colors are made from, without a graph.

    With all weights zero every row is (start, 0, ..., 0).
    """
    twin = _pick(layers)
    if twin is None:
        return density_definition(features, layers, start, dtype)
    geometry: Tensor = twin.density(features, layers, start, dtype)
    return geometry


@torch.no_grad()
def color_mlp(
    geometry: Float[Tensor, "samples 16"],
    encoded: Float[Tensor, "rays 16"],
    ray: Int[Tensor, " samples"],
    layers: Layers,
    dtype: torch.dtype,
) -> Float[Tensor, "samples 3"]:
    """Color logits, without a graph; `ray` holds rows of `encoded`, the harmonics of each ray."""
    twin = _pick(layers)
    if twin is None:
        return color_definition(geometry, encoded, ray, layers, dtype)
    logits: Tensor = twin.color(geometry, encoded, ray, layers, dtype)
    return logits


@torch.no_grad()
def mlp_backward(
    features: Float[Tensor, "features samples"],
    encoded: Float[Tensor, "rays 16"],
    ray: Int[Tensor, " samples"],
    grad: Float[Tensor, "samples 4"],
    layers: Layers,
    start: float,
    dtype: torch.dtype,
) -> tuple[Layers, Float[Tensor, "features samples"]]:
    """The gradients at the layers' weights, summed over samples, and at the features.

    They are those of `(definition(...) * grad).sum()`, evaluated anew, without a graph.
    """
    twin = _pick(layers)
    if twin is None:
        return backward_definition(features, encoded, ray, grad, layers, start, dtype)
    *grads, at_features = twin.backward(features, encoded, ray, grad, layers, start, dtype)
    return Layers(*grads), at_features


def _color_inputs(geometry: Tensor, encoded: Tensor, ray: Tensor, dtype: torch.dtype) -> Tensor:
    return torch.cat([geometry.to(dtype), encoded.to(dtype).index_select(0, ray)], 1)


def _pick(layers: Layers) -> ModuleType | None:
    """The twin's module for weights in fp32; other numbers are the definition's."""
    return pick("mlp", layers.density1) if layers.density1.dtype == torch.float32 else None
