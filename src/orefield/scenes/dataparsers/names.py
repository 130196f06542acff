"""Names: which file a scene's files mean, where the two do not spell it alike; orders of names."""

import posixpath
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Form = Callable[[str], str]


@dataclass(frozen=True)
class Matches:
    """Which file each name means."""

    found: dict[str, str]
    """Name to file. No file belongs to two names."""
    unclear: dict[str, list[str]]
    """The names that share one or several files with others, or fit several, and these files."""


def match_names(
    names: Sequence[str], files: Sequence[str], forms: Sequence[tuple[Form, Form]]
) -> Matches:
    """The file of each name: one whose form equals the name's, with no second on either side.

    `forms` are tried in turn, of names and of files, as they are and then without regard to case;
    what one has matched is not there for the next.
    """
    found: dict[str, str] = {}
    unclear: dict[str, list[str]] = {}
    left, free = list(names), list(files)
    for of_name, of_file in forms:
        for spelled in (str, _folded):
            wanted = _grouped(left, of_name, spelled)
            offered = _grouped(free, of_file, spelled)
            for key, group in wanted.items():
                fitting = offered.get(key, [])
                if len(group) == len(fitting) == 1:
                    found[group[0]] = fitting[0]
                elif fitting:
                    unclear |= dict.fromkeys(group, fitting)
            taken = set(found.values())
            left = [name for name in left if name not in found]
            free = [file for file in free if file not in taken]
    return Matches(found, {name: unclear[name] for name in left if name in unclear})


def slashes(name: str) -> str:
    """A path as it is written here: `.\\cam1\\\\a.jpg` -> `cam1/a.jpg`."""
    return posixpath.normpath(name.replace("\\", "/"))


def stem(name: str) -> str:
    """A path without its ending: `left/0001.jpg` -> `left/0001`."""
    return posixpath.splitext(slashes(name))[0]


def last_parts(name: str, count: int) -> str:
    """The end of a path, so many folders and names: 2 of `images/left/0001` -> `left/0001`."""
    return "/".join(name.split("/")[-count:])


def natural_key(name: str) -> tuple[list[str | tuple[int, str]], str]:
    """Sorts `frame2` before `frame10`; names that differ only in case, by themselves."""
    parts = re.split(r"([0-9]+)", name.lower())
    return [_number(part) if i % 2 else part for i, part in enumerate(parts)], name


def _number(digits: str) -> tuple[int, str]:
    """Sorts as the number does; `int` would refuse thousands of digits."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _grouped(names: Sequence[str], form: Form, spelled: Form) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(spelled(form(name)), []).append(name)
    return groups


def _folded(name: str) -> str:
    # Some systems store an accent as a character of its own.
    return unicodedata.normalize("NFC", name).casefold()
