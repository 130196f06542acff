"""One small capture, written to disk in every format and in many a form."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from orefield.scenes.shapes.scene import ANGLE_X, hemisphere_poses, render_shapes
from reading import quaternion

WIDTH, HEIGHT = 44, 36
CENTER, SIDE = np.array([0.0, 0.0, 0.0]), 3.0
"""A box that holds the things of `shapes`."""
UTM = np.array([500_000.0, 5_600_000.0, 100.0])
"""Meters east, north and up, as georeferenced captures have them."""


@dataclass(frozen=True)
class Shot:
    """A photograph with its camera: OpenGL pose, RGBA pixels whose alpha is 0 or 255, pinhole."""

    pose: np.ndarray
    pixels: np.ndarray
    focal: float

    @property
    def size(self) -> tuple[int, int]:
        return self.pixels.shape[1], self.pixels.shape[0]

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixel positions of points in the coordinates of the files."""
        local = (points - self.pose[:3, 3]) @ self.pose[:3, :3] * [1, -1, -1]
        return local[:, :2] / local[:, 2:] * self.focal + np.array(self.size) / 2


@dataclass(frozen=True)
class Form:
    """How a capture is written; the pixels that are to be read stay the same."""

    ending: str = ".png"
    orientation: int = 1
    """EXIF tag, which poses do not follow: they are for the pixels as they are stored."""
    mask: str = ""
    """How the alpha is written: in the photographs, or as masks of `255`, `1` or `bits`."""
    opaque: bool = False
    name: Callable[[str], str] = str
    """What the scene's file calls the photograph that lies at a path."""
    absolute: bool = False
    junk: bool = False
    """Leave beside the photographs what systems leave there."""
    origin: np.ndarray | None = None
    mixed: bool = False


@cache
def traced(mixed: bool) -> list[Shot]:
    """Twelve views of `shapes`, from above and all round, white where alpha is 0."""
    made = []
    for i, pose in enumerate(hemisphere_poses(12)):
        scale = 0.75 if mixed and i % 3 == 1 else 1.0
        width, height = round(WIDTH * scale), round(HEIGHT * scale)
        picture, _ = render_shapes(pose, width, height)
        pixels = np.asarray(picture).copy()
        pixels[..., 3] = np.where(pixels[..., 3] > 127, 255, 0)
        pixels[pixels[..., 3] == 0, :3] = 255
        made.append(Shot(pose, pixels, width / 2 / np.tan(ANGLE_X / 2)))
    return made


def shots(form: Form) -> list[Shot]:
    """What is to be read."""
    made = []
    for shot in traced(form.mixed):
        pixels, pose = shot.pixels.copy(), shot.pose.copy()
        if form.opaque:
            pixels[..., 3] = 255
        pose[:3, 3] += 0 if form.origin is None else form.origin
        made.append(Shot(pose, pixels, shot.focal))
    return made


def write_pictures(
    folder: Path, taken: Sequence[Shot], form: Form, images: str, masks: str
) -> list[str]:
    """The photographs, and the masks if there are any; returns the paths of the photographs."""
    names = []
    (folder / images).mkdir(parents=True)
    if form.mask:
        (folder / masks).mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = form.orientation
    for i, shot in enumerate(taken):
        name = f"{images}/{i:03d}{form.ending}"
        pixels = shot.pixels[..., :3] if form.mask or form.opaque else shot.pixels
        options = {} if form.orientation == 1 else {"exif": exif}
        if form.ending.lower() == ".webp":
            options |= {"lossless": True, "exact": True}
        Image.fromarray(pixels).save(folder / name, **options)
        names.append(name)
        if form.mask:
            alpha = shot.pixels[..., 3] > 0
            values = alpha * np.uint8(255 if form.mask == "bits" else int(form.mask))
            mask = Image.fromarray(values).convert("1" if form.mask == "bits" else "L")
            mask.save(folder / masks / f"{i:03d}.png")
    if form.junk:
        (folder / images / "._000.png").write_bytes(b"\0\5\x16\7")
        (folder / images / ".ipynb_checkpoints").mkdir()
        Image.new("RGB", (8, 8)).save(folder / images / ".ipynb_checkpoints/000-checkpoint.png")
        (folder / images / "Thumbs.db").write_bytes(b"\xd0\xcf")
    return names


def json_frames(folder: Path, taken: Sequence[Shot], form: Form) -> list[dict]:
    names = write_pictures(folder, taken, form, "images", "masks")
    frames = []
    for i, (name, shot) in enumerate(zip(names, taken, strict=True)):
        listed = str((folder / name).resolve()) if form.absolute else form.name(name)
        frame = {"file_path": listed, "transform_matrix": shot.pose.tolist()}
        if form.mask:
            frame["mask_path"] = f"masks/{i:03d}.png"
        if form.mixed:
            frame |= {"w": shot.size[0], "h": shot.size[1], "fl_x": shot.focal}
        frames.append(frame)
    return frames


def blender(folder: Path, taken: Sequence[Shot], form: Form) -> None:
    frames = json_frames(folder, taken, form)
    for split, rest in (("train", True), ("test", False)):
        some = [frame for i, frame in enumerate(frames) if bool(i % 4) == rest]
        scene = {"camera_angle_x": ANGLE_X, "frames": some}
        (folder / f"transforms_{split}.json").write_text(json.dumps(scene))


