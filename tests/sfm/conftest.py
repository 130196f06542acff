"""What several tests of `sfm` need."""

from collections.abc import Callable, Generator
from typing import Any

import pytest
from PIL import ExifTags, Image


@pytest.fixture
def finish() -> Callable[[Generator], Any]:
    """Runs a generator to its end and returns its result."""

    def run(work):
        while True:
            try:
                next(work)
            except StopIteration as stop:
                return stop.value

    return run


@pytest.fixture
def exif() -> Callable[..., Image.Exif]:
    """Makes EXIF data with an orientation, a position, and further fields by their tag names."""

    def make(orientation=1, **fields):
        tags = Image.Exif()
        tags[ExifTags.Base.Orientation] = orientation
        tags.get_ifd(ExifTags.IFD.Exif).update(
            {ExifTags.Base[name]: value for name, value in fields.items()}
        )
        names = ExifTags.GPS
        tags.get_ifd(ExifTags.IFD.GPSInfo).update(
            {
                names.GPSLatitudeRef: "N",
                names.GPSLatitude: (61.0, 30.0, 0.0),
                names.GPSLongitudeRef: "E",
                names.GPSLongitude: (23.0, 45.0, 0.0),
            }
        )
        return tags

    return make
