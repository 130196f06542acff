"""Settings that follow the budget: samples per step, and the size of the hash grid.

A small grid is soon full, and a large one costs time; a run needs some hundreds of steps, and the
fewer samples a step has, the more each of them costs. The constants were fitted on validation
views, never on test views (benchmarks/budgets_cpu.json, docs/log.md).
"""

import dataclasses
import math

from orefield.config.facts import SceneFacts
from orefield.config.run import RunConfig

SAMPLES_PER_SECOND = 1.5e6
"""At which two cores of 2022 train; assumed where no speed was measured."""
SMALLEST, LARGEST = 15, 19
"""log2 of the entries per level."""
FEWEST, MOST = 14, 16
"""log2 of the samples per step."""
_STEPS = 1000
"""Steps that a run should have, about, before its steps grow."""
_WIDTH, _NARROWEST, _WIDEST = 400, 64, 2048
"""Pixels along the longer side of photographs: assumed where unknown, and what counts."""


def expected_samples(config: RunConfig, samples_per_second: float | None = None) -> float:
    """Samples of a whole run: of its steps, or of its seconds at that speed."""
    if config.steps:
        return float(config.steps) * (config.optim.target_samples or 2**MOST)
    return config.seconds * (samples_per_second or SAMPLES_PER_SECOND)


def fit_to_budget(config: RunConfig, scene: SceneFacts, samples: float | None = None) -> RunConfig:
    """The configuration with what follows from the budget filled in where it is None.

    `samples`: of the whole run; None takes `expected_samples(config)`.
    """
    samples = expected_samples(config) if samples is None else samples
    field, (size, finest) = config.field, hash_grid_size(samples, scene)
    each = samples_per_step(samples) if not config.steps else 2**MOST
    filled = dataclasses.replace(
        field,
        log2_hashmap_size=size if field.log2_hashmap_size is None else field.log2_hashmap_size,
        max_resolution=finest if field.max_resolution is None else field.max_resolution,
    )
    optim = dataclasses.replace(config.optim, target_samples=config.optim.target_samples or each)
    return dataclasses.replace(config, field=filled, optim=optim)


def samples_per_step(samples: float) -> int:
    """So that a run has about a thousand steps or more.

    A run whose number of steps is given has the most: there more samples are never worse.
    """
    size = round(math.log2(max(samples, 1.0) / _STEPS))
    return 1 << max(min(size, MOST), FEWEST)


def hash_grid_size(samples: float, scene: SceneFacts) -> tuple[int, int]:
    """log2 of the entries per level, and cells per axis of the finest level.

    An entry has to be met often before it is worth having, so entries grow with the samples, up to
    as many as a surface has cells on the finest level. Those are about a pixel wide; where the box
    is half as wide as the cube, because of what surrounds it, half a pixel.
    """
    wide = scene.unbounded or scene.forward_facing
    each, least = (150, 17) if wide else (1200, SMALLEST)
    pixels = min(max(scene.width or _WIDTH, _NARROWEST), _WIDEST)
    level = math.ceil(math.log2(pixels)) + wide
    most = min(max(2 * level, SMALLEST), LARGEST)
    size = round(math.log2(max(samples, 1.0) / each))
    return most if scene.forward_facing else max(min(size, most), min(least, most)), 2**level
