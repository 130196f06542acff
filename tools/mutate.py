"""Mutation testing: change one token, run the tests that should notice, say whether one does.

    python tools/mutate.py [--list] [--only 3 17]    72 changes, drawn by seed 0: about an hour
    python tools/mutate.py --quick    only the nearest tests, none without a change: a third of it

Files are changed one at a time, in a temporary copy of the tree. Tests run in two goes: those of
the room that name the changed file in an import or bear its name; then the room's others and those
of other rooms that name it. A change is caught when a test fails, or none ends for --timeout
seconds. It survives when all pass: the tests have a gap there, or it makes no difference.
"""

import argparse
import ast
import io
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tokenize
from collections import Counter
from functools import partial
from itertools import accumulate
from keyword import iskeyword
from pathlib import Path
from typing import NamedTuple

SHARES = dict(ops=24, mining=10, training=12, rendering=4, cameras=6, scenes=10, samplers=6)
# Of 72 changes so many, in these files or folders; these are the tests.
ROOMS = {room: (n, [f"src/orefield/{room}"], [f"tests/{room}"]) for room, n in SHARES.items()}
# Arguments whose change no test can see: how Triton compiles, the order of torch.topk's set, the
# line that a warning names, zip's check of lengths that the code itself makes equal.
EXCLUDED = ("enable_fp_fusion", "num_warps", "sorted", "stacklevel", "strict")
PAIRS = ("+ - += -= * /", "< <= > >=", "and or True False", "min max minimum maximum amin amax")
NUMBERS = {"0": "1", "1": "02", "2": "13", "3": "2"}


class Change(NamedTuple):
    """Bytes `start` to `end` of a file, and what is to stand there."""

    kind: str
    file: Path
    start: int
    end: int
    new: str

    def told(self) -> str:
        """Place, old and new text, and the line."""
        text = self.file.read_bytes()
        head, old = text[: self.start], text[self.start : self.end].decode()
        row, column = head.count(b"\n"), len(head) - head.rfind(b"\n")
        line = text.splitlines()[row].decode().strip()
        return f"{self.file}:{row + 1}:{column}  {old} -> {self.new or 'nothing'}  in  {line}"


def changes(file: Path) -> list[Change]:
    """All of a file's, but for decorators, assertions and messages."""
    text, found, spared = file.read_bytes(), [], []
    starts = [0, *accumulate(map(len, text.splitlines(keepends=True)))]
    for node in ast.walk(ast.parse(text)):
        excluded = isinstance(node, ast.keyword) and node.arg in EXCLUDED
        whole = excluded or isinstance(node, ast.Raise | ast.Assert | ast.JoinedStr)
        for part in (*getattr(node, "decorator_list", ()), *[node] * whole):
            start = starts[part.lineno - 1] + part.col_offset
            spared.append((start, starts[part.end_lineno - 1] + part.end_col_offset))
        found += [Change("excluded", file, 0, 0, "")] * excluded
    reader = io.StringIO(text.decode("latin-1")).readline  # one character a byte, as ast counts
    every = (t for t in tokenize.generate_tokens(reader) if t.type != tokenize.COMMENT)
    tokens = [token for token in every if token.string.strip()]
    for before, token, after in zip(tokens, tokens[1:], tokens[2:], strict=False):
        start, end = (starts[row - 1] + column for row, column in (token.start, token.end))
        if any(first <= start < last for first, last in spared):
            continue
        name, left, called = token.string, before.string, after.string == "("
        operand = left in ")]}" or (before.type != tokenize.OP and not iskeyword(left))
        numbers = operand and tokenize.STRING not in (before.type, after.type)
        if name == "-" and not operand:
            found.append(Change("sign", file, start, end, ""))
        if name in ("clamp", "clamp_") and left == "." and called:
            depths = list(accumulate((c in b"([{") - (c in b")]}") for c in text[end:]))
            found.append(Change("clamp", file, start - 1, end + depths.index(0) + 1, ""))
        found += [Change("number", file, start, end, new) for new in NUMBERS.get(name, "")]
        for kind, fits in zip(PAIRS, (numbers, True, True, called), strict=True):
            if fits and name in (words := kind.split()):
                found.append(Change(kind, file, start, end, words[words.index(name) ^ 1]))
    return found


def python_files(paths: list[str], name: str = "*.py") -> list[Path]:
    """Those below folders, and those that are named themselves."""
    return sorted(f for p in map(Path, paths) for f in (p.rglob(name) if p.is_dir() else [p]))


def draw(found: list[Change], count: int, seed: int) -> list[Change]:
    """From files in turn a change of a random kind."""
    rng, drawn, files = random.Random(seed), list[Change](), sorted({c.file for c in found})
    pools = {f: [c for c in found if c.file == f and c.kind != "excluded"] for f in files}
    rng.shuffle(files)
    while len(drawn) < count and any(pools.values()):
        for file in filter(pools.get, files):
            kind = rng.choice(sorted({change.kind for change in pools[file]}))
            drawn.append(rng.choice([change for change in pools[file] if change.kind == kind]))
            pools[file] = [change for change in pools[file] if change.start != drawn[-1].start]
    return drawn[:count]


