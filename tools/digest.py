"""Digests of trained parameters: what a change that should change no number is checked with.

python tools/digest.py --steps 100            # tankard and shapes, three rules, both samplers
"""

import argparse
import hashlib

import torch

import orefield
from orefield.system.threads import use_threads

RULES = "plain", "hsm", "importance"
SAMPLERS = "occupancy", "proposal"


def digest(module: torch.nn.Module) -> str:
    """The first 16 hex digits of the SHA-256 of every tensor of a module's state but counters."""
    found = hashlib.sha256()
    for name, value in module.state_dict().items():
        if name != "steps":
            found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]


def main() -> None:
    """Train each combination and print field, sampler and the last loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenes", nargs="*", default=["tankard", "shapes"])
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    use_threads(args.threads)
    for name in args.scenes:
        scene = orefield.open_scene(name)
        for rule in RULES:
            for kind in SAMPLERS:
                config = orefield.RunConfig(
                    steps=args.steps,
                    mining=orefield.MiningConfig(rule=rule),
                    sampler=orefield.SamplerConfig(kind=kind),
                    optim=orefield.OptimConfig(decay_from=0.0),  # of the digests in docs/log.md
                )
                trainer = orefield.Trainer(scene, config)
                for step in orefield.fit(trainer):
                    last = step
                found = digest(trainer.field), digest(trainer.sampler)
                print(f"{name:<8} {rule:<11} {kind:<10} {found[0]} {found[1]} loss {last.loss:.9f}")


if __name__ == "__main__":
    main()
