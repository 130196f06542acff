"""What a ray sees in the scene `shapes`: the nearest thing, its shadow, and one mirror image."""

from functools import cache

import numpy as np
from jaxtyping import Int

from orefield.scenes.shapes.geometry import Numbers, Vectors, column, dot, first_hit, pick, unit
from orefield.scenes.shapes.objects import Thing, things
from orefield.scenes.shapes.surface import SUN, display, schlick, shade, sky

LIFT = 1e-4
"""Secondary rays start this far above a surface."""
CHUNK = 32_768
"""Rays traced at once: few calls, yet vectors that stay near the processor."""

World = tuple[Thing, ...]
everything = cache(things)


def shadow(world: World, points: Vectors, normals: Vectors) -> Numbers:
    """1 where the sun reaches a point, 0 in shadow and where the surface turns away."""
    lit = np.zeros(points.shape[1])
    facing = np.flatnonzero(dot(normals, SUN) > 0)
    start = pick(points, facing) + LIFT * pick(normals, facing)
    t, _ = first_hit(
        tuple(thing.solid for thing in world), start, np.repeat(SUN, len(facing), axis=1)
    )
    lit[facing] = np.isinf(t)
    return lit


def open_sky(
    world: World, points: Vectors, normals: Vectors, index: Int[np.ndarray, " n"]
) -> Numbers:
    """Share of the hemisphere above a surface that other things leave free.

    A ball of radius r at distance d and angle a from the normal covers cos(a) r^2 / d^2 of the
    cosine-weighted hemisphere, as long as it lies above the horizon.
    """
    free = np.ones(points.shape[1])
    for i, thing in enumerate(world):
        for ball in thing.occluders:
            arrow = column(ball.center) - points
            squared = np.maximum(dot(arrow, arrow), ball.radius**2)
            cover = np.maximum(dot(normals, arrow), 0) * ball.radius**2 / squared**1.5
            free *= np.where(index == i, 1.0, 1 - cover)
    return free


def radiance(
    world: World, origins: Vectors, directions: Vectors, bounces: int
) -> tuple[Vectors, Numbers, Int[np.ndarray, " n"]]:
    """Linear color (zero where nothing is met), distance and index of what each ray meets."""
    t, index = first_hit(tuple(thing.solid for thing in world), origins, directions)
    met = np.flatnonzero(index >= 0)
    points = pick(origins, met) + t[met] * pick(directions, met)
    normals = np.zeros_like(points)
    for i in np.unique(index[met]):
        here = np.flatnonzero(index[met] == i)
        normals[:, here] = world[i].solid.normal(pick(points, here))
    lit, free = shadow(world, points, normals), open_sky(world, points, normals, index[met])

    color = np.zeros_like(directions)
    for i in np.unique(index[met]):
        here = np.flatnonzero(index[met] == i)
        p, n, d = pick(points, here), pick(normals, here), pick(directions, met[here])
        material = world[i].material
        albedo = material.texture(p)
        out = shade(material, albedo, n, -d, lit[here], free[here])
        if material.mirror and bounces:
            cosine = -dot(n, d)
            bounced = unit(d + 2 * cosine * n)
            seen, far, _ = radiance(world, p + LIFT * n, bounced, bounces - 1)
            seen = np.where(np.isinf(far), sky(bounced), seen)
            out = out + schlick(material.mirror, cosine) * seen * (
                albedo if material.metal else 1.0
            )
        color[:, met[here]] = out
    return color, t, index


def trace(
    world: World, origins: Vectors, directions: Vectors
) -> tuple[Vectors, Numbers, Int[np.ndarray, " n"]]:
    """Display color in [0, 1], distance and index of what each ray meets, in chunks."""
    parts = [
        radiance(world, origins[:, i : i + CHUNK], directions[:, i : i + CHUNK], 1)
        for i in range(0, origins.shape[1], CHUNK)
    ]
    color, t, index = (np.concatenate(part, axis=-1) for part in zip(*parts, strict=True))
    return display(color), t, index
