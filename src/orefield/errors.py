"""What goes wrong on the caller's side. Torch-free: the command line needs it at once."""

LONGEST = 500
"""Characters of the longest message; of longer ones the middle is left out."""


def one_line(text: str) -> str:
    """The text as one line of at most `LONGEST` characters that is safe to show on a terminal.

    Line breaks become blanks; control characters, and what no encoding can write, their escapes
    (`\\x1b`): names in files may hold any.
    """
    line = printable(" ".join(text.split("\n")))
    if len(line) <= LONGEST:
        return line
    start = LONGEST * 3 // 5
    return f"{line[:start]} ... {line[start + 5 - LONGEST :]}"


def printable(text: str) -> str:
    """The text with its line breaks, but other control characters as escapes (`\\x1b`)."""
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


class OrefieldError(ValueError):
    """Something the caller gave cannot be used; the message names it and says what was expected."""

    def __str__(self) -> str:
        """The message as one line (see `one_line`)."""
        return one_line(super().__str__())


class ConfigError(OrefieldError):
    """A setting outside its range, or a configuration file that does not fit this version."""


class SceneError(OrefieldError):
    """A scene on disk that cannot be read; the message names the file and the field."""


class RunError(OrefieldError):
    """A run folder that cannot be read or written; the message names the file and the field."""


class TrainingError(OrefieldError):
    """Training that cannot go on: nothing more is learned; the message names the likely cause."""


class ExportError(OrefieldError):
    """A field from which the wanted file cannot be made; the message says why."""


class CameraPathError(OrefieldError):
    """A camera path that cannot be read; the message names the file and the field."""
