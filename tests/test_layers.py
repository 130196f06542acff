"""Who may import whom, how long a file may be, and what stays cheap to import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SRC = Path(__file__).resolve().parent.parent / "src"
PACKAGE = SRC / "orefield"

# A room imports from its own and from lower ranks. Rooms of one rank do not see each other, but for
# the first, where `types` names the errors and settings raise them.
RANKS = (
    ("_version", "errors", "types", "config", "system"),
    ("cameras",),
    ("ops",),
    ("fields", "scenes", "mining"),
    ("samplers",),
    ("rendering",),
    ("training",),
    ("evaluation",),
    ("export", "report", "viewer"),
    ("runs",),
    ("sfm", "bench", "integrations"),
    ("commands",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(RANKS) for room in rooms}
# Against the order's permission: (room, what it must not see). `mining` serves anybody's network,
# and what reads a field must not need a trainer.
FORBIDDEN = {
    ("mining", "ops"),
    ("mining", "cameras"),
    ("samplers", "fields"),
    ("samplers", "scenes"),
    ("report", "training"),
    ("viewer", "training"),
    ("viewer", "runs"),
    ("scenes", "torch.nn"),
}


def module_name(file: Path) -> str:
    parts = file.relative_to(SRC).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
MODULES = [module for module in FILES if module != "orefield"]


def room_of(module: str) -> str:
    """`orefield.scenes.dataparsers.llff` -> `scenes`."""
    return module.split(".")[1]


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


def test_ranks_name_the_rooms_that_exist_and_no_other() -> None:
    assert len(RANKS) <= 15
    assert set(RANK) == {room_of(module) for module in MODULES}


def test_no_module_lies_outside_of_a_room() -> None:
    loose = {file.stem for file in PACKAGE.glob("*.py")}
    assert loose == {"__init__", "_version", "errors", "types", "cli", "__main__"}


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_to_lower_ranks_only(module: str) -> None:
    room = room_of(module)
    for target in imports_of(module):
        inner = target.removeprefix("orefield.")
        for here, there in FORBIDDEN:
            seen = inner == there or inner.startswith(there + ".")
            assert not (room == here and seen), f"{module} imports {target}"
        if target.startswith("orefield."):
            other = room_of(target)
            lowest = {RANK[room], RANK[other]} == {0}
            below = other == room or lowest or RANK[other] < RANK[room]
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


def test_every_public_name_exists_and_is_explained() -> None:
    import orefield

    assert sorted(orefield.__all__) == dir(orefield)
    lines = [line.split() for line in (orefield.__doc__ or "").splitlines() if line[:4] == "    "]
    assert [words[0] for words in lines] == orefield.__all__
    assert all(len(words) > 2 for words in lines)
    for name in dir(orefield):
        assert getattr(orefield, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = orefield.nothing
