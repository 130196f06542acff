"""What the solids of the scene `shapes` look like: textures, lights, gloss."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from jaxtyping import Float, UInt32

from orefield.scenes.shapes.geometry import Numbers, Spread, Vectors, column, dot, unit

Texture = Callable[[Vectors], Vectors]
"""Linear RGB albedo in [0, 1] at points in world units."""

SUN = unit(column((0.55, -0.62, 0.95)))
SUNLIGHT = column((1.0, 0.93, 0.80)) * 2.0
ZENITH = column((0.45, 0.62, 0.95))
HORIZON = column((0.95, 0.93, 0.90))
GROUND = column((0.36, 0.30, 0.26))


@dataclass(frozen=True)
class Material:
    """A texture and how it shines."""

    texture: Texture
    highlight: float = 0.15
    """Strength of the Blinn-Phong highlight."""
    shininess: float = 30.0
    """Blinn-Phong exponent."""
    mirror: float = 0.0
    """Reflectance seen head-on (Schlick's F0); 0 reflects nothing at any angle."""
    metal: bool = False
    """Reflections take the color of the texture."""


def linear(code: str) -> Float[np.ndarray, "3 1"]:
    """Linear RGB of an sRGB hex code, with the plain 2.2 power."""
    return column(tuple((int(code[i : i + 2], 16) / 255) ** 2.2 for i in (0, 2, 4)))  # type: ignore[arg-type]


def display(color: Vectors) -> Vectors:
    """Linear light to display values in [0, 1]: a soft shoulder, then the 2.2 power."""
    return np.asarray((1 - np.exp(-1.25 * np.maximum(color, 0))) ** (1 / 2.2))


def plain(code: str) -> Texture:
    """One color."""
    return lambda points: np.repeat(linear(code), points.shape[1], axis=1)


def striped(codes: tuple[str, ...], phase: Callable[[Vectors], Numbers]) -> Texture:
    """Colors in turn, one per unit of `phase`."""
    palette = np.concatenate([linear(code) for code in codes], axis=1)
    return lambda points: palette[:, np.floor(phase(points)).astype(np.int64) % len(codes)]


def azimuth(points: Vectors, x: float, y: float) -> Numbers:
    """Turns about the vertical axis through (x, y), in [-0.5, 0.5]."""
    return np.asarray(np.arctan2(points[1] - y, points[0] - x) / (2 * np.pi))


def value_noise(points: Vectors) -> Numbers:
    """Smooth noise in [0, 1): fixed values on the integer lattice, blended by smoothstep."""
    cell = np.floor(points)
    w = points - cell
    w = w * w * (3 - 2 * w)
    near = cell.astype(np.int64).astype(np.uint32)
    primes = np.array([[73856093], [19349663], [83492791]], dtype=np.uint32)
    keys, shares = (near * primes, (near + np.uint32(1)) * primes), (1 - w, w)
    total = np.zeros(points.shape[1])
    for i, j, k in product((0, 1), repeat=3):
        value = scrambled(keys[i][0] ^ keys[j][1] ^ keys[k][2])
        total += shares[i][0] * shares[j][1] * shares[k][2] * value
    return total


def scrambled(key: UInt32[np.ndarray, " n"]) -> Numbers:
    """A number in [0, 1) from a key by integer arithmetic alone: the same on every machine."""
    key = (key ^ (key >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    key = (key ^ (key >> np.uint32(12))) * np.uint32(0x297A2D39)
    return np.asarray((key ^ (key >> np.uint32(15))) / 2.0**32)


def fractal_noise(points: Vectors, octaves: int) -> Numbers:
    """Value noise summed over halving wavelengths, about in [0, 1]."""
    return np.asarray(
        sum(value_noise(points * 2.0**i + 17.0 * i) / 2.0 ** (i + 1) for i in range(octaves))
    )


def blend(a: Spread, b: Spread, share: Numbers) -> Vectors:
    """From `a` to `b` as `share` goes from 0 to 1."""
    return np.asarray(a + (b - a) * np.clip(share, 0, 1))


def sky(directions: Vectors) -> Vectors:
    """What a reflection sees where it meets no solid: ground, horizon, zenith, a bright window."""
    height = directions[2]
    above = blend(HORIZON, ZENITH, np.maximum(height, 0) ** 0.6)
    color = blend(GROUND, above, 0.5 + 6 * height)
    window = np.clip((dot(directions, WINDOW) - 0.90) / 0.03, 0, 1)
    return np.asarray(color + 2.6 * window)


WINDOW = unit(column((-0.35, -0.75, 0.9)))


def ambient(normals: Vectors) -> Vectors:
    """Diffuse light of the sky and of the ground below (hemisphere lighting)."""
    up = 0.5 + 0.5 * normals[2]
    return np.asarray(GROUND * 0.55 * (1 - up) + (0.5 * ZENITH + 0.5 * HORIZON) * 0.52 * up)


def schlick(mirror: float, cosine: Numbers) -> Numbers:
    """Fresnel reflectance, Schlick (1994): F0 + (1 - F0) (1 - cos)^5."""
    return np.asarray(mirror + (1 - mirror) * (1 - np.clip(cosine, 0, 1)) ** 5)


def shade(
    material: Material,
    albedo: Vectors,
    normals: Vectors,
    views: Vectors,
    lit: Numbers,
    open_sky: Numbers,
) -> Vectors:
    """Diffuse sun and ambient light plus the Blinn-Phong highlight; `views` point at the eye.

    `lit` is 1 where the sun reaches the point, `open_sky` the share of ambient light that does.
    """
    facing = np.maximum(dot(normals, SUN), 0) * lit
    half = unit(SUN + views)
    glint = np.maximum(dot(normals, half), 0) ** material.shininess * (facing > 0) * lit
    diffuse = albedo * (SUNLIGHT * facing + ambient(normals) * open_sky)
    tint = albedo if material.metal else np.ones_like(albedo)
    body = diffuse * (0.25 if material.metal else 1.0)
    return np.asarray(body + material.highlight * glint * SUNLIGHT * tint)
