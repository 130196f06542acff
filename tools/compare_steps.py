"""Time a training step of two checkouts in turns, because a machine's speed drifts.

python tools/compare_steps.py OLD NEW --scene tankard --changes mining.rule=hsm

Each checkout trains in a process of its own; they take turns of some steps. Printed are the
milliseconds per step of each, and the ratio of every two neighboring turns: median and range.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

CHILD = """
import sys, orefield
from orefield.config import changed
scene_name, changes, skip = sys.argv[1], sys.argv[2], int(sys.argv[3])
config = changed(orefield.RunConfig(steps=10**6), changes)
trainer = orefield.Trainer(orefield.open_scene(scene_name, config.scene), config)
for _ in range(skip):
    trainer.advance()
print("ready", flush=True)
for line in sys.stdin:
    before = trainer.seconds
    for _ in range(int(line)):
        trainer.advance()
    print(trainer.seconds - before, flush=True)
"""


class Checkout:
    """A checkout's trainer in a process of its own."""

    def __init__(self, folder: Path, scene: str, changes: str, skip: int) -> None:
        """Train `skip` steps at once: kernels compile, and the scene takes shape."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", CHILD, scene, changes, str(skip)],
            env={**os.environ, "PYTHONPATH": str(folder / "src")},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        if self.process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{folder}: training did not start")

    def train(self, steps: int) -> float:
        """Milliseconds per step."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{steps}\n")
        self.process.stdin.flush()
        return 1e3 * float(self.process.stdout.readline()) / steps

    def stop(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.wait()


def main() -> None:
    """Take turns, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--scene", default="tankard")
    parser.add_argument("--changes", default="", help="settings, as in mining.rule=hsm,seed=1")
    parser.add_argument("--old-changes", help="the same in the old checkout's words")
    parser.add_argument("--skip", type=int, default=150, help="steps before the first turn")
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--steps", type=int, default=20, help="steps of a turn")
    args = parser.parse_args()
    wanted = args.changes if args.old_changes is None else args.old_changes
    old = Checkout(args.old, args.scene, wanted, args.skip)
    new = Checkout(args.new, args.scene, args.changes, args.skip)
    turns = []
    for turn in range(args.turns):
        if turn % 2:
            second = new.train(args.steps)
            turns.append((old.train(args.steps), second))
        else:
            turns.append((old.train(args.steps), new.train(args.steps)))
    old.stop()
    new.stop()
    ratios = [b / a for a, b in turns]
    print(f"old {median(a for a, _ in turns):.2f} ms, new {median(b for _, b in turns):.2f} ms")
    print(f"new / old: median {median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
