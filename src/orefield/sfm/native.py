"""Running pycolmap: its log goes to a file, its long calls report progress and can be stopped.

Progress must not be read from COLMAP's database with Python's sqlite3: two copies of SQLite in one
process release each other's locks on a file, and the call dies of a bus error. Features and matches
are therefore computed in batches, one call each.
"""

from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from pathlib import Path
from typing import TypeVar

import pycolmap

from orefield.sfm.progress import Progress
from orefield.types import SceneError

TICK = 0.25
"""Seconds between two reports of progress."""
Item = TypeVar("Item")
Result = TypeVar("Result")


def log_to(folder: Path) -> None:
    """Send pycolmap's log to a file `log.DATE-TIME.PID` in `folder` and nothing to the screen."""
    logging = pycolmap.logging
    logging.logtostderr = False
    logging.alsologtostderr = False
    logging.stderrthreshold = int(logging.FATAL.value)
    for level in (logging.WARNING, logging.ERROR, logging.FATAL):
        logging.set_log_destination(level, "")  # the file for INFO holds these too
    logging.set_log_destination(logging.INFO, str(folder / "log."))


def watch(
    stage: str,
    total: int,
    count: int | Callable[[], int],
    call: Callable[[pycolmap.CancellationToken], Result],
) -> Generator[Progress, None, Result]:
    """Run a native call in a thread and yield `count` of `total` until it is done.

    Closing the generator, as Ctrl-C does, stops the call. Raises SceneError when the call fails.
    """
    token = pycolmap.CancellationToken()
    done = 0

    def progress() -> Progress:
        nonlocal done
        done = max(done, min(count if isinstance(count, int) else count(), total))
        return Progress(stage, done, total)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(call, token)
        try:
            while not wait([future], TICK).done:
                yield progress()
        finally:
            token.cancel()
    try:
        result = future.result()
    except (ValueError, RuntimeError) as error:
        raise SceneError(f"{stage}: pycolmap failed: {error}") from error
    yield progress()
    return result


def in_batches(
    stage: str,
    items: Sequence[Item],
    size: int,
    call: Callable[[Sequence[Item], pycolmap.CancellationToken], None],
) -> Generator[Progress, None, None]:
    """Run a native call on at most `size` items at a time, as `watch` does."""
    for start in range(0, len(items), size):
        work = partial(call, items[start : start + size])
        yield from watch(stage, len(items), start, work)
    yield Progress(stage, len(items), len(items))
