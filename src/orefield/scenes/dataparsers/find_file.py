"""Finds the files that a scene names, also where their names on disk differ a little.

An exact name always wins. Else a file counts whose name differs in capitals alone (from a file
system that is blind to case); then, for an image, one with an ending that the name lacks; then one
with the ending of another kind of image, to which somebody converted it. No file is found for two
names, and for a name that fits several none.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from orefield.scenes.dataparsers.folders import IMAGE_ENDINGS
from orefield.scenes.dataparsers.names import Form, match_names
from orefield.scenes.dataparsers.parsed_scene import is_file


def find_named_files(paths: Iterable[Path]) -> dict[Path, Path]:
    """The file of each of these names that has one; each directory is listed once."""
    return _find(paths, [(str, str)])


def find_named_images(paths: Iterable[Path]) -> dict[Path, Path]:
    """The image file of each of these names that has one; each directory is listed once."""
    endings: list[tuple[Form, Form]] = [(_with(ending), str) for ending in IMAGE_ENDINGS]
    return _find(paths, [(str, str), *endings, (_without_ending, _without_ending)])


def converted(found: dict[Path, Path]) -> dict[Path, Path]:
    """Those of the found images that have another ending than their names."""
    return {
        path: file
        for path, file in found.items()
        if path.suffix.lower() in IMAGE_ENDINGS and path.suffix.lower() != file.suffix.lower()
    }


def _find(paths: Iterable[Path], forms: Sequence[tuple[Form, Form]]) -> dict[Path, Path]:
    names = {str(path): path for path in paths}
    found = {path: path for path in names.values() if is_file(path)}
    left = [name for name, path in names.items() if path not in found]
    directories = dict.fromkeys(names[name].parent for name in left)
    files = [file for directory in directories for file in _listed(directory) if file not in found]
    matches = match_names(left, list(map(str, files)), forms).found
    return found | {
        names[name]: Path(file) for name, file in matches.items() if is_file(Path(file))
    }


def _listed(directory: Path) -> list[Path]:
    try:
        return sorted(directory.iterdir())
    except (OSError, ValueError):  # not there, not readable, or no possible name
        return []


def _with(ending: str) -> Form:
    return lambda name: name + ending


def _without_ending(name: str) -> str:
    """The name without the ending of an image."""
    ending = Path(name).suffix
    return name.removesuffix(ending) if ending.lower() in IMAGE_ENDINGS else name
