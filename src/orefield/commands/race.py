"""`orefield race`: train several rules side by side on equal terms, and compare."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from orefield.config import ConfigError, RunConfig, fit_to_budget, resolve_preset, to_dict
from orefield.system.console import say

if TYPE_CHECKING:
    from orefield.bench.race import Arm, RacePoint


@dataclass(frozen=True)
class Args:
    """Train several arms side by side, each on its own clock, and compare.

    An arm is a mining rule, with other settings of its own if wanted. Arms take turns in short
    slices, because a machine's speed drifts. --seconds is the training time of each arm;
    --mining.rule is not used. Writes race.json, table.md, race.png, report.html and, of
    the first seed's test views, renders/.
    """

    scene: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SCENE")]
    """A scene's folder or JSON file, or an embedded scene: tankard, shapes."""
    arms: tuple[str, ...] = ("plain", "pruned", "hsm", "importance")
    """Arms to race: mining rules, each with its own settings after a colon: hsm:optim.lr=0.01."""
    seeds: int = 1
    """Number of seeds, counted up from --seed."""
    slice_seconds: float = 1.0
    """Training time of an arm in one turn."""
    out: Path = Path("runs/race")
    """Folder for the results."""
    mining_maps: tyro.conf.FlagCreatePairsOff[bool] = False
    """Draw mining maps: where each arm of the first seed keeps samples, in OUT/mining_maps."""
    config: Annotated[RunConfig, tyro.conf.arg(name="")] = field(default_factory=RunConfig)

    def __post_init__(self) -> None:
        if self.seeds < 1 or not self.slice_seconds > 0 or not self.arms:
            raise ConfigError("a race needs at least one arm, one seed and slices longer than 0 s")
        if len(set(self.arms)) != len(self.arms):
            raise ConfigError(f"each arm can be named once, got {' '.join(self.arms)}")
        if self.config.steps:
            raise ConfigError("a race is run by the clock: use --seconds, not --steps")


def run(args: Args) -> int:
    """Race, then write and print the result."""
    from orefield.bench.race import PROBE, arm_config, race
    from orefield.bench.race_folder import write_race_report
    from orefield.bench.race_report import markdown, plot_race, stage_table, summarize
    from orefield.evaluation.protocol import protocol
    from orefield.evaluation.views import refuse_small_views
    from orefield.report.mining_maps import write_mining_maps
    from orefield.runs.schedule import COMPARE_AT
    from orefield.scenes import describe, open_scene
    from orefield.system.files import write_json
    from orefield.system.threads import use_threads
    from orefield.training.speed import samples_of_run
    from orefield.training.trainer import warm_up

    config = args.config
    use_threads(config.threads)
    args.out.mkdir(parents=True, exist_ok=True)  # fail now, not at the end
    scene = open_scene(args.scene, config.scene)
    refuse_small_views(scene, config.calibration.exposure, config.lpips)
    say(describe(scene))
    arms_of = [arm_config(config, name, config.seed) for name in args.arms]
    say(resolve_preset(config, scene.facts)[1])
    warming = sum(warm_up(scene, own) for own in arms_of)
    say(f"kernels ready after {warming:.1f} s")
    # All arms have the settings that the first one's speed gives.
    config = fit_to_budget(config, scene.facts, samples_of_run(scene, arms_of[0]))
    about = {
        **protocol(scene, config),
        "clock": "each arm's own training seconds, without evaluation and compilation",
        "curve": f"PSNR of up to {PROBE} test pixels at {len(COMPARE_AT)} times, interpolated",
        "test": "all test views, at the end",
        "slice_seconds": args.slice_seconds,
        "config": to_dict(config),
    }
    del about["rule"], about["seed"]
    seeds = range(config.seed, config.seed + args.seeds)
    arms: list[dict[str, Any]] = []

    def show(raced: "list[Arm]") -> None:
        maps = {arm.name: arm.maps for arm in raced if arm.maps is not None}
        curves = {arm.name: [(p.seconds, p.kept_share) for p in arm.points] for arm in raced}
        write_mining_maps(args.out / "mining_maps", maps, curves, f"{scene.name}, first seed")

    shown = show if args.mining_maps else None
    watched = _tell, shown, args.out / "renders"
    for finished in race(scene, config, args.arms, seeds, args.slice_seconds, *watched):
        arms += finished
        summary = summarize(arms, config.seconds)
        result = {"protocol": about, "summary": summary, "arms": arms}
        # After each seed, so that a stop loses one at most.
        write_json(args.out / "race.json", result)
        tables = f"{markdown(summary, config.seconds)}\n\n{stage_table(summary)}\n"
        (args.out / "table.md").write_text(tables, encoding="utf-8")
        title = f"{scene.name}: {config.seconds:g} s of training for each arm and seed"
        plot_race(args.out / "race.png", arms, title)
        write_race_report(args.out)
    say(tables)
    say(f"see {args.out}/report.html, and beside it race.png, table.md and race.json")
    return 0


def _tell(arm: "Arm", point: "RacePoint") -> None:
    facts: dict[str, Any] = vars(point)
    say(
        f"seed {arm.seed} {arm.name:<10} {facts['seconds']:6.1f} s {facts['steps']:6d} steps "
        f"{facts['psnr']:6.2f} dB  {100 * facts['kept_share']:.0f} % kept",
    )
