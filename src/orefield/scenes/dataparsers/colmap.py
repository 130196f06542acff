"""COLMAP: a sparse model (binary or text) and the photographs it was made from.

The model is looked for in `sparse/0`, `sparse`, `colmap/sparse/0` and the folder itself; of several
(`sparse/0`, `sparse/1`) the one with the most images is read. Files are matched with the model's
images by name, then by name without suffix, then, if there are as many, in sorted order.
"""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.cameras import Camera, Lens, panorama
from orefield.config import SceneConfig
from orefield.scenes.dataparsers.colmap_model import (
    MODEL_ENDINGS,
    PARAMETERS,
    ModelCamera,
    ModelImage,
    model_file,
    read_cameras,
    read_images,
    read_points,
)
from orefield.scenes.dataparsers.folders import (
    SIZES,
    ImageFolder,
    choose_images,
    find_images,
    match_masks,
    stem,
    stretch,
)
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    hold_out,
    is_file,
    naming,
    report_missing,
)
from orefield.scenes.image_files import image_size
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
FALLBACK_FOLDERS = ("input", ".")
"""Where photographs are looked for if there is no folder `images`."""
LENSES: dict[str, tuple[int, Lens, tuple[int, ...]]] = {
    "SIMPLE_PINHOLE": (1, "perspective", ()),
    "PINHOLE": (2, "perspective", ()),
    "SIMPLE_RADIAL": (1, "perspective", (0,)),
    "RADIAL": (1, "perspective", (0, 1)),
    "OPENCV": (2, "perspective", (0, 1, 2, 3)),
    "FULL_OPENCV": (2, "perspective", (0, 1, 2, 3, 4, 5, 6, 7)),
    "SIMPLE_FISHEYE": (1, "fisheye", ()),
    "FISHEYE": (2, "fisheye", ()),
    "SIMPLE_RADIAL_FISHEYE": (1, "fisheye", (0,)),
    "RADIAL_FISHEYE": (1, "fisheye", (0, 1)),
    "OPENCV_FISHEYE": (2, "fisheye", (0, 1, 2, 3)),
}
"""For each camera model: number of focal lengths, lens, and which coefficients its last parameters
are."""


def has_model(folder: Path) -> bool:
    """Whether there is a sparse model in one of the usual folders."""
    return any(_is_model(folder / name) for name in MODEL_FOLDERS)


def parse_colmap(folder: Folder, config: SceneConfig) -> ParsedScene:
    """The images of the model whose photographs exist; every n-th is held out.

    Raises SceneError naming file and field.
    """
    model, images = _largest(folder)
    cameras = _cameras(folder, model)
    chosen = choose_images(folder, config.downscale) or _fallback(folder, config.downscale)
    found = _match(images, find_images(folder, chosen.images), chosen.images)
    listed = [(image, found[image.name]) for image in images if image.name in found]
    names = [path.relative_to(chosen.images).as_posix() for _, path in listed]
    masks = match_masks(folder, names, chosen.masks, config.masks == "alpha")
    frames = []
    for (image, path), mask in zip(listed, masks, strict=True):
        if image.camera not in cameras:
            raise SceneError(f"{image.where}: there is no camera {image.camera} in the model")
        # COLMAP reads photographs as they are stored, not turned as their EXIF data say.
        size, full = image_size(path, upright=False), _camera(cameras[image.camera])
        scale = stretch(size, (full.width, full.height), path, cameras[image.camera].where)
        with naming(cameras[image.camera].where):
            camera = full.resized(*size, *scale)
        frames.append(Frame(image.name, path, mask, camera, _pose(image), upright=False))
    parsed = hold_out(frames, config.holdout)
    cloud = model_file(folder, model, "points3D")
    points = None if cloud is None else read_points(cloud)
    return replace(parsed, downscale=chosen.downscale, points=points)


def _is_model(folder: Path) -> bool:
    return any(is_file(folder / f"images{ending}") for ending in MODEL_ENDINGS)


