"""Encodings of positions and directions that have no parameters."""

import math

import torch
from jaxtyping import Float
from torch import Tensor


def spherical_harmonics(d: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 16"]:
    """The 16 real spherical harmonics of degrees 0 to 3 at unit directions.

    Orthonormal over the sphere (Sloan, "Stupid Spherical Harmonics Tricks", 2008, appendix A2).
    """
    x, y, z = d.unbind(1)
    xx, yy, zz = x * x, y * y, z * z
    return torch.stack(
        [
            torch.full_like(x, 0.28209479177387814),
            -0.4886025119029199 * y,
            0.4886025119029199 * z,
            -0.4886025119029199 * x,
            1.0925484305920792 * x * y,
            -1.0925484305920792 * y * z,
            0.31539156525252005 * (3 * zz - 1),
            -1.0925484305920792 * x * z,
            0.5462742152960396 * (xx - yy),
            -0.5900435899266435 * y * (3 * xx - yy),
            2.890611442640554 * x * y * z,
            -0.4570457994644658 * y * (5 * zz - 1),
            0.3731763325901154 * z * (5 * zz - 3),
            -0.4570457994644658 * x * (5 * zz - 1),
            1.445305721320277 * z * (xx - yy),
            -0.5900435899266435 * x * (xx - 3 * yy),
        ],
        1,
    )


def frequency_encoding(x: Float[Tensor, "n 3"], octaves: int) -> Float[Tensor, "n code"]:
    """`(x, sin(2^k pi x), cos(2^k pi x))` for k = 0 .. octaves - 1: 3 + 6 octaves numbers.

    x in [-1, 1]. The paper's equation 4, with x itself in front as in the paper's code.
    """
    scales = math.pi * 2.0 ** torch.arange(octaves, device=x.device, dtype=x.dtype)
    angles = (x[:, None, :] * scales[:, None]).flatten(1)
    return torch.cat([x, angles.sin(), angles.cos()], dim=1)
