"""What the `frames` of every JSON format have in common: photographs, masks, depth maps, poses."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from orefield.scenes.dataparsers.find_file import converted, find_named_files, find_named_images
from orefield.scenes.dataparsers.json_fields import Record
from orefield.scenes.dataparsers.json_intrinsics import read_camera
from orefield.scenes.dataparsers.json_keys import refuse_unread
from orefield.scenes.dataparsers.parsed_scene import (
    DepthFile,
    Folder,
    Frame,
    few,
    report_missing,
)
from orefield.scenes.dataparsers.pose_conventions import from_opengl, rigid
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError

MILLIMETERS = 1e-3
"""Unit of a depth map in meters, where `depth_unit_scale_factor` does not state it."""
NGP_UNIT = 0.33
"""instant-ngp shrinks the files' coordinates by this; its cube then has the side `aabb_scale`."""


class FrameReader:
    """Reads the entries of one JSON file; `root` is the top of that file."""

    def __init__(self, folder: Folder, root: Record) -> None:
        """Look for the photograph of every entry."""
        self.root = root
        self.entries = root.records("frames")
        self._folder = folder
        self._paths = self._named(self.entries, "file_path")
        self._found = find_named_images(self._paths.values())

    def path(self, entry: Record) -> Path:
        """The photograph that an entry names, whether or not it is there."""
        return self._paths[entry.where]

    def image(self, path: Path) -> Path | None:
        """The photograph that is there for a path that an entry names; its ending may differ."""
        return self._found.get(path)

    def exists(self, entry: Record) -> bool:
        """Whether the photograph of an entry is there."""
        return self.path(entry) in self._found

    def read(self, entries: Sequence[Record]) -> list[Frame]:
        """The frames of those entries whose photographs exist, no photograph twice.

        Warns of photographs that are missing, have another ending than their names, or are named
        twice. Raises SceneError, naming file and field, for what cannot be used.
        """
        missing = [entry.text("file_path") for entry in entries if not self.exists(entry)]
        report_missing(self.root.where, missing, len(entries))
        present = [entry for entry in entries if self.exists(entry)]
        refuse_unread(self.root)
        if self.root.has("applied_transform"):
            self.root.matrix("applied_transform")
        masks = self._beside(present, "mask_path", find_named_images)
        depths = self._beside(present, "depth_file_path", find_named_files)
        images = {path: self._found[path] for path in map(self.path, present)}
        self._report_converted(images | dict(masks.values()))
        frames: dict[Path, Frame] = {}
        repeated: list[str] = []
        shared: list[Frame] = []
        for entry in present:
            mask, depth = masks.get(entry.where), depths.get(entry.where)
            frame, is_shared = self._frame(entry, mask and mask[1], depth and depth[1])
            first = frames.setdefault(frame.image, frame)
            if first is not frame:
                if not _same(first, frame):
                    expected = "named once: an entry before has another pose, camera, mask or depth"
                    raise entry.wrong("file_path", expected)
                repeated.append(frame.name)
            elif is_shared:
                shared.append(frame)
        if repeated:
            self._warn(f"{len(repeated)} entries are repeated and read once: {few(repeated)}")
        self._refuse_mixed_sizes(shared)
        return list(frames.values())

    def half_extent(self) -> float | None:
        """Half the side of instant-ngp's cube, which `aabb_scale` states; see `ParsedScene`."""
        field = "aabb_scale"
        return self.root.positive(field) / NGP_UNIT / 2 if self.root.has(field) else None

    def _named(self, entries: Iterable[Record], field: str) -> dict[str, Path]:
        """The path that each entry gives in a field, by where the entry stands."""
        return {
            entry.where: self._folder.named(entry.text(field), f"{entry.where}.{field}")
            for entry in entries
        }

    def _beside(
        self,
        entries: Sequence[Record],
        field: str,
        find: Callable[[Iterable[Path]], dict[Path, Path]],
    ) -> dict[str, tuple[Path, Path]]:
        """The named and the found path of the masks or depth maps, by where their entry stands.

        Raises SceneError for one that is not there.
        """
        stated = [entry for entry in entries if entry.has(field)]
        paths = self._named(stated, field)
        found = find(paths.values())
        for entry in stated:
            if paths[entry.where] not in found:
                raise entry.wrong(field, "the path of a file that is there")
        return {where: (path, self._folder.inside(found[path])) for where, path in paths.items()}

    def _frame(self, entry: Record, mask: Path | None, depth: Path | None) -> tuple[Frame, bool]:
        """The frame of an entry, and whether it takes intrinsics from the top of the file."""
        image = self._folder.inside(self._found[self.path(entry)])
        stated = read_camera(entry, self.root, image)
        field = "depth_unit_scale_factor"
        unit = self.root.positive(field) if self.root.has(field) else MILLIMETERS
        frame = Frame(
            self._name(entry),
            image,
            mask,
            stated.camera,
            frame_pose(entry),
            depth=DepthFile(depth, unit) if depth else None,
            upright=stated.upright,
        )
        return frame, stated.shared

    def _name(self, entry: Record) -> str:
        """The name of an entry's view: `file_path`, relative and with slashes where it is not."""
        name, path = entry.text("file_path"), self.path(entry)
        if ("\\" in name or Path(name).is_absolute()) and path.is_relative_to(self._folder.path):
            return path.relative_to(self._folder.path).as_posix()
        return name

    def _report_converted(self, found: dict[Path, Path]) -> None:
        if other := list(converted(found).items()):
            named, file = other[0]
            self._warn(
                f"{len(other)} files have another ending than the name here, and are read: "
                f"{file.name} for {named.name}"
            )

    def _refuse_mixed_sizes(self, frames: Sequence[Frame]) -> None:
        """Raise SceneError unless all frames, which share their intrinsics, are of one size."""
        for frame in frames:
            camera, first = frame.camera, frames[0].camera
            if (camera.width, camera.height) != (first.width, first.height):
                raise SceneError(
                    f"{frame.image}: is {camera.width} x {camera.height} pixels, expected "
                    f"{first.width} x {first.height} as {frames[0].image.name}, because "
                    f"{Path(self.root.where).name} gives both the same intrinsics"
                )

    def _warn(self, what: str) -> None:
        warnings.warn(f"{self.root.where}: {what}", SceneWarning, stacklevel=2)


def frame_pose(entry: Record) -> Float[Tensor, "3 4"]:
    """`transform_matrix`, camera-to-world in OpenGL axes, as a rigid pose in OpenCV axes."""
    matrix = entry.matrix("transform_matrix")
    return from_opengl(rigid(matrix, f"{entry.where}.transform_matrix"))


def _same(one: Frame, other: Frame) -> bool:
    """Whether two frames of one photograph say the same, but for its name."""
    rest = replace(other, name=one.name, pose=one.pose)
    return torch.equal(one.pose, other.pose) and rest == one
