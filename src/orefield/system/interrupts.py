"""What asks a run to stop: Ctrl-C and other signals, and an output that nobody reads any more."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread
from types import FrameType
from typing import Any

STOPPING = ("SIGINT", "SIGTERM", "SIGHUP")
"""Ctrl-C; what a job scheduler or a shutdown sends; the terminal was closed."""
_IMPATIENT = 3
"""Ctrl-C so often during one save interrupts even that: its disk may not answer."""


class StopRequest:
    """Whether somebody has asked to stop, and how."""

    signal = 0
    """Number of the first signal; 0 before."""
    output_lost = False
    """Whether nobody reads what is printed any more."""

    def is_set(self) -> bool:
        """Whether to stop after this step."""
        return self.signal > 0 or self.output_lost

    @property
    def exit_code(self) -> int:
        """As shells count: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP; else 1."""
        return 128 + self.signal if self.signal else 1


@contextmanager
def interruptible() -> Iterator[StopRequest]:
    """Note signals that ask to stop; Ctrl-C after any of them raises KeyboardInterrupt.

    The others may come twice, from the system and from the shell. A signal that the process
    inherited as ignored (nohup) stays so. Outside of the main thread, where Python handles no
    signals, none is noted.
    """
    request = StopRequest()

    def handle(number: int, frame: FrameType | None) -> None:
        again = request.is_set()
        request.signal = request.signal or number
        if again and number == signal.SIGINT:
            raise KeyboardInterrupt

    before = {number: handler for number, handler in _handlers() if handler is not signal.SIG_IGN}
    for number in before:
        signal.signal(number, handle)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C inside takes effect at the end of the block: for what must not be half done."""
    before = dict(_handlers()).get(signal.SIGINT, signal.SIG_IGN)
    if before is signal.SIG_IGN:
        yield
        return
    heard = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal heard
        heard += 1
        if heard >= _IMPATIENT:
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if 0 < heard < _IMPATIENT:
            signal.raise_signal(signal.SIGINT)


def _handlers() -> Iterator[tuple[int, Any]]:
    """The signals that ask to stop, and what Python does on each; none in other threads."""
    if current_thread() is not main_thread():
        return
    for name in STOPPING:  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        handler = None if number is None else signal.getsignal(number)
        if number is not None and handler is not None:  # None: handled by other than Python
            yield number, handler
