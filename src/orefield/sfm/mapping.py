"""Structure from motion: features, matches, and a model grown photograph by photograph."""

import statistics
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path

import pycolmap

from orefield.scenes.scene import SceneWarning
from orefield.sfm.native import in_portions, watch
from orefield.sfm.options import PoseOptions
from orefield.sfm.photographs import Picture
from orefield.sfm.progress import Progress
from orefield.types import SceneError

PICTURES, PAIRS = 8, 200
"""A portion: pictures per thread whose features are sought, pairs matched, by one call."""
MIXED_ZOOM = 1.05
"""Focal lengths of photographs that share a camera differ by less than this factor."""
Pairs = Sequence[tuple[int, int]]


def map_pictures(
    images: Path, work: Path, pictures: Sequence[Picture], pairs: Pairs, options: PoseOptions
) -> Generator[Progress, None, pycolmap.Reconstruction]:
    """The largest model that the photographs in the folder `images` yield.

    `work` is a folder for the database and other files on the way; `options.threads` is the number
    of threads itself. Raises SceneError when no two photographs can be placed.
    """
    database = work / "database.db"
    register(database, images, pictures, options)
    yield from _extract(database, images, pictures, options)
    yield from _match(database, work / "pairs.txt", pictures, pairs, options)
    models = yield from _grow(database, images, work / "models", len(pictures), options)
    if not models:
        raise SceneError(
            f"{images}: no two of the {len(pictures)} photographs could be placed; expected at "
            "least 60 % overlap between neighbors, texture, and a camera that moves sideways"
        )
    return max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()))


def register(
    database: Path, images: Path, pictures: Sequence[Picture], options: PoseOptions
) -> None:
    """Create the database: photographs numbered in their order, cameras with what EXIF told.

    Numbered beforehand, because extraction on several threads would number them as they finish, and
    the model would depend on it.
    """
    pycolmap.Database.open(database).close()
    reader = pycolmap.ImageReaderOptions(camera_model=options.model)
    if options.camera == "per-image":
        groups = [list(pictures)]
        mode = pycolmap.CameraMode.PER_IMAGE
    else:
        sizes = dict.fromkeys((picture.width, picture.height) for picture in pictures)
        groups = [[p for p in pictures if (p.width, p.height) == size] for size in sizes]
        mode = pycolmap.CameraMode.SINGLE
    for group in groups:
        names = [picture.name for picture in group]
        pycolmap.import_images(database, images, mode, names, reader)
    focal = {picture.name: picture.focal for picture in pictures}
    with pycolmap.Database.open(database) as file:
        users: dict[int, list[float]] = {}
        for image in file.read_all_images():
            if (known := focal[image.name]) is not None:
                users.setdefault(image.camera_id, []).append(known)
        for camera in file.read_all_cameras():
            if camera.camera_id in users:
                _set_focal(camera, users[camera.camera_id])
                file.update_camera(camera)


def _set_focal(camera: pycolmap.Camera, focals: Sequence[float]) -> None:
    """Start a camera from the median of what its photographs state, in diagonals."""
    if max(focals) > MIXED_ZOOM * min(focals):
        warnings.warn(
            f"the photographs state focal lengths that differ by a factor of "
            f"{max(focals) / min(focals):.2f}; if that is so, use --camera per-image",
            SceneWarning,
            stacklevel=2,
        )
    diagonal = float(camera.width**2 + camera.height**2) ** 0.5
    params = list(camera.params)
    for index in camera.focal_length_idxs():
        params[index] = statistics.median(focals) * diagonal
    camera.params = params
    camera.has_prior_focal_length = True


def _extract(
    database: Path, images: Path, pictures: Sequence[Picture], options: PoseOptions
) -> Generator[Progress, None, None]:
    settings = pycolmap.FeatureExtractionOptions(
        num_threads=options.threads, use_gpu=False, max_image_size=options.feature_size
    )
    settings.sift.max_num_features = options.features
    names = [picture.name for picture in pictures]

    def call(portion: Sequence[str], token: pycolmap.CancellationToken) -> None:
        pycolmap.extract_features(
            database,
            images,
            image_names=portion,
            extraction_options=settings,
            device=pycolmap.Device.cpu,
            cancellation_token=token,
        )

    yield from in_portions("finding features", names, PICTURES * options.threads, call)


def _match(
    database: Path, listing: Path, pictures: Sequence[Picture], pairs: Pairs, options: PoseOptions
) -> Generator[Progress, None, None]:
    settings = pycolmap.FeatureMatchingOptions(num_threads=options.threads, use_gpu=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options.seed
    lines = [f"{pictures[first].name} {pictures[second].name}\n" for first, second in pairs]

    def call(portion: Sequence[str], token: pycolmap.CancellationToken) -> None:
        listing.write_text("".join(portion), encoding="utf-8")
        pycolmap.match_image_pairs(
            database,
            settings,
            pycolmap.ImportedPairingOptions(match_list_path=listing),
            verification,
            pycolmap.Device.cpu,
            cancellation_token=token,
        )

    yield from in_portions("matching pairs", lines, PAIRS, call)


def _grow(
    database: Path, images: Path, models: Path, number: int, options: PoseOptions
) -> Generator[Progress, None, dict[int, pycolmap.Reconstruction]]:
    models.mkdir()
    settings = pycolmap.IncrementalPipelineOptions(
        num_threads=options.threads, random_seed=options.seed, min_model_size=3
    )
    placed = [0]

    def first_pair() -> None:
        placed[0] = 2

    def another() -> None:
        placed[0] += 1

    def call(token: pycolmap.CancellationToken) -> dict[int, pycolmap.Reconstruction]:
        return pycolmap.incremental_mapping(
            database,
            images,
            models,
            settings,
            initial_image_pair_callback=first_pair,
            next_image_callback=another,
            cancellation_token=token,
        )

    return (yield from watch("placing photographs", number, lambda: placed[0], call))
