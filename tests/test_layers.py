"""Who may import whom, how long a file may be, and what stays cheap to import."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"
PACKAGE = SRC / "orefield"

# A room imports from rooms to its left, never to its right. Modules of one entry share a room.
ORDER = (
    ("errors",),
    ("config", "types", "machine", "threads"),
    ("cameras",),
    ("ops.cpu", "ops.gpu"),
    ("ops",),
    ("devices",),
    ("fields", "metrics", "scenes"),
    ("poses",),
    ("samplers",),
    ("render",),
    ("look",),
    ("mining",),
    ("losses",),
    ("batch", "presets"),
    ("calibration",),
    ("checkpoint", "optim", "step", "static_step"),
    ("train",),
    ("evaluate",),
    ("mined",),
    ("export", "report", "viewer"),
    ("bench",),
    ("doctor",),
    ("commands",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, entry in enumerate(ORDER) for room in entry}
# Against the order's permission: (room, what it must not see).
FORBIDDEN = {
    ("samplers", "fields"),
    ("mining", "scenes"),
    ("mining", "fields"),
    ("export", "train"),
    ("viewer", "train"),
    ("scenes", "torch.nn"),
}


def module_name(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}


def room_of(module: str) -> str:
    """`orefield.ops.cpu.march` -> `ops.cpu`; `orefield.scenes.dataparsers.llff` -> `scenes`."""
    inner = module.removeprefix("orefield.")
    two = ".".join(inner.split(".")[:2])
    return two if two in RANK else inner.split(".")[0]


def imports_of(module: str) -> set[str]:
    """Every module named in an import anywhere in the file, lazy ones included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(FILES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                found.add(full if full in FILES or full == "torch.nn" else str(node.module))
    return found


MODULES = [module for module in FILES if module != "orefield"]


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_upward_only(module: str) -> None:
    room = room_of(module)
    if room == "integrations":
        return
    assert room in RANK, f"{module}: give its room {room!r} a place in ORDER"
    for target in imports_of(module):
        for here, there in FORBIDDEN:
            inner = target.removeprefix("orefield.")
            seen = inner == there or inner.startswith(there + ".")
            assert not (room == here and seen), f"{module} imports {target}"
        if target.startswith("orefield."):
            other = room_of(target)
            assert other != "integrations", f"{module} imports {target}"
            below = (
                other == room or RANK[other] < RANK[room] or {other, room} <= {"config", "types"}
            )
            assert below, f"{module} imports {target}, which lies above it"


def test_no_import_cycles() -> None:
    graph = {m: {t for t in imports_of(m) if t in MODULES and t != m} for m in MODULES}
    while leaves := {module for module, targets in graph.items() if not targets & graph.keys()}:
        graph = {module: targets for module, targets in graph.items() if module not in leaves}
    assert not graph, f"import cycle among {sorted(graph)}"


@pytest.mark.parametrize("module", FILES)
def test_files_and_functions_stay_small(module: str) -> None:
    text = FILES[module].read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef) and not module.startswith("orefield.ops."):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 60, f"{module}.{node.name} is too long"


@pytest.mark.parametrize("module", ["orefield", "orefield.config", "orefield.cli"])
def test_light_modules_import_nothing_heavy(module: str) -> None:
    heavy = ("torch", "numba", "matplotlib", "numpy")
    code = f"import sys, {module}; sys.exit(', '.join(m for m in {heavy} if m in sys.modules) or 0)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{module} imports {done.stderr}"


def test_the_version_is_written_once() -> None:
    import orefield

    project = (SRC.parent / "pyproject.toml").read_text(encoding="utf-8")
    written = re.search(r'^version = "(.+)"$', project, re.MULTILINE)
    assert written is not None
    assert orefield.__version__ == written[1]


def test_every_public_name_exists() -> None:
    import orefield

    for name in dir(orefield):
        assert getattr(orefield, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orefield.nothing
