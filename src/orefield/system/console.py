"""What a command prints, safe for any terminal and any console encoding."""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import TextIOWrapper
from typing import Any

from orefield.errors import printable


def say(text: str, stream: Any = None) -> None:
    """Print at once, on stdout unless a stream is given.

    Control characters, which names in files may hold, become escapes.
    """
    print(printable(text), file=stream, flush=True)


@contextmanager
def any_encoding() -> Iterator[None]:
    """Inside, characters that the console's encoding lacks are printed as escapes (`\\u573a`)."""
    with ExitStack() as after:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, TextIOWrapper) and stream.errors != "backslashreplace":
                after.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield
