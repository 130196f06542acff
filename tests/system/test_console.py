"""Laws of what is printed: any console can show it, and no name can steer the terminal."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orefield.errors import LONGEST, ConfigError, OrefieldError, RunError, SceneError, one_line
from orefield.scenes.scene import SceneWarning
from orefield.system.console import any_encoding, say

names = st.text(st.characters(exclude_categories=[]), max_size=700)


@given(names)
def test_one_line_is_short_and_holds_no_control_character(name: str) -> None:
    line = one_line(name)
    assert line.isprintable()
    assert len(line) <= LONGEST


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("fox/a  b.png: is missing", "fox/a  b.png: is missing"),
        ("a\x1b[2Jb", r"a\x1b[2Jb"),
        ("first\nsecond", "first second"),
        ("bell\a, delete\x7f, right to left \u202e", r"bell\x07, delete\x7f, right to left \u202e"),
        ("\udcff", r"\udcff"),
        ("场景", "场景"),
    ],
)
def test_one_line_escapes_what_a_terminal_would_obey(text: str, line: str) -> None:
    assert one_line(text) == line


def test_a_long_line_keeps_both_ends() -> None:
    line = one_line("scene.json: " + 1000 * "x" + ", expected a list")
    assert line.startswith("scene.json: xxx")
    assert line.endswith("xxx, expected a list")
    assert len(line) == LONGEST


@pytest.mark.parametrize("kind", [OrefieldError, ConfigError, SceneError, RunError, SceneWarning])
def test_every_message_of_ours_is_one_line(kind: type[Exception]) -> None:
    assert str(kind("a\nb\x1b")) == r"a b\x1b"
    assert len(str(kind("x" * 10_000))) == LONGEST


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "shift_jis"])
@given(name=names)
def test_any_name_can_be_printed_on_any_console(encoding: str, name: str) -> None:
    written = io.BytesIO()
    console = io.TextIOWrapper(written, encoding)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", console)
        with any_encoding():
            say(name)
        assert console.errors == "strict"  # the caller's stream is as it was
    shown = written.getvalue().decode(encoding)
    assert shown.replace("\n", "").replace("\r", "").isprintable()
    if encoding == "utf-8" and name.isprintable():
        assert shown.strip("\r\n") == name


def test_streams_that_are_no_console_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    with any_encoding():
        say("场景\x07")
    assert sys.stdout.getvalue() == "场景\\x07\n"
