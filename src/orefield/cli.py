"""The command line: the first word picks a command, the rest are its flags, in any order.

Nothing heavy is imported here, so `orefield --help` answers at once; each command loads what
it needs when it runs.
"""

import contextlib
import difflib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib import import_module

from orefield._version import __version__
from orefield.errors import OrefieldError, one_line
from orefield.system.console import any_encoding

COMMANDS = {
    "prepare": "find the camera poses of photographs or a video",
    "train": "train a field on a scene and write a run folder",
    "resume": "go on with a run that was stopped, exactly where it stopped",
    "eval": "render a run's test views again and score them",
    "render": "pictures and a video of a run: its test views or an orbit",
    "report": "a page of a run or a race, or a comparison of several runs",
    "export": "a run's surface as a mesh, as points, or to start Gaussian splatting from",
    "view": "look at a run in the browser, along with camera paths and films",
    "race": "train several rules side by side on equal terms and compare",
    "bench": "measure the kernels one by one, or one training run",
    "scenes": "list the embedded scenes, or write one to disk",
    "doctor": "versions, device, which kernels run and why",
}

SPIN = "10000"
"""Idle OpenMP threads wait this many turns before they sleep (see threads.py); read when the first
runtime loads, hence set here, and left alone where the caller has set it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the return value is the process's exit code.

    0 done, 1 bad input or a system error (one line on stderr), 2 a command line that makes no
    sense, 130 stopped by Ctrl-C.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN)
    words = list(sys.argv[1:] if argv is None else argv)
    with any_encoding():
        try:
            code = _answer(words)
            if sys.stdout is not None:  # closed from the start, as by `>&-`
                sys.stdout.flush()
            return code
        except BrokenPipeError:  # whoever read our output has seen enough, as `head` does
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            return 1
        except KeyboardInterrupt:
            return _complain("stopped", 130)
        except MemoryError as error:
            return _complain(f"out of memory: {error}", 1)
        except (OrefieldError, OSError) as error:
            return _complain(str(error), 1)


def _answer(words: list[str]) -> int:
    """The exit code of a command, or of what stands in its place."""
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0 if words else 2
    if words[0] == "--version":
        print(f"orefield {__version__}")
        return 0
    name, flags = words[0], words[1:]
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"commands: {', '.join(COMMANDS)}"
        return _complain(f"unknown command {name!r}; {hint}", 2)
    with warnings.catch_warnings():
        warnings.showwarning = _show_warning  # type: ignore[assignment]
        return _run(name, flags)


def _run(name: str, flags: list[str]) -> int:
    command = import_module(f"orefield.commands.{name}")
    code: int = command.run(_parse(command.Args, name, flags))
    return code


def _parse(kind: type, name: str, flags: list[str]) -> object:
    """Flags to an instance of `kind`; a value that our own checks refuse raises as anywhere."""
    import tyro

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            args: object = tyro.cli(kind, prog=f"orefield {name}", args=flags)
            return args
    except SystemExit as stop:
        # tyro turns a nested ValueError into a printed box and an exit; look for ours beneath it.
        beneath: BaseException | None = stop
        while beneath is not None:
            if isinstance(beneath, OrefieldError):
                raise beneath from None
            beneath = beneath.__cause__ or beneath.__context__
        print(said.getvalue(), end="", file=sys.stderr)
        raise


def _show_warning(message: Warning | str, *_: object) -> None:
    """One line, without the place in our code that the reader cannot help."""
    print(f"orefield: warning: {one_line(str(message))}", file=sys.stderr)


def _complain(line: str, code: int) -> int:
    print(f"orefield: {one_line(line)}", file=sys.stderr)
    return code


def _overview() -> str:
    commands = "\n".join(f"  {name:<8} {text}" for name, text in COMMANDS.items())
    return f"""orefield {__version__}: radiance fields, trained on the hard samples

usage: orefield COMMAND ...

{commands}

orefield COMMAND --help lists a command's flags with their defaults.
First try: orefield train tankard --seconds 30"""
