"""Thin solids: wires and rings (conventions of `shapes_geometry`)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from orefield.scenes.shapes.geometry import (
    AHEAD,
    PARALLEL,
    Numbers,
    Point,
    Sphere,
    Vectors,
    column,
    dot,
    pick,
    unit,
)

STEPS = 200
"""Sphere tracing gives up after this many: enough for rays one degree off a ring's tangent."""
CLOSE = 1e-4
"""Distance to a ring from which Newton's method converges."""


@dataclass(frozen=True)
class Rods:
    """Thin round rods between pairs of points, with round ends."""

    ends: tuple[tuple[Point, Point], ...]
    radius: float

    @cached_property
    def ball(self) -> tuple[Point, float]:
        """Round the middle of all ends."""
        ends = np.array(self.ends).reshape(-1, 3)
        center = ends.mean(axis=0)
        x, y, z = center.tolist()
        return (x, y, z), float(np.linalg.norm(ends - center, axis=1).max()) + self.radius

    def hit(self, origins: Vectors, directions: Vectors) -> Numbers:
        """The nearest rod: its round side between the ends, or the ball at an end."""
        nearest = self._sides(origins, directions)
        for end in sorted({end for pair in self.ends for end in pair}):
            nearest = np.minimum(nearest, Sphere(end, self.radius).hit(origins, directions))
        return nearest

    def _sides(self, origins: Vectors, directions: Vectors) -> Numbers:
        """Infinite cylinders along the rods, cut at both ends; arrays are [rods, n]."""
        start, stop = np.array(self.ends).transpose(1, 0, 2)
        length = np.linalg.norm(stop - start, axis=1)[:, None]
        axis = (stop - start) / length
        o_along = axis @ origins - (axis * start).sum(axis=1)[:, None]
        d_along = axis @ directions
        squared = dot(origins, origins) - 2 * start @ origins + (start * start).sum(axis=1)[:, None]
        a = 1 - d_along * d_along
        a = np.where(a < PARALLEL, PARALLEL, a)
        b = dot(origins, directions) - start @ directions - o_along * d_along
        inside = b * b - a * (squared - o_along * o_along - self.radius**2)
        t = (-b - np.sqrt(np.maximum(inside, 0))) / a
        z = o_along + t * d_along
        on = (inside > 0) & (t > AHEAD) & (z >= 0) & (z <= length)
        return np.asarray(np.where(on, t, np.inf).min(axis=0))

    def normal(self, points: Vectors) -> Vectors:
        """Away from the nearest point on any rod's axis."""
        best, arrow = np.full(points.shape[1], np.inf), np.zeros_like(points)
        for a, b in self.ends:
            axis = column(b) - column(a)
            offset = points - column(a)
            offset = offset - axis * np.clip(dot(offset, axis) / dot(axis, axis), 0, 1)
            distance = dot(offset, offset)
            arrow = np.where(distance < best, offset, arrow)
            best = np.minimum(distance, best)
        return unit(arrow)


@dataclass(frozen=True)
class Ring:
    """A torus."""

    center: Point
    axis: Point
    """Unit normal of its plane."""
    radius: float
    """From the center to the middle of the tube."""
    tube: float
    """Radius of the tube."""

    @property
    def ball(self) -> tuple[Point, float]:
        """Round the outer rim."""
        return self.center, self.radius + self.tube

    def _polar(self, points: Vectors) -> tuple[Vectors, Numbers, Numbers]:
        """The part of the offset from the center that lies in the plane, its length, the height."""
        offset = points - column(self.center)
        height = dot(offset, column(self.axis))
        flat = offset - column(self.axis) * height
        return flat, np.sqrt(dot(flat, flat)), height

    def _distance(self, points: Vectors) -> Numbers:
        _, reach, height = self._polar(points)
        return np.asarray(np.hypot(reach - self.radius, height) - self.tube)

    def hit(self, origins: Vectors, directions: Vectors) -> Numbers:
        """Sphere tracing on the exact distance to the tube until near it, then Newton's method."""
        outer = self.radius + self.tube
        toward = dot(column(self.center) - origins, directions)
        t, far = np.maximum(toward - outer, 0.0), toward + outer
        active = np.arange(len(t))
        for _ in range(STEPS):
            gap = self._distance(pick(origins, active) + t[active] * pick(directions, active))
            active, gap = active[gap > CLOSE], gap[gap > CLOSE]
            t[active] += gap
            active = active[t[active] < far[active]]
            if not len(active):
                break
        close = np.flatnonzero(t < far)
        o, d, s = pick(origins, close), pick(directions, close), t[close]
        for _ in range(6):
            fall = np.minimum(dot(self.normal(o + s * d), d), -1e-3)
            s = s - self._distance(o + s * d) / fall
        # A ray that comes close without touching has no root for Newton's method to find.
        on = (np.abs(self._distance(o + s * d)) < AHEAD) & (s > AHEAD) & (s < far[close])
        found = np.full_like(t, np.inf)
        found[close[on]] = s[on]
        return found

    def normal(self, points: Vectors) -> Vectors:
        """Away from the middle of the tube."""
        flat, reach, height = self._polar(points)
        away = 1 - self.radius / np.maximum(reach, PARALLEL)
        return unit(flat * away + column(self.axis) * height)
