"""Draw the package's rooms and who imports whom, from the imports themselves: docs/rooms.svg.

python tools/draw_rooms.py          # write the picture
An arrow leads from a room to one that it imports from; arrows that follow from others are left out.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "orefield"
PICTURE = ROOT / "docs" / "rooms.svg"
WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 132, 34, 22, 34, 16
LEAVES = ("__init__", "__main__", "_version")
"""Not rooms: the list of public names, the way in, a number."""

Graph = dict[str, set[str]]


def room_of(module: str) -> str:
    """`orefield.scenes.dataparsers.llff` -> `scenes`."""
    return module.split(".")[1]


def import_graph(package: Path = PACKAGE) -> Graph:
    """For each room, the other rooms it imports from, lazily or not."""
    graph: Graph = {}
    for file in sorted(package.rglob("*.py")):
        room = file.relative_to(package).with_suffix("").parts[0]
        if room in LEAVES:
            continue
        targets = graph.setdefault(room, set())
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("orefield."):
                targets.add(room_of(str(node.module)))
            # The command line imports its commands by name.
            elif isinstance(node, ast.Constant) and str(node.value) == "orefield.commands.":
                targets.add(room_of(node.value))
    return {room: targets - {room, *LEAVES} for room, targets in graph.items()}


def levels(graph: Graph) -> dict[str, int]:
    """Length of the longest chain of imports below each room; rooms without any are at 0."""
    found: dict[str, int] = {}

    def level(room: str) -> int:
        if room not in found:
            found[room] = -1  # a cycle ends here instead of never
            found[room] = max((level(target) + 1 for target in graph[room]), default=0)
        return found[room]

    for room in graph:
        level(room)
    return found


def reduced(graph: Graph) -> Graph:
    """Without the imports from rooms that are reached by way of another."""

    def reachable(room: str) -> set[str]:
        return graph[room].union(*(reachable(target) for target in graph[room]))

    return {
        room: {t for t in targets if not any(t in reachable(o) for o in targets if o != t)}
        for room, targets in graph.items()
    }


def draw(graph: Graph) -> str:
    """The picture as SVG: the command line on top, what everything stands on below."""
    level = levels(graph)
    top = max(level.values())
    rows = [sorted(room for room in graph if level[room] == top - i) for i in range(top + 1)]
    across = max(map(len, rows)) * (WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    down = len(rows) * (HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    corner: dict[str, tuple[float, float]] = {}
    for i, row in enumerate(rows):
        left = (across - len(row) * (WIDTH + GAP_X) + GAP_X) / 2
        for j, room in enumerate(row):
            corner[room] = (left + j * (WIDTH + GAP_X), MARGIN + i * (HEIGHT + GAP_Y))
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {across:g} {down:g}" '
        f'width="{across:g}" height="{down:g}" font-family="sans-serif" font-size="14">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#8a97a6"/></marker></defs>',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for room, targets in sorted(reduced(graph).items()):
        lines += [_arrow(corner[room], corner[target]) for target in sorted(targets)]
    for room, (x, y) in sorted(corner.items()):
        lines.append(
            f'<rect x="{x:g}" y="{y:g}" width="{WIDTH}" height="{HEIGHT}" rx="6" '
            'fill="#f6efe7" stroke="#b3541e"/>'
            f'<text x="{x + WIDTH / 2:g}" y="{y + HEIGHT / 2 + 5:g}" text-anchor="middle">'
            f"{room}</text>"
        )
    return "\n".join([*lines, "</svg>", ""])


def _arrow(start: tuple[float, float], stop: tuple[float, float]) -> str:
    x1, y1 = start[0] + WIDTH / 2, start[1] + HEIGHT
    x2, y2 = stop[0] + WIDTH / 2, stop[1]
    middle = (y1 + y2) / 2
    return (
        f'<path d="M{x1:g} {y1:g}C{x1:g} {middle:g} {x2:g} {middle:g} {x2:g} {y2:g}" '
        'fill="none" stroke="#8a97a6" marker-end="url(#tip)"/>'
    )


if __name__ == "__main__":
    PICTURE.write_text(draw(import_graph()), encoding="utf-8")
