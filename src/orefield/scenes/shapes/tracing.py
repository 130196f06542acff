"""Solids that rays meet in closed form, and the light that comes back along a ray.

A solid is where |A (p - center)| <= 1 for all its bounds A: rank 3 bounds a ball, rank 2 an endless
rod, rank 1 a slab. Vectors are `[3, n]` in world units, directions unit length, colors linear RGB.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

Vectors = Float[np.ndarray, "3 n"]
Numbers = Float[np.ndarray, " n"]
SUN, SUNLIGHT = np.array([[0.48], [-0.6], [0.64]]), np.array([[2.2], [2.0], [1.7]])
SKYLIGHT, GROUND = np.array([[0.7], [0.75], [0.85]]), np.array([[0.2], [0.18], [0.15]])


class Solid(NamedTuple):
    """A convex body within `radius` of `center`."""

    center: Float[np.ndarray, "3 1"]
    radius: float
    bounds: Sequence[Float[np.ndarray, "_ 3"]]

    @np.errstate(invalid="ignore")  # where a ray misses a bound, the root and so `enter` are NaN
    def hit(self, origins: Vectors, directions: Vectors) -> Numbers:
        """Distance at which rays from outside enter the last bound; infinite where they miss."""
        enter, leave, offset = -np.inf, np.inf, origins - self.center
        for bound in self.bounds:  # the roots of |start + t speed|^2 = 1
            start, speed = bound @ offset, bound @ directions
            a, b = np.maximum(dot(speed, speed), 1e-30), dot(start, speed)
            root = np.sqrt(b * b - a * (dot(start, start) - 1))
            enter, leave = np.maximum(enter, (-b - root) / a), np.minimum(leave, (root - b) / a)
        return np.where((enter < leave) & (enter > 0), enter, np.inf)

    def normal(self, points: Vectors) -> Vectors:
        """Outward unit normals at points of the surface: of the bound nearest to its limit."""
        images = [bound @ (points - self.center) for bound in self.bounds]
        limit = np.argmax([dot(image, image) for image in images], axis=0)
        normals = np.choose(limit, [b.T @ i for b, i in zip(self.bounds, images, strict=True)])
        return np.asarray(normals / np.linalg.norm(normals, axis=0))


def ball(x: float, y: float, z: float, radius: float) -> Solid:
    """A ball."""
    return Solid(np.array([[x], [y], [z]]), radius, [np.eye(3) / radius])


def cube(x: float, y: float, z: float, half: float) -> Solid:
    """A cube with edges of twice `half`, turned about z."""
    axes = np.array([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]])
    return Solid(np.array([[x], [y], [z]]), 1.75 * half, list(axes[:, None] / half))


def rod(start: Sequence[float | int], stop: Sequence[float | int], radius: float) -> Solid:
    """A round rod with flat ends; a short one is a disc."""
    half = (np.array([stop]) - start) / 2
    length = float(np.linalg.norm(half))
    across = (np.eye(3) - half.T @ half / length**2) / radius
    return Solid((start + half).T, float(np.hypot(length, radius)), [across, half / length**2])


class Thing(NamedTuple):
    """A solid, colors (hex) in turn, one at each whole `phase`, and the share mirrored head-on."""

    solid: Solid
    colors: str
    phase: Callable[[Vectors], Numbers] = lambda points: 0 * points[0]
    mirror: float = 0.0


def first_hit(
    things: Sequence[Thing], origins: Vectors, directions: Vectors
) -> tuple[Numbers, Int[np.ndarray, " n"]]:
    """Distance to the nearest thing, infinite where a ray meets none, and its index."""
    t = np.full((len(things), origins.shape[1]), np.inf)
    squared, along = dot(origins, origins), dot(origins, directions)
    for i, (solid, *_) in enumerate(things):
        c = solid.center[:, 0]  # |c - o|^2 - ((c - o) . d)^2 is how far the ray passes it, squared
        past = squared + c @ c - 2 * c @ origins - (c @ directions - along) ** 2
        rays = np.flatnonzero(past < solid.radius**2)
        t[i, rays] = solid.hit(origins[:, rays], directions[:, rays])
    return t.min(axis=0), t.argmin(axis=0)


def radiance(
    things: Sequence[Thing], origins: Vectors, directions: Vectors, bounces: int = 1
) -> tuple[Vectors, Numbers]:
    """Color and distance of what rays meet: the sky, at infinity, if nothing or out of bounces."""
    glow = 20 * np.maximum(dot(directions, SUN), 0) ** 80
    color = GROUND + (SKYLIGHT - GROUND) * np.clip(0.5 + 4 * directions[2], 0, 1) + SUNLIGHT * glow
    if bounces < 0:
        return color, np.full(origins.shape[1], np.inf)
    t, index = first_hit(things, origins, directions)
    met = np.flatnonzero(np.isfinite(t))
    toward, index = directions[:, met], index[met]
    points = origins[:, met] + t[met] * toward
    normals, paint = np.zeros((2, *points.shape))
    for i in np.unique(index):
        here = np.flatnonzero(index == i)
        normals[:, here] = things[i].solid.normal(points[:, here])
        turn, codes = things[i].phase(points[:, here]), things[i].colors.split()
        palette = [[(int(code[k], 16) / 15) ** 2.2 for code in codes] for k in range(3)]
        paint[:, here] = [np.interp(turn, range(len(c)), c, period=len(c)) for c in palette]
    above = points + 1e-4 * normals  # where rays to the sun and mirrored ones start
    shadow, _ = first_hit(things, above, np.repeat(SUN, len(met), axis=1))
    sun = SUNLIGHT * np.maximum(dot(normals, SUN), 0) * np.isinf(shadow)
    color[:, met] = paint * (sun + (SKYLIGHT + GROUND + (SKYLIGHT - GROUND) * normals[2]) / 4)
    mirror = np.array([thing.mirror for thing in things])[index]
    shiny = np.flatnonzero(mirror)
    cosine = -dot(normals, toward)[shiny]
    bounced = toward[:, shiny] + 2 * cosine * normals[:, shiny]
    seen, _ = radiance(things, above[:, shiny], bounced, bounces - 1)
    share = mirror[shiny] + (1 - mirror[shiny]) * (1 - cosine) ** 5  # Schlick (1994)
    color[:, met[shiny]] += share * (seen - color[:, met[shiny]])
    return color, t


def noise(points: Vectors, octaves: int) -> Numbers:
    """Smooth noise in [0, 1) in halving waves, the same on every machine: integers make it."""
    cell, corners = np.floor(points), np.reshape(list(np.ndindex(2, 2, 2)), (8, 3, 1))
    share = (points - cell) ** 2 * (3 - 2 * (points - cell))
    x, y, z = (cell + corners).astype(np.int64).astype(np.uint32).swapaxes(0, 1)
    key = x * 73856093 ^ y * 19349663 ^ z * 83492791
    key = (key ^ (key >> 15)) * 0x2C1B3C6D
    key = (key ^ (key >> 12)) * 0x297A2D39
    value = np.asarray((abs(1 - corners - share).prod(axis=1) * key).sum(axis=0) / 2.0**32)
    return value if octaves == 1 else (value + noise(2 * points + 17, octaves - 1)) / 2


def dot(a: Float[np.ndarray, "... #n"], b: Float[np.ndarray, "... #n"]) -> Numbers:
    """Inner products of columns."""
    return np.asarray(np.einsum("kn,kn->n", a, b))
