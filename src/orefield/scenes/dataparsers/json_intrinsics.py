"""The camera of a photograph in a JSON scene, of whatever format.

Intrinsics stand in the photograph's entry, at the top of the file, or both:

- `fl_x fl_y` in pixels, or `x_fov y_fov` in degrees, or `camera_angle_x camera_angle_y` in radians.
  An entry that states any of them states the focal length, whatever the top says; of one place the
  first kind counts. One axis alone means square pixels.
- `cx cy`, `w h`, and coefficients: each from the entry, else from the top.
- `camera_model`, instant-ngp's `is_fisheye` and `latlong`: the lens. An entry with another lens
  than the file's has the coefficients that it states itself.

BlenderNeRF's `camera_angle_x` belongs to the longer side of the image: its `fl_x` counts.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from orefield.cameras import Camera, Lens, panorama
from orefield.scenes.dataparsers.json_fields import Record
from orefield.scenes.dataparsers.json_keys import COEFFICIENT, refuse_unread
from orefield.scenes.dataparsers.parsed_scene import naming
from orefield.scenes.image_files import image_size

MODELS: dict[str, Lens] = {
    "OPENCV": "perspective",
    "PINHOLE": "perspective",
    "SIMPLE_PINHOLE": "perspective",
    "SIMPLE_RADIAL": "perspective",
    "RADIAL": "perspective",
    "OPENCV_FISHEYE": "fisheye",
    "SIMPLE_RADIAL_FISHEYE": "fisheye",
    "RADIAL_FISHEYE": "fisheye",
    "EQUIRECTANGULAR": "equirectangular",
}
COEFFICIENTS: dict[Lens, tuple[str, ...]] = {
    "perspective": ("k1", "k2", "p1", "p2", "k3"),
    "fisheye": ("k1", "k2", "k3", "k4"),
    "equirectangular": (),
}
OFF_CENTER = 1.0
"""Pixels that the principal point of an equirectangular image may be off, by another convention."""

SHORTEST = 0.05
"""Shorter focal lengths, in widths of the photograph, are not in pixels: some files have 0..1."""


@dataclass(frozen=True)
class PhotoCamera:
    """The camera of a photograph, and how it was stated."""

    camera: Camera
    upright: bool
    """Whether it is for the photograph turned as its EXIF data say (see `Frame`)."""
    shared: bool
    """Whether its focal length or principal point is that of the whole file."""


def read_camera(entry: Record, root: Record, image: Path) -> PhotoCamera:
    """The camera of the photograph `image`; what is not stated follows from its size.

    Raises SceneError, naming file and field, for intrinsics that are missing, malformed, at odds
    with the photograph, or of a kind that is not read.
    """
    refuse_unread(entry)
    width, height, upright = _size(entry, root, image)
    lens, records = _lens(entry, root)
    distortion = _distortion(lens, records)
    if lens == "equirectangular":
        for name, size in (("cx", width), ("cy", height)):
            place = _stated(records, name)
            if place and abs(place.number(name) - size / 2) > OFF_CENTER:
                raise place.wrong(name, f"{size / 2:g}: the image shows all directions")
        return PhotoCamera(panorama(width, height), upright, shared=False)
    fx, fy, focal = _focal_length(entry, root, width, height, image)
    cx, cy = (_stated((entry, root), name) for name in ("cx", "cy"))
    center = cx.number("cx") if cx else width / 2, cy.number("cy") if cy else height / 2
    names = ", ".join(COEFFICIENTS[lens][: len(distortion)])
    bent = _stated(records, "k1") or entry
    with naming(f"{bent.where}: {names}" if any(distortion) else focal.where):
        camera = Camera(width, height, fx, fy, *center, distortion, lens)
    return PhotoCamera(camera, upright, any(record is root for record in (focal, cx, cy)))


def _stated(records: Sequence[Record], name: str) -> Record | None:
    """The first of the records that has the field."""
    return next((record for record in records if record.has(name)), None)


def _size(entry: Record, root: Record, image: Path) -> tuple[int, int, bool]:
    """Width and height, and whether they are those of the photograph turned upright.

    Poses belong to the pixels as they are stored, unless `w` and `h` fit only the turned image.
    """
    stated = {name: record for name in "wh" if (record := _stated((entry, root), name))}

    def misfit(width: int, height: int) -> str | None:
        actual = {"w": width, "h": height}
        return next((n for n, record in stated.items() if record.size(n) != actual[n]), None)

    stored = image_size(image, upright=False)
    wrong = misfit(*stored)
    if wrong is None:
        return *stored, False
    turned = image_size(image, upright=True)
    if misfit(*turned) is None:
        return *turned, True
    actual = stored["wh".index(wrong)]
    raise stated[wrong].wrong(wrong, f"{actual}, the size of {image.name}")


def _focal_length(
    entry: Record, root: Record, width: int, height: int, image: Path
) -> tuple[float, float, Record]:
    """Focal lengths in pixels along x and y, and the record that states them."""
    kinds: tuple[tuple[str, str, Callable[[Record, str, int], float]], ...] = (
        ("fl_x", "fl_y", lambda record, name, size: record.positive(name)),
        ("x_fov", "y_fov", lambda record, name, size: _from_angle(record, name, size, 180.0)),
        ("camera_angle_x", "camera_angle_y", _from_angle),
    )
    for record in (entry, root):
        for x, y, read in kinds:
            fx = read(record, x, width) if record.has(x) else None
            fy = read(record, y, height) if record.has(y) else None
            if focal := fx or fy:
                if focal < width * SHORTEST:
                    name = x if fx else y
                    raise record.wrong(name, f"in pixels of {image.name}, {width} x {height}")
                return focal, fy or focal, record
    expected = "a focal length in pixels, here or at the top, or camera_angle_x"
    raise entry.wrong("fl_x", expected)


def _from_angle(record: Record, name: str, size: int, half_turn: float = math.pi) -> float:
    """Focal length in pixels from a field of view over `size` pixels."""
    angle = record.number(name)
    if not 0 < angle < half_turn:
        unit = "radians between 0 and pi" if half_turn == math.pi else "degrees between 0 and 180"
        raise record.wrong(name, f"an angle in {unit}")
    return size / 2 / math.tan(angle / half_turn * math.pi / 2)


def _lens(entry: Record, root: Record) -> tuple[Lens, tuple[Record, ...]]:
    """The lens of a photograph, and the records whose coefficients belong to it."""
    shared = _stated_lens(root) or "perspective"
    own = _stated_lens(entry)
    if own is None:
        no_fisheye = entry.has("is_fisheye") and shared == "fisheye"
        own = "perspective" if no_fisheye else shared
    return own, (entry, root) if own == shared else (entry,)


def _stated_lens(record: Record) -> Lens | None:
    """The lens that one place states with `camera_model`, `is_fisheye` or `latlong`, if any."""
    lenses: set[Lens] = set()
    if record.has("camera_model"):
        name = record.text("camera_model")
        if name not in MODELS:
            raise record.wrong("camera_model", f"one of {', '.join(MODELS)}")
        lenses.add(MODELS[name])
    if record.flag("is_fisheye"):
        lenses.add("fisheye")
    if record.flag("latlong"):
        lenses.add("equirectangular")
    if len(lenses) > 1:
        flag = "is_fisheye" if record.flag("is_fisheye") else "latlong"
        raise record.wrong(flag, "absent or false beside another statement of the lens")
    return lenses.pop() if lenses else None


def _distortion(lens: Lens, records: tuple[Record, ...]) -> tuple[float, ...]:
    """The coefficients of a lens as `Camera` takes them.

    Raises SceneError for one that such a lens does not have.
    """
    names = COEFFICIENTS[lens]
    for record in records:
        for name, value in record.values.items():
            if COEFFICIENT.fullmatch(name) and name not in names and value:
                known = ", ".join(names) or "none"
                raise record.wrong(name, f"absent or zero: the {lens} lens has {known}")
    values = tuple(
        place.number(name) if (place := _stated(records, name)) else 0.0 for name in names
    )
    return values[:4] if len(values) == 5 and not values[4] else values
