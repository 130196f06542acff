"""Structure from motion: features, matches, and incremental mapping."""

import statistics
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path

import pycolmap

from orefield.scenes.scene import SceneWarning
from orefield.sfm.native import in_batches, watch
from orefield.sfm.options import PoseOptions
from orefield.sfm.photographs import ImportedPhoto
from orefield.sfm.progress import Progress
from orefield.types import SceneError

PHOTOS_PER_CALL, PAIRS_PER_CALL = 8, 200
"""Photographs, per thread, of one call that finds features; pairs of one call that matches."""
MIXED_ZOOM = 1.05
"""Focal lengths of photographs that share a camera differ by less than this factor."""
Pairs = Sequence[tuple[int, int]]


def map_pictures(
    images: Path, work: Path, photos: Sequence[ImportedPhoto], pairs: Pairs, options: PoseOptions
) -> Generator[Progress, None, pycolmap.Reconstruction]:
    """The largest model of the photographs in the folder `images`.

    `work` is a folder for the database and other intermediate files; `options.threads` must not be
    0. Raises SceneError if no two photographs can be placed.
    """
    database = work / "database.db"
    register(database, images, photos, options)
    yield from _extract(database, images, photos, options)
    yield from _match(database, work / "pairs.txt", photos, pairs, options)
    models = yield from _map_incrementally(database, images, work / "models", len(photos), options)
    if not models:
        raise SceneError(
            f"{images}: no two of the {len(photos)} photographs could be placed; expected at "
            "least 60 % overlap between neighbors, texture, and a camera that moves sideways"
        )
    return max(models.values(), key=lambda model: (model.num_reg_images(), model.num_points3D()))


def register(
    database: Path, images: Path, photos: Sequence[ImportedPhoto], options: PoseOptions
) -> None:
    """Create the database: images numbered in their order, cameras with the focal lengths of EXIF.

    Numbered beforehand, because extraction on several threads would number them as they finish, and
    the model depends on the numbers.
    """
    pycolmap.Database.open(database).close()
    reader = pycolmap.ImageReaderOptions(camera_model=options.model)
    if options.camera == "per-image":
        groups = [list(photos)]
        mode = pycolmap.CameraMode.PER_IMAGE
    else:
        sizes = dict.fromkeys((photo.width, photo.height) for photo in photos)
        groups = [[p for p in photos if (p.width, p.height) == size] for size in sizes]
        mode = pycolmap.CameraMode.SINGLE
    for group in groups:
        names = [photo.name for photo in group]
        pycolmap.import_images(database, images, mode, names, reader)
    focal = {photo.name: photo.focal for photo in photos}
    with pycolmap.Database.open(database) as file:
        stated: dict[int, list[float]] = {}
        for image in file.read_all_images():
            if (known := focal[image.name]) is not None:
                stated.setdefault(image.camera_id, []).append(known)
        for camera in file.read_all_cameras():
            if camera.camera_id in stated:
                _set_focal(camera, stated[camera.camera_id])
                file.update_camera(camera)


def _set_focal(camera: pycolmap.Camera, focals: Sequence[float]) -> None:
    """Set a camera's initial focal length to the median of `focals`, which are in diagonals."""
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
    database: Path, images: Path, photos: Sequence[ImportedPhoto], options: PoseOptions
) -> Generator[Progress, None, None]:
    settings = pycolmap.FeatureExtractionOptions(
        num_threads=options.threads, use_gpu=False, max_image_size=options.feature_size
    )
    settings.sift.max_num_features = options.features
    names = [photo.name for photo in photos]

    def call(batch: Sequence[str], token: pycolmap.CancellationToken) -> None:
        pycolmap.extract_features(
            database,
            images,
            image_names=batch,
            extraction_options=settings,
            device=pycolmap.Device.cpu,
            cancellation_token=token,
        )

    yield from in_batches("finding features", names, PHOTOS_PER_CALL * options.threads, call)


def _match(
    database: Path,
    pair_list: Path,
    photos: Sequence[ImportedPhoto],
    pairs: Pairs,
    options: PoseOptions,
) -> Generator[Progress, None, None]:
    settings = pycolmap.FeatureMatchingOptions(num_threads=options.threads, use_gpu=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = options.seed
    lines = [f"{photos[first].name} {photos[second].name}\n" for first, second in pairs]

    def call(batch: Sequence[str], token: pycolmap.CancellationToken) -> None:
        pair_list.write_text("".join(batch), encoding="utf-8")
        pycolmap.match_image_pairs(
            database,
            settings,
            pycolmap.ImportedPairingOptions(match_list_path=pair_list),
            verification,
            pycolmap.Device.cpu,
            cancellation_token=token,
        )

    yield from in_batches("matching pairs", lines, PAIRS_PER_CALL, call)


def _map_incrementally(
    database: Path, images: Path, models: Path, number: int, options: PoseOptions
) -> Generator[Progress, None, dict[int, pycolmap.Reconstruction]]:
    models.mkdir()
    settings = pycolmap.IncrementalPipelineOptions(
        num_threads=options.threads, random_seed=options.seed, min_model_size=3
    )
    placed = 0

    def first_pair() -> None:
        nonlocal placed
        placed = 2

    def another() -> None:
        nonlocal placed
        placed += 1

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

    return (yield from watch("placing photographs", number, lambda: placed, call))
