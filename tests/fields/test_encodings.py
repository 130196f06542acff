"""Laws of the spherical harmonics and of the sine encoding."""

import math

import numpy as np
import pytest
import torch

from orefield.fields.encodings import frequency_encoding, spherical_harmonics
from strategies import seeded

DEGREES = torch.tensor([degree for degree in range(4) for _ in range(2 * degree + 1)])


def sphere() -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials up to degree 7 over the sphere exactly:
    Gauss and Legendre's heights, equal turns about the axis."""
    z, weight = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(4))
    turn = 2 * math.pi * torch.arange(8, dtype=torch.float64) / 8
    z, turn = z[:, None].expand(4, 8), turn.expand(4, 8)
    flat = (1 - z * z).sqrt()
    points = torch.stack([flat * turn.cos(), flat * turn.sin(), z], -1).view(-1, 3)
    return points, (weight[:, None] * 2 * math.pi / 8).expand(4, 8).reshape(-1)


def random_directions() -> torch.Tensor:
    d = torch.randn(50, 3, generator=seeded(), dtype=torch.float64)
    return d / d.norm(dim=1, keepdim=True)


def test_orthonormal_over_the_sphere():
    directions, weight = sphere()
    y = spherical_harmonics(directions)
    products = (y * weight[:, None]).T @ y
    torch.testing.assert_close(products, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-12)


def test_parity_is_that_of_the_degree():
    d = random_directions()
    sign = (-1.0) ** DEGREES
    torch.testing.assert_close(spherical_harmonics(-d), sign * spherical_harmonics(d))


def test_each_degree_has_the_same_power_everywhere():
    """The addition theorem: the squares of degree l sum to (2 l + 1) / 4 pi in every direction."""
    y = spherical_harmonics(random_directions())
    for degree in range(4):
        power = y[:, degree == DEGREES].square().sum(1)
        assert power.tolist() == pytest.approx([(2 * degree + 1) / (4 * math.pi)] * len(y))


def test_encoding_is_its_closed_form():
    x = [0.25, -1.0, 0.5]
    expected = list(x)
    for wave in (math.sin, math.cos):
        for k in range(3):
            expected += [wave(2**k * math.pi * value) for value in x]
    encoded = frequency_encoding(torch.tensor([x], dtype=torch.float64), 3)
    torch.testing.assert_close(encoded, torch.tensor([expected], dtype=torch.float64))


def test_encoding_turns_a_shift_into_a_rotation():
    # (sin, cos) of each octave turns by 2^k pi d, whatever x is: the reason this encoding is used.
    x, d = torch.rand(5, 3, dtype=torch.float64), 0.125
    before, after = (frequency_encoding(y, 2)[:, 3:].view(5, 2, 2, 3) for y in (x, x + d))
    for k in range(2):
        turn = 2**k * math.pi * d
        sine = before[:, 0, k] * math.cos(turn) + before[:, 1, k] * math.sin(turn)
        torch.testing.assert_close(after[:, 0, k], sine)