def _largest(folder: Folder) -> tuple[Path, list[ModelImage]]:
    """The model with the most images, and these."""
    first = next((folder.path / f for f in MODEL_FOLDERS if _is_model(folder.path / f)), None)
    if first is None:
        looked = ", ".join(f"{f}/images{ending}" for f in MODEL_FOLDERS for ending in MODEL_ENDINGS)
        raise SceneError(f"{folder.path}: no COLMAP model; looked for {looked}")
    siblings = [first]
    if first.name == "0":
        siblings = [path for path in sorted(first.parent.iterdir()) if _is_model(path)]
    models = [(path, _images(folder, path)) for path in siblings]
    path, images = max(models, key=lambda model: len(model[1]))
    if len(models) > 1:
        sizes = ", ".join(f"{path.name}: {len(images)}" for path, images in models)
        warnings.warn(
            f"{first.parent}: {len(models)} models ({sizes} images); {path.name} is read",
            SceneWarning,
            stacklevel=2,
        )
    return path, images


def _images(folder: Folder, model: Path) -> list[ModelImage]:
    file = model_file(folder, model, "images")
    assert file is not None
    images = read_images(file)
    if not images:
        raise SceneError(f"{file}: holds no registered image")
    return images


def _cameras(folder: Folder, model: Path) -> dict[int, ModelCamera]:
    file = model_file(folder, model, "cameras")
    if file is None:
        raise SceneError(f"{model}: expected cameras.bin or cameras.txt beside the images")
    return read_cameras(file)


def _fallback(folder: Folder, downscale: int) -> ImageFolder:
    for name in FALLBACK_FOLDERS:
        path = folder.path / name
        if path.is_dir() and find_images(folder, folder.inside(path)):
            masks = folder.path / "masks"
            return ImageFolder(path, folder.inside(masks) if masks.is_dir() else None, downscale)
    looked = ", ".join((*SIZES, *FALLBACK_FOLDERS[:1]))
    raise SceneError(f"{folder.path}: no photographs for its COLMAP model; looked in {looked}")


def _match(images: Sequence[ModelImage], files: dict[str, Path], where: Path) -> dict[str, Path]:
    """The photograph of each of the model's images, for those whose photograph exists."""
    by_stem = {stem(name): path for name, path in files.items()}
    for found in (
        {image.name: files[image.name] for image in images if image.name in files},
        {i.name: by_stem[stem(i.name)] for i in images if stem(i.name) in by_stem},
    ):
        if found:
            missing = [image.name for image in images if image.name not in found]
            report_missing(str(where), missing, len(images))
            return found
    if len(files) != len(images):
        raise SceneError(
            f"{where}: none of its {len(files)} images is named as one of the model's "
            f"{len(images)}, such as {images[0].name!r}, and the numbers differ"
        )
    warnings.warn(
        f"{where}: images are not named as in the model; taken in sorted order, "
        f"{next(iter(files))} as {images[0].name}",
        SceneWarning,
        stacklevel=2,
    )
    return {image.name: path for image, path in zip(images, files.values(), strict=True)}


def _camera(camera: ModelCamera) -> Camera:
    width, height, numbers = camera.width, camera.height, camera.parameters
    if camera.kind == "EQUIRECTANGULAR":
        return panorama(width, height)
    if camera.kind not in LENSES:
        known = ", ".join(name for name, _ in PARAMETERS.values() if name in LENSES)
        raise SceneError(
            f"{camera.where}: camera model {camera.kind} is not supported; expected one of {known} "
            "or EQUIRECTANGULAR; `colmap image_undistorter` makes PINHOLE of it"
        )
    focals, lens, indices = LENSES[camera.kind]
    coefficients = [0.0] * (8 if max(indices, default=0) > 3 else 4)
    for index, value in zip(indices, numbers[focals + 2 :], strict=True):
        coefficients[index] = value
    fx, fy, (cx, cy) = numbers[0], numbers[focals - 1], numbers[focals : focals + 2]
    with naming(camera.where):
        return Camera(width, height, fx, fy, cx, cy, tuple(coefficients), lens)


def _pose(image: ModelImage) -> Float[Tensor, "3 4"]:
    """Camera to world of an image."""
    quaternion = torch.tensor(image.rotation, dtype=torch.float64)
    w, x, y, z = (quaternion / torch.linalg.vector_norm(quaternion)).tolist()
    # Rows of the rotation from camera to world: that of the quaternion, transposed.
    rotation = quaternion.new_tensor(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y + w * z), 2 * (x * z - w * y)],
            [2 * (x * y - w * z), 1 - 2 * (x * x + z * z), 2 * (y * z + w * x)],
            [2 * (x * z + w * y), 2 * (y * z - w * x), 1 - 2 * (x * x + y * y)],
        ]
    )
    center = -rotation @ quaternion.new_tensor(image.translation)
    return torch.cat((rotation, center[:, None]), dim=1)
