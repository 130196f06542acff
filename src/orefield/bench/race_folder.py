"""A race's folder read back, and its page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orefield.bench.race import arm_config
from orefield.bench.race_report import summarize
from orefield.config import RunConfig, from_dict, to_dict
from orefield.errors import ConfigError, RunError
from orefield.report.facts import RunFacts
from orefield.report.history import Evaluation, History, HistoryPoint
from orefield.report.maps_section import map_files
from orefield.report.race_page import RaceFacts, race_page
from orefield.runs.metrics import is_number, read_scores, require
from orefield.system.files import read_json, write_atomically

RACE, REPORT = "race.json", "report.html"
_NUMBERS = ("seconds", "ms_per_step")
_OF_POINT = ("seconds", "psnr", "kept_share", "rays")
_MOST = 2**53


def write_race_report(folder: Path, path: Path | None = None) -> Path:
    """Write the page of a race, into its folder unless a path is given, and return its path.

    Raises RunError naming race.json where it is missing or damaged.
    """
    facts = read_race(folder)
    path = path or folder / REPORT
    if path.is_dir():
        raise RunError(f"{path}: is a folder; expected a file for the page")
    data = race_page(facts, to_dict(RunConfig())).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, data)
    return path


def read_race(folder: Path) -> RaceFacts:
    """What a page shows of a race; RunError names race.json and what is wrong with it."""
    path = folder / RACE
    result = read_json(path, RunError, strict=True)
    protocol, arms = result.get("protocol"), result.get("arms")
    require(path, isinstance(protocol, dict), "'protocol'", "an object")
    require(path, isinstance(arms, list) and len(arms) > 0, "'arms'", "a list with an arm")
    assert isinstance(protocol, dict)
    assert isinstance(arms, list)
    for index, arm in enumerate(arms):
        _check_arm(path, f"'arms', number {index}", arm)
    stages = {tuple(arm["ms_per_stage"]) for arm in arms}
    require(path, len(stages) == 1, "'ms_per_stage'", "the same stages in all arms")
    require(path, isinstance(protocol.get("config"), dict), "'config'", "an object")
    try:
        config = from_dict(protocol["config"])
        raced = [_arm_facts(path, folder, protocol, config, arm) for arm in arms]
    except ConfigError as error:
        raise RunError(f"{path}: {error}") from None
    return RaceFacts(
        name=folder.resolve().name or str(folder),
        seconds=config.seconds,
        settings=to_dict(config),
        scene=str(protocol.get("scene", "")),
        arms=tuple(raced),
        seeds=tuple(dict.fromkeys(arm["seed"] for arm in arms)),
        summary=summarize(arms, config.seconds),
        mining_maps=map_files(folder / "mining_maps"),
    )


def _arm_facts(
    path: Path, folder: Path, protocol: dict[str, Any], config: RunConfig, arm: dict[str, Any]
) -> RunFacts:
    stem = arm.get("renders") or ""
    scores, views = read_scores(path, arm["test"], folder / "renders" / stem)
    return RunFacts(
        name=arm["arm"],
        source=str(protocol.get("scene", "")),
        version=str(_versions(protocol).get("orefield", "")),
        train_views=_count(protocol.get("train_views")),
        test_views=_count(protocol.get("test_views")),
        settings=to_dict(arm_config(config, arm["arm"], arm["seed"])),
        protocol={name: value for name, value in protocol.items() if name != "config"},
        training={"steps": arm["steps"], "seconds": arm["seconds"]},
        history=_history(arm["points"]),
        scores=scores,
        views=views if stem else (),
        mining_maps=(),
    )


def _versions(protocol: dict[str, Any]) -> dict[str, Any]:
    versions = protocol.get("versions")
    return versions if isinstance(versions, dict) else {}


def _count(value: Any) -> int:
    return value if type(value) is int else 0


def _history(points: Sequence[dict[str, Any]]) -> History:
    """The evaluations of an arm, with the share kept before each."""
    history = History()
    for point in points:
        seconds, psnr, kept, rays = (float(point[name]) for name in _OF_POINT)
        step = point["steps"]
        history.points.append(HistoryPoint(step, seconds, None, {}, rays, 0.0, kept))
        history.evaluations.append(Evaluation(step, seconds, psnr))
    return history


def _check_arm(path: Path, where: str, arm: Any) -> None:
    """RunError unless an arm of race.json has all that is read of it."""
    require(path, isinstance(arm, dict), where, "an object")
    require(path, isinstance(arm.get("arm"), str), f"{where}: 'arm'", "a text")
    for name in ("seed", "steps"):
        require(path, _is_count(arm.get(name)), f"{where}: '{name}'", "a whole number")
    for name in _NUMBERS:
        require(path, is_number(arm.get(name)), f"{where}: '{name}'", "a number")
    stages, test, points = (arm.get(name) for name in ("ms_per_stage", "test", "points"))
    fits = isinstance(stages, dict) and all(map(is_number, stages.values()))
    require(path, fits, f"{where}: 'ms_per_stage'", "numbers by stage")
    fits = isinstance(test, dict) and all(is_number(test.get(name)) for name in ("psnr", "ssim"))
    require(path, fits, f"{where}: 'test'", "an object with psnr and ssim")
    stem = arm.get("renders")
    fits = stem is None or (isinstance(stem, str) and _is_plain(stem))
    require(path, fits, f"{where}: 'renders'", "the name of a folder in renders/")
    require(path, isinstance(points, list) and len(points) > 0, f"{where}: 'points'", "a list")
    for point in points:
        require(path, _is_point(point), f"{where}: 'points'", "evaluations, with their numbers")


def _is_point(point: Any) -> bool:
    if not isinstance(point, dict) or not _is_count(point.get("steps")):
        return False
    peak = point.get("peak_bytes")
    known = all(is_number(point.get(name)) for name in _OF_POINT)
    return known and (peak is None or is_number(peak))


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _MOST


def _is_plain(name: str) -> bool:
    """Whether this is the name of a file or folder, without a way out of its folder."""
    return name not in ("", ".", "..") and not {"/", "\\", ":", "\0"} & set(name)
