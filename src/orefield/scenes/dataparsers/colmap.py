"""COLMAP: a sparse model (binary or text) and the photographs it was made from.

A model is looked for in `sparse/0`, `sparse/1` and so on, of which the one with the most images is
read; then in `sparse` itself; then likewise in `colmap/sparse`; then in the folder itself.
Photographs are matched with the model's images one by one: by name, then in any capitals, then
without ending; if none of them fits, by the ends of the names; only if none fits so either, and
there are as many, in sorted order.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orefield.config import SceneConfig
from orefield.scenes.dataparsers.colmap_cameras import camera_of, pose_of
from orefield.scenes.dataparsers.colmap_model import (
    MODEL_ENDINGS,
    ModelCamera,
    ModelImage,
    model_file,
    read_cameras,
    read_images,
    read_points,
)
from orefield.scenes.dataparsers.folders import (
    IMAGE_ENDINGS,
    SIZES,
    ImageFolder,
    choose_images,
    entries,
    find_images,
    fit_image,
    is_folder,
    match_masks,
    spelled,
)
from orefield.scenes.dataparsers.names import (
    Form,
    Matches,
    last_parts,
    match_names,
    natural_key,
    slashes,
    stem,
)
from orefield.scenes.dataparsers.parsed_scene import (
    Folder,
    Frame,
    ParsedScene,
    few,
    hold_out,
    naming,
    report_missing,
)
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError

MODEL_FOLDERS = ("sparse/0", "sparse", "colmap/sparse/0", ".")
"""Where a model is looked for, for messages; any other number may stand for 0."""
FALLBACK_FOLDERS = ("input", ".")
"""Where photographs are looked for if there is no folder `images`."""
_FORMS: tuple[tuple[Form, Form], ...] = (
    *((str, str), (slashes, slashes)),
    *((slashes, stem), (stem, stem)),  # a name may have no ending, but a dot
)
LAST_PARTS = (3, 2, 1)
"""How much of names is compared where photographs moved, or a model names them from elsewhere."""


@dataclass(frozen=True)
class Model:
    """A sparse model, but for its points."""

    path: Path
    images: list[ModelImage]
    cameras: dict[int, ModelCamera]


def has_model(folder: Path) -> bool:
    """Whether there is a sparse model in one of the usual folders, or what cannot be looked at."""
    try:
        return bool(_model_folders(folder))
    except SceneError:
        return True  # `parse_colmap` says what is wrong, if no other format is there


def parse_colmap(folder: Folder, config: SceneConfig) -> ParsedScene:
    """The images of the model whose photographs exist; every n-th is held out.

    Raises SceneError naming file and field.
    """
    model = _choose_model(folder)
    chosen = choose_images(folder, config.downscale) or _fallback(folder, config.downscale)
    files = find_images(folder, chosen.images)
    found = _match(model.images, list(files), chosen.images)
    listed = [(image, found[image.name]) for image in model.images if image.name in found]
    masks = match_masks(folder, [name for _, name in listed], chosen.masks, config.masks == "alpha")
    frames = []
    for (image, name), mask in zip(listed, masks, strict=True):
        if image.camera not in model.cameras:
            raise SceneError(f"{image.where}: there is no camera {image.camera} in the model")
        where, full = model.cameras[image.camera].where, camera_of(model.cameras[image.camera])
        size, scale, upright = fit_image(files[name], (full.width, full.height), where)
        with naming(where):
            camera = full.resized(*size, *scale)
        frames.append(Frame(name, files[name], mask, camera, pose_of(image), upright=upright))
    parsed = hold_out(frames, config.holdout)
    cloud = model_file(folder, model.path, "points3D")
    points = None if cloud is None else read_points(cloud)
    return replace(parsed, downscale=chosen.downscale, points=points)


def _model_folders(scene: Path) -> list[list[Path]]:
    """The folders that hold a model, place by place; places without one are left out."""
    places = []
    for outer in filter(None, (scene, spelled(scene, "colmap", is_folder))):
        if sparse := spelled(outer, "sparse", is_folder):
            # The mapper numbers the models that it could not join.
            numbered = [path for path in entries(sparse) if path.name.isdecimal()]
            places += [list(filter(is_folder, numbered)), [sparse]]
    places.append([scene])
    held = [list(filter(_holds_model, place)) for place in places]
    return [place for place in held if place]


def _holds_model(folder: Path) -> bool:
    return any(spelled(folder, f"images{ending}") for ending in MODEL_ENDINGS)


def _choose_model(folder: Folder) -> Model:
    """The model with the most images, of the first place that has one that can be read."""
    faults: list[SceneError] = []
    for place in _model_folders(folder.path):
        models = []
        for path in place:
            try:
                models.append(_read_model(folder, path))
            except SceneError as error:
                faults.append(error)
        if models:
            best = max(models, key=lambda model: len(model.images))
            _report(folder, models, faults, best)
            return best
    if faults:
        raise faults[0]
    looked = ", ".join(f"{f}/images{ending}" for f in MODEL_FOLDERS for ending in MODEL_ENDINGS)
    raise SceneError(f"{folder.path}: no COLMAP model; looked for {looked}")


def _read_model(folder: Folder, path: Path) -> Model:
    file, cameras = (model_file(folder, path, part) for part in ("images", "cameras"))
    assert file is not None
    images = read_images(file)
    if not images:
        raise SceneError(f"{file}: holds no registered image")
    if cameras is None:
        raise SceneError(f"{path}: expected cameras.bin or cameras.txt beside the images")
    return Model(path, images, read_cameras(cameras))


def _report(
    folder: Folder, models: Sequence[Model], faults: Sequence[SceneError], best: Model
) -> None:
    """Warn of models that could not be read, and where there was a choice."""

    def name(model: Model) -> str:
        return model.path.relative_to(folder.path).as_posix()

    for fault in faults:
        _warn(f"{fault}; {name(best)} is read instead")
    if len(models) > 1:
        sizes = [f"{name(model)}: {len(model.images)}" for model in models]
        _warn(f"{folder.path}: {len(models)} models ({few(sizes)} images); {name(best)} is read")


def _fallback(folder: Folder, downscale: int) -> ImageFolder:
    for name in FALLBACK_FOLDERS:
        path = spelled(folder.path, name, is_folder)
        if path and find_images(folder, folder.inside(path)):
            masks = spelled(folder.path, "masks", is_folder)
            return ImageFolder(path, folder.inside(masks) if masks else None, downscale)
    looked = ", ".join((*SIZES, *FALLBACK_FOLDERS[:1]))
    raise SceneError(f"{folder.path}: no photographs for its COLMAP model; looked in {looked}")


def _match(images: Sequence[ModelImage], files: Sequence[str], where: Path) -> dict[str, str]:
    """The file of each of the model's images, for those whose photograph exists.

    No photograph gets the pose of another: what fits several is left out, with a warning.
    """
    names = [image.name for image in images]
    matches = match_names(names, files, _FORMS)
    if not matches.found and not matches.unclear:
        matches = _match_ends(names, files, where)
        if not matches.found and not matches.unclear:
            return _in_order(names, files, where)
    if matches.unclear:
        pairs = [f"{n!r:.80} ({few(f)})" for n, f in matches.unclear.items()]
        text = f"{where}: which photographs belong to these images of the model is not clear"
        if not matches.found:
            raise SceneError(f"{text}: {few(pairs)}")
        _warn(f"{text}; they are left out: {few(pairs)}")
    missing = [n for n in names if n not in matches.found and n not in matches.unclear]
    report_missing(str(where), missing, len(images))
    return matches.found


def _match_ends(names: Sequence[str], files: Sequence[str], where: Path) -> Matches:
    """Files that lie in other folders than the model says, as the ends of their names pair them.

    All pairs go by as many parts, the most that fit any: a photograph whose folder is not the
    model's must not take the place of a missing one.
    """
    matches = Matches({}, {})
    for count in LAST_PARTS:
        forms = [
            (partial(_end, of_name, count), partial(_end, of_file, count))
            for of_name, of_file in _FORMS
        ]
        matches = match_names(names, files, forms)
        if matches.found:
            name, file = next(iter(matches.found.items()))
            _warn(
                f"{where}: images lie in other folders than in the model; matched by the ends of "
                f"their names, {file:.80} as {name:.80}"
            )
        if matches.found or matches.unclear:
            break
    return matches


def _end(form: Form, count: int, name: str) -> str:
    return last_parts(form(name), count)


def _in_order(names: Sequence[str], files: Sequence[str], where: Path) -> dict[str, str]:
    """Files that are named by another rule than the model's images, as their order pairs them."""
    text = f"{where}: none of its {len(files)} images is named as one of the model's {len(names)}"
    if not files:
        raise SceneError(f"{where}: no images here, expected {', '.join(IMAGE_ENDINGS)} files")
    if len(files) != len(names):
        raise SceneError(f"{text}, such as {names[0]!r:.80}, and the numbers differ")
    paired = dict(zip(names, files, strict=True))
    by_number = sorted(names, key=lambda name: natural_key(slashes(name)))
    natural = dict(zip(by_number, sorted(files, key=natural_key), strict=True))
    for name, file in paired.items():
        if natural[name] != file:
            raise SceneError(
                f"{text}, and their order is not certain: {name!r:.80} would be {file!r:.80} in "
                f"the order of texts, {natural[name]!r:.80} in that of numbers; rename them"
            )
    _warn(
        f"{where}: images are not named as in the model; taken in sorted order, "
        f"{files[0]:.80} as {names[0]:.80}"
    )
    return paired


def _warn(message: str) -> None:
    warnings.warn(message, SceneWarning, stacklevel=3)
