"""The `transforms.json` of instant-ngp and nerfstudio: one file for a whole capture.

Intrinsics stand at the top of the file or in an entry of `frames` (see json_intrinsics). An entry
also holds `file_path`, `transform_matrix` (camera-to-world, OpenGL axes) and optionally `mask_path`
and `depth_file_path`. Frames are sorted by their paths. `train_filenames`, `val_filenames` and
`test_filenames` make a split. instant-ngp's `aabb_scale` says how far the background extends. Not
used: `ply_file_path`, and `applied_transform`, which the poses already contain; json_keys has all.
"""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from orefield.config import SceneConfig
from orefield.scenes.dataparsers.json_fields import Record, read_record
from orefield.scenes.dataparsers.json_frames import FrameReader
from orefield.scenes.dataparsers.json_keys import SPLITS, warn_of_unread
from orefield.scenes.dataparsers.parsed_scene import Folder, ParsedScene, hold_out
from orefield.scenes.scene import SceneWarning
from orefield.types import SceneError


def parse_transforms(folder: Folder, file: Path, config: SceneConfig) -> ParsedScene:
    """The frames of a `transforms.json` whose photographs exist.

    Without a split in the file every n-th is held out. Raises SceneError naming file and field.
    """
    root = read_record(file)
    reader = FrameReader(folder, root)
    warn_of_unread(root, reader.entries, splits=True)
    entries = sorted(reader.entries, key=lambda entry: entry.text("file_path"))
    if any(map(root.has, SPLITS)):
        parsed = _named_split(folder, reader, entries, config)
    else:
        parsed = hold_out(reader.read(entries), config.holdout)
    return replace(parsed, downscale=config.downscale, half_extent=reader.half_extent())


def _named_split(
    folder: Folder, reader: FrameReader, entries: Sequence[Record], config: SceneConfig
) -> ParsedScene:
    """The split that the file states, among the photographs that exist.

    Validation views are used where test views are missing; where both lists name missing
    photographs only, every n-th training view is held out. Without `train_filenames` all other
    frames are training views. Frames in no list that is used are not read.
    """
    root = reader.root
    named = {field: _listed(folder, root, field) for field in SPLITS}
    known = {reader.path(entry) for entry in entries}
    for field, names in named.items():
        if stray := [name for path, name in names.items() if path not in known]:
            raise root.wrong(field, f"names of frames; no frame has {stray[0]!r:.60}")
    train, val, test = (set(names) for names in named.values())
    if not root.has(SPLITS[0]):
        train = known - val - test
    present = {reader.path(entry) for entry in entries if reader.exists(entry)}
    field, held_out = (SPLITS[2], test) if test & present else (SPLITS[1], val & present and val)
    if overlap := train & held_out:
        other = named[field][min(overlap)]
        raise root.wrong(field, f"names that train_filenames lacks; both have {other!r:.60}")
    if train and not train & present:
        raise SceneError(f"{root.where}: none of the {len(train)} training images is there")
    frames = reader.read([e for e in entries if reader.path(e) in train | held_out])
    if not held_out and (test or val):
        parsed = hold_out(frames, config.holdout)
        lists = " and ".join(field for field in SPLITS[1:] if named[field])
        warnings.warn(
            f"{root.where}: no image of {lists} is there; test views: {parsed.split}",
            SceneWarning,
            stacklevel=2,
        )
        return parsed
    split = {SPLITS[2]: "named in the file", SPLITS[1]: "named in the file, val as test"}[field]
    scored = {reader.image(path) for path in held_out}
    return ParsedScene(
        [frame for frame in frames if frame.image not in scored],
        [frame for frame in frames if frame.image in scored],
        split if held_out else "named in the file, no test views",
    )


def _listed(folder: Folder, root: Record, field: str) -> Mapping[Path, str]:
    """The names in one of the file's lists, by the path that each stands for."""
    names = root.texts(field) if root.has(field) else []
    return {folder.named(name, f"{root.where}: {field}"): name for name in names}