def transforms(folder: Path, taken: Sequence[Shot], form: Form) -> None:
    frames = json_frames(folder, taken, form)
    lens = {} if form.mixed else {"fl_x": taken[0].focal, "w": WIDTH, "h": HEIGHT}
    (folder / "transforms.json").write_text(json.dumps({**lens, "frames": frames}))


def llff(folder: Path, taken: Sequence[Shot], form: Form) -> None:
    write_pictures(folder, taken, form, "images", "masks")
    rows = []
    for shot in taken:
        right, up, backward, center = shot.pose[:3].T
        sizes = [shot.size[1], shot.size[0], shot.focal]
        matrix = np.stack([-up, right, backward, center, sizes], axis=1)
        rows.append([*matrix.reshape(-1), 2.0, 6.0])
    np.save(folder / "poses_bounds.npy", np.array(rows))


def colmap(folder: Path, taken: Sequence[Shot], form: Form) -> None:
    names = write_pictures(folder, taken, form, "images", "masks")
    model = folder / "sparse/0"
    model.mkdir(parents=True)
    cameras, images = "", ""
    for i, (name, shot) in enumerate(zip(names, taken, strict=True)):
        (width, height), pose = shot.size, shot.pose[:3] * [1, -1, -1, 1]
        cameras += f"{i} SIMPLE_PINHOLE {width} {height} {shot.focal} {width / 2} {height / 2}\n"
        turn = pose[:, :3].T
        numbers = [*quaternion(turn).tolist(), *(-turn @ pose[:, 3]).tolist()]
        listed = form.name(name).removeprefix("images/").removeprefix("images\\")
        images += f"{i} {' '.join(map(repr, numbers))} {i} {listed}\n\n"
    (model / "cameras.txt").write_text(cameras)
    (model / "images.txt").write_text(images)


def dtu(folder: Path, taken: Sequence[Shot], form: Form) -> None:
    write_pictures(folder, taken, form, "image", "mask")
    matrices = {}
    for i, shot in enumerate(taken):
        (width, height), focal = shot.size, shot.focal
        lens = np.array([[focal, 0, width / 2 - 0.5], [0, focal, height / 2 - 0.5], [0, 0, 1]])
        world = np.eye(4)
        world[:3] = lens @ np.linalg.inv(shot.pose * [1, -1, -1, 1])[:3]
        matrices[f"world_mat_{i}"] = world
        matrices[f"scale_mat_{i}"] = np.diag([SIDE / 2, SIDE / 2, SIDE / 2, 1])
        matrices[f"scale_mat_{i}"][:3, 3] = CENTER + (0 if form.origin is None else form.origin)
    np.savez(folder / "cameras_sphere.npz", **matrices)


FORMATS = {
    "blender": blender, "transforms": transforms, "llff": llff, "colmap": colmap, "dtu": dtu,
}  # fmt: skip
LISTING = ("blender", "transforms", "colmap")
"""Formats whose files name the photographs."""

PLAIN = Form()
FORMS = {
    "plain": PLAIN,
    "turned by 180": replace(PLAIN, orientation=3),
    "turned by 90": replace(PLAIN, orientation=6),
    "mirrored": replace(PLAIN, orientation=7, ending=".webp"),
    "masks of 255": replace(PLAIN, mask="255"),
    "masks of 1": replace(PLAIN, mask="1"),
    "masks of one bit": replace(PLAIN, mask="bits"),
    "capitals": replace(PLAIN, ending=".PNG"),
    "webp": replace(PLAIN, ending=".webp"),
    "tiff": replace(PLAIN, ending=".tif"),
    "bmp": replace(PLAIN, ending=".BMP", opaque=True),
    "system files": replace(PLAIN, junk=True),
    "far origin": replace(PLAIN, origin=UTM),
    "mixed sizes": replace(PLAIN, mixed=True),
    "far origin, mixed sizes, masks of 1": replace(PLAIN, origin=UTM, mixed=True, mask="1"),
}
NAME_FORMS = {
    "backslashes": replace(PLAIN, name=lambda name: name.replace("/", "\\")),
    "a dot first": replace(PLAIN, name=lambda name: f"./{name}"),
    "two slashes": replace(PLAIN, name=lambda name: name.replace("/", "//")),
    "no ending": replace(PLAIN, name=lambda name: name.removesuffix(".png")),
    "another ending": replace(PLAIN, name=lambda name: name.replace(".png", ".jpg")),
    "capitals in the file": replace(PLAIN, name=lambda name: name.replace(".png", ".PNG")),
    "capitals on disk": replace(PLAIN, ending=".PNG", name=lambda n: n.replace(".PNG", ".png")),
    "absolute": replace(PLAIN, absolute=True),
}
CASES = [
    *((format_, form) for format_ in FORMATS for form in FORMS),
    *((format_, form) for format_ in LISTING for form in NAME_FORMS),
]
ALL_FORMS = FORMS | NAME_FORMS


def write(folder: Path, format_: str, form: Form) -> list[Shot]:
    """Write the capture and return what is to be read."""
    taken = shots(form)
    FORMATS[format_](folder, taken, form)
    return taken