def goes(paths: list[str], file: Path) -> list[list[Path]]:
    """The tests that a change of a file of a room runs first, and those that it runs second."""
    stem = file.parent.name if file.stem == "__init__" else file.stem
    named = re.compile(rf"^ *(from|import) .*\b{stem}\b", re.MULTILINE)
    own, every = (python_files(paths, "test_*.py") for paths in (paths, ["tests"]))
    near = [t for t in every if t.stem == f"test_{stem}" or named.search(t.read_text("utf-8"))]
    first = [test for test in own if test in near]
    return [first, [test for test in dict.fromkeys(own + near) if test not in first]]


def failing(numba: Path, limit: float, tests: list[Path], *options: str) -> list[str]:
    """Names of the tests that fail; `timeout` where none ends for `limit` seconds."""
    shutil.rmtree("cache/orefield", ignore_errors=True)  # scenes that changed code made
    command = [sys.executable, "-m", "pytest", "-q", "--tb=no", "-p", "no:cacheprovider", *options]
    environment, log = os.environ | {"NUMBA_CACHE_DIR": str(numba)}, Path("pytest.log")
    with log.open("w") as out:
        run = subprocess.Popen(
            [*command, *tests], env=environment, stdout=out, stderr=out, start_new_session=True
        )
    size, since = 0, time.monotonic()
    while run.poll() is None and time.monotonic() - since < limit:
        time.sleep(0.1)
        if log.stat().st_size != size:
            size, since = log.stat().st_size, time.monotonic()
    if run.poll() is None:
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        return ["timeout"]
    names = re.findall(r"^(?:FAILED|ERROR) (.*?)(?: - .*)?$", log.read_text(), re.MULTILINE)
    return names or [f"pytest ended with {run.returncode}"] * (run.returncode != 0)


def caught_by(change: Change, runs: list[list[Path]], limit: float, *options: str) -> str:
    """The test that fails after a change, or nothing; the file is put back."""
    text, times = change.file.read_bytes(), change.file.stat()
    change.file.write_bytes(text[: change.start] + change.new.encode() + text[change.end :])
    with tempfile.TemporaryDirectory() as fresh:
        # Numba's cache misses it when a function changes that is called from another file.
        numba = Path(fresh) if b"njit" in text else Path("cache/numba").resolve()
        found = next(filter(None, (failing(numba, limit, t, *options) for t in runs if t)), [""])
    change.file.write_bytes(text)
    os.utime(change.file, ns=(times.st_atime_ns, times.st_mtime_ns))  # by which caches know it
    return found[0]


def main() -> None:
    """Copy the tree; draw, try, count."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--src", type=Path, default=Path(__file__).parent.parent, help="the tree")
    for name, default in (("--count", 72), ("--seed", 0), ("--timeout", 90)):
        parser.add_argument(name, type=int, default=default)
    parser.add_argument("--rooms", type=Path, help="a JSON file like ROOMS")
    parser.add_argument("--list", action="store_true", help="only name the changes")
    parser.add_argument("--quick", action="store_true", help="the first tests alone")
    parser.add_argument("--only", type=int, nargs="+", metavar="INDEX")
    asked = parser.parse_args()
    rooms = json.loads(asked.rooms.read_text()) if asked.rooms else ROOMS
    drawn: list[tuple[str, Change, list[list[Path]]]] = []
    say, excluded, caught, of = partial(print, flush=True), 0, Counter[str](), Counter[str]()
    with tempfile.TemporaryDirectory() as scratch:
        trash = shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache")
        tree = Path(shutil.copytree(asked.src, Path(scratch) / "tree", ignore=trash))
        os.environ.setdefault("OREFIELD_SCENES", f"{asked.src.resolve().parent}/shared/scenes")
        os.environ.update(PYTHONPATH=f"{tree}/src", XDG_CACHE_HOME=f"{tree}/cache")
        os.chdir(tree)
        for room, (share, sources, tests) in rooms.items():
            every = [change for file in python_files(sources) for change in changes(file)]
            excluded += sum(change.kind == "excluded" for change in every)
            for change in draw(every, round(asked.count * share / 72), asked.seed):
                drawn.append((room, change, goes(tests, change.file)))
        chosen = {n: drawn[n] for n in asked.only or range(len(drawn))}
        say(f"{len(chosen)} of {len(drawn)} changes; {excluded} places excluded")
        if asked.list:
            say(*(f"{n:3}  {change.told()}" for n, (_, change, _) in chosen.items()), sep="\n")
            return
        if asked.quick:
            chosen = {n: (r, c, [next(filter(None, t), [])]) for n, (r, c, t) in chosen.items()}
        used = {test for _, _, runs in chosen.values() for tests in runs for test in tests}
        failed = [] if asked.quick else failing(tree / "cache/numba", asked.timeout, sorted(used))
        if not asked.quick:
            say("fail without any change:", *(failed or ["none"]))
        options = ["-x", *(f"--deselect={name}" for name in failed)]
        for n, (room, change, runs) in chosen.items():
            told, began = change.told(), time.monotonic()
            test = caught_by(change, runs, asked.timeout, *options)
            of.update((room, "all"))
            caught.update((room, "all") if test else ())
            say(f"{n:3}  {told}  {test or 'SURVIVED'}  {time.monotonic() - began:.0f} s")
    for room, count in of.items():
        say(f"{room}: caught {caught[room]} of {count} ({100 * caught[room] / count:.0f} %)")


if __name__ == "__main__":
    main()
