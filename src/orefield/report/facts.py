"""What a page shows of a run: plain data that others have read from its folder."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orefield.report.history import History

SCORES = {"psnr": ("PSNR", "dB", 2), "ssim": ("SSIM", "", 4), "lpips": ("LPIPS", "", 4)}
"""Title, unit and decimals of the scores; others are shown under their own names."""


@dataclass(frozen=True)
class ScoredView:
    """One test view."""

    name: str
    scores: dict[str, float]
    picture: Path | None
    """Photograph, render and error in one picture, as `pictures.comparison` makes it; it need not
    be there. None: the scores name no picture."""


@dataclass(frozen=True)
class RunFacts:
    """One run."""

    name: str
    """What sets it apart from other runs on the page: its folder's name."""
    source: str
    """The scene: a path, or an embedded scene's name."""
    version: str
    """Of Orefield, that trained it."""
    train_views: int
    test_views: int
    settings: dict[str, Any]
    protocol: dict[str, Any]
    """Empty where the run has not recorded one."""
    training: dict[str, Any]
    """Steps, seconds, memory; empty where unknown."""
    history: History
    scores: dict[str, float]
    """Means over the test views; empty where nothing was evaluated."""
    views: tuple[ScoredView, ...]
    mining_maps: tuple[Path, ...]

    @property
    def scene(self) -> str:
        """The scene's name."""
        return str(self.protocol.get("scene") or Path(self.source).name or self.source)

    @property
    def rule(self) -> str:
        """The mining rule."""
        return str(self.settings.get("mining", {}).get("rule", ""))


def score_title(name: str) -> tuple[str, str, int]:
    """A score's title, unit and decimals."""
    return SCORES.get(name, (name, "", 4))


def kept_share(history: History) -> float | None:
    """Share of all evaluated samples that earned a backward pass; None where nothing was."""
    evaluated = kept = 0.0
    before = 0
    for point in history.points:
        samples = (point.step - before) * point.evaluated_per_step
        evaluated, kept = evaluated + samples, kept + samples * point.kept_share
        before = point.step
    return kept / evaluated if evaluated > 0 else None
