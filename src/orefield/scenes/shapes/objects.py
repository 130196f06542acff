"""What stands where in the scene `shapes`: a tray of glossy, striped, grained and wiry things.

World units, z up; the tray's top is at FLOOR and everything lies within [-1.2, 1.2]^3.
"""

import math
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from orefield.scenes.shapes.geometry import (
    Block,
    Frustum,
    Point,
    Solid,
    Sphere,
    Vectors,
    column,
)
from orefield.scenes.shapes.surface import (
    Material,
    Texture,
    azimuth,
    blend,
    fractal_noise,
    linear,
    plain,
    striped,
)
from orefield.scenes.shapes.thin import Ring, Rods

FLOOR = -0.44
TRAY = 1.13
"""Radius of the tray."""


@dataclass(frozen=True)
class Thing:
    """A solid, its surface, and balls that stand for it where it darkens what is near."""

    solid: Solid
    material: Material
    occluders: tuple[Sphere, ...] = ()


def tray_texture(points: Vectors) -> Vectors:
    """Checkered field inside a grained wooden rim."""
    squares = np.floor(points[0] / 0.19 + 0.5) + np.floor(points[1] / 0.19 + 0.5)
    field = np.where(squares % 2 == 0, linear("f2e6cf"), linear("3f6f8c"))
    reach = np.hypot(points[0], points[1])
    grain = fractal_noise(np.stack([4 * points[0], 4 * points[1], 40 * (reach + points[2])]), 3)
    wood = blend(linear("3d1f10"), linear("a8632f"), 2.2 * grain - 0.55)
    line = np.where(np.abs(reach - TRAY + 0.13) < 0.012, linear("d9a441"), wood)
    return np.where((reach < TRAY - 0.13) & (points[2] > FLOOR - 1e-3), field, line)


def marble(points: Vectors) -> Vectors:
    """Pale stone with blue veins."""
    warp = fractal_noise(points * 5.0, 4)
    vein = 1 - np.abs(np.sin(9.0 * (points[0] + 0.7 * points[1] - 0.6 * points[2]) + 9.0 * warp))
    return blend(linear("f3efe8"), linear("1f3a6b"), 1.15 * vein**3 + 0.5 * (warp - 0.5))


def planet(center: Point) -> Texture:
    """Continents, shores and snow."""

    def texture(points: Vectors) -> Vectors:
        height = fractal_noise((points - column(center)) * 11.0 + 40.0, 4)
        sea = blend(linear("0b2a6b"), linear("1f8fb8"), 2.6 * height - 0.4)
        land = blend(linear("d8c27a"), linear("2f7a35"), 9.0 * (height - 0.50))
        land = blend(land, linear("ffffff"), 9.0 * (height - 0.63))
        return np.where(height < 0.49, sea, land)

    return texture


def icosahedron(center: Point, radius: float) -> tuple[tuple[Point, Point], ...]:
    """The 30 edges of a regular icosahedron, lying on one of them."""
    g = (1 + 5**0.5) / 2
    signs = [(a, b * g) for a in (-1.0, 1.0) for b in (-1.0, 1.0)]
    corners = [corner for a, b in signs for corner in ((0.0, a, b), (a, b, 0.0), (b, 0.0, a))]
    scale = radius / float(np.hypot(1.0, g))

    def place(corner: Point) -> Point:
        return tuple(c + scale * x for c, x in zip(center, corner, strict=True))  # type: ignore[return-value]

    pairs = combinations(corners, 2)
    return tuple((place(p), place(q)) for p, q in pairs if abs(math.dist(p, q) - 2.0) < 1e-9)


def gloss(code: str) -> Material:
    """Lacquer: one color, a sharp highlight, and reflections that grow towards the rim."""
    return Material(plain(code), highlight=0.9, shininess=140.0, mirror=0.05)


GOLD = Material(plain("f2b63c"), highlight=1.3, shininess=60.0, mirror=0.75, metal=True)


def resting(x: float, y: float, radius: float, material: Material, foot: float = FLOOR) -> Thing:
    """A ball whose lowest point is at height `foot`."""
    ball = Sphere((x, y, foot + radius), radius)
    return Thing(ball, material, (ball,))


def tray() -> Thing:
    """What everything stands on."""
    return Thing(Frustum((0.0, 0.0, FLOOR - 0.11), 0.11, TRAY, TRAY), Material(tray_texture, 0.12))


def pole(x: float, y: float) -> tuple[Thing, ...]:
    """A striped pole with a golden ball on top and a golden ring tossed round its foot."""
    radius, height = 0.115, 0.92
    helix = striped(("f7f3ea", "d7263d"), lambda p: 2 * azimuth(p, x, y) + p[2] * 5.0)
    stack = tuple(Sphere((x, y, FLOOR + radius * i), radius) for i in (1, 3, 5))
    lean, wide, tube = math.radians(21), 0.27, 0.04
    axis = (0.6 * math.sin(lean), -0.8 * math.sin(lean), math.cos(lean))
    ring = Ring((x + 0.03, y - 0.02, FLOOR + wide * math.sin(lean) + tube), axis, wide, tube)
    return (
        Thing(Frustum((x, y, FLOOR), height, radius, radius), Material(helix, 0.35, 60.0), stack),
        resting(x, y, 0.155, GOLD, FLOOR + height - 0.01),
        Thing(ring, GOLD),
    )


def cone(x: float, y: float) -> Thing:
    """Striped in rings."""
    radius, height = 0.30, 0.78
    rings = striped(("118ab2", "ffd166", "06b59a", "fff4dc"), lambda p: (p[2] - FLOOR) / 0.065)
    stack = tuple(
        Sphere((x, y, FLOOR + up), radius * (1 - up / height)) for up in (0.10, 0.30, 0.50)
    )
    return Thing(Frustum((x, y, FLOOR), height, radius, 0.0), Material(rings, 0.3, 40.0), stack)


def cage(x: float, y: float) -> tuple[Thing, ...]:
    """A marble block, on it a wire icosahedron round a green ball."""
    half = 0.25
    block = Block((x, y, FLOOR + half), (half, half, half), 0.5)
    top = FLOOR + 2 * half
    wires = Rods(icosahedron((x, y, top + 0.275), 0.31), 0.0135)
    return (
        Thing(block, Material(marble, 0.4, 80.0, 0.03), (Sphere(block.center, 1.2 * half),)),
        Thing(wires, Material(plain("22252b"), 0.6, 60.0)),
        resting(x, y, 0.135, gloss("12a150"), top + 0.14),
    )


def things() -> tuple[Thing, ...]:
    """Everything in the scene."""
    beach = striped(
        ("ef476f", "ffffff", "ffc43d", "ffffff", "1b9aaa", "ffffff"),
        lambda p: 6 * azimuth(p, 0.20, -0.72),
    )
    globe = planet((-0.02, -0.02, FLOOR + 0.13))
    return (
        tray(),
        resting(-0.42, -0.36, 0.36, gloss("9c0a1c")),
        *pole(0.04, 0.56),
        cone(-0.60, 0.36),
        *cage(0.60, 0.06),
        resting(0.20, -0.72, 0.20, Material(beach, 0.4, 60.0)),
        resting(-0.02, -0.02, 0.13, Material(globe, 0.25)),
        resting(0.66, -0.52, 0.085, gloss("7b2cbf")),
        resting(0.47, -0.40, 0.06, gloss("ff7b00")),
    )
