"""What a run remembers of its scene, to notice that it has changed since."""

import math
from dataclasses import dataclass
from itertools import chain
from typing import Any
from zlib import crc32

from orefield.cameras import Camera
from orefield.scenes.scene import Scene, View

_BYTES = 2**17
"""Of each picture, rows of about so many bytes in all are looked at: 20 ms for 300 pictures."""
_TOLERANCE = 1e-5
"""By so much a view, in scene units, sums over cameras may differ: another processor rounds."""


@dataclass(frozen=True)
class SceneDigest:
    """Numbers that are equal for equal scenes, wherever these lie."""

    train: int
    """Training views."""
    test: int
    """Test views."""
    names: int
    """Checksum of the views' names, sizes and kinds of lens, in order."""
    pictures: int
    """Checksum of evenly spaced rows of all pictures, masks included."""
    cameras: tuple[float, ...]
    """Weighted sums over the views: 12 of the poses, 4 of the intrinsics, 8 of the distortion."""


CAMERA_SUMS = 24


def digest_of(scene: Scene) -> SceneDigest:
    """Look through a scene; a tenth of a second for hundreds of photographs."""
    views = [*scene.train, *scene.test]
    names = pictures = 0
    for view in views:
        camera = view.camera
        text = f"{view.name}\0{camera.width} {camera.height} {camera.lens}\n"
        names = crc32(text.encode(errors="surrogatepass"), names)
        every = max(view.image.numel() // _BYTES, 1)
        pictures = crc32(view.image[::every].contiguous().numpy().data, pictures)
        if view.valid is not None:
            pictures = crc32(view.valid[::every].contiguous().numpy().data, pictures)
    # Weights that differ, so that two cameras changing places are noticed.
    weighted = [(1 + index / len(views), _numbers(view)) for index, view in enumerate(views)]
    sums = (math.fsum(w * numbers[i] for w, numbers in weighted) for i in range(CAMERA_SUMS))
    return SceneDigest(len(scene.train), len(scene.test), names, pictures, tuple(sums))


def changes(before: SceneDigest, now: SceneDigest) -> str:
    """What differs, for people, such as `other pictures, other cameras`; empty where all agree."""
    told = [
        f"{new} instead of {old} {kind} views"
        for kind, old, new in (
            ("training", before.train, now.train),
            ("test", before.test, now.test),
        )
        if old != new
    ]
    if not told:  # else everything differs
        told += ["other names or sizes"] * (before.names != now.names)
        told += ["other pictures"] * (before.pictures != now.pictures)
        pairs = zip(before.cameras, now.cameras, strict=True)
        tolerance = _TOLERANCE * (now.train + now.test)
        same = all(abs(a - b) <= tolerance for a, b in pairs)
        told += ["other cameras"] * (not same)
    return ", ".join(told)


def digest_from_dict(values: Any) -> SceneDigest | None:
    """A digest as read from JSON; None where something does not fit."""
    if not isinstance(values, dict) or values.keys() != SceneDigest.__dataclass_fields__.keys():
        return None
    sums = values.pop("cameras")
    if not all(type(number) is int and 0 <= number < 2**32 for number in values.values()):
        return None
    if not (isinstance(sums, list) and len(sums) == CAMERA_SUMS):
        return None
    if not all(type(number) is float and math.isfinite(number) for number in sums):
        return None
    return SceneDigest(**values, cameras=tuple(sums))


def _numbers(view: View) -> list[float]:
    camera: Camera = view.camera
    size = [camera.fx / camera.width, camera.fy / camera.height]
    center = [camera.cx / camera.width, camera.cy / camera.height]
    distortion = [*camera.distortion, *([0.0] * (8 - len(camera.distortion)))]
    return list(chain(view.pose.flatten().tolist(), size, center, distortion))
