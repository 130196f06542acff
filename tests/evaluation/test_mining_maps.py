"""Laws of the hardness pictures: they show what the rule does, and change nothing."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from orefield.config import RunConfig, changed
from orefield.evaluation.mining_maps import MiningMapRecorder, mined, sight
from orefield.report.mining_maps import write_pictures
from orefield.scenes.scene import Scene
from orefield.training.trainer import Trainer

RULES = ["plain", "pruned", "hsm", "importance", "threshold"]


def trained(scene: Scene, config: RunConfig, steps: int = 8) -> Trainer:
    trainer = Trainer(scene, config)
    for _ in range(steps):
        trainer.advance()
    return trainer


@pytest.mark.parametrize("rule", [*RULES, "chance,sampler.kind=proposal"])
def test_a_look_changes_nothing_of_the_run(
    rule: str, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = changed(tiny_config, f"mining.rule={rule}")
    looked, alone = trained(tiny_scene, config), trained(tiny_scene, config)
    seconds = looked.seconds
    mined(looked, sight(tiny_scene.test[0], 1.0, 16))
    assert looked.seconds == seconds
    for trainer in (looked, alone):
        trainer.advance()
    (one, _), (other, _) = looked.state(), alone.state()
    for name in other:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("rule", RULES)
def test_counts_are_the_rules_own(rule: str, tiny_scene: Scene, tiny_config: RunConfig) -> None:
    trainer = trained(tiny_scene, changed(tiny_config, f"mining.rule={rule}"))
    found = mined(trainer, sight(tiny_scene.test[0], 1.0, 16))
    assert found.kept.shape == found.hardness.shape == (16, 16)
    assert (found.kept >= 0).all()
    assert float(found.kept.sum()) <= found.asked
    assert torch.isfinite(found.hardness).all()
    if rule == "plain":
        assert found.share == 1
    elif rule == "pruned":  # in fog light gets everywhere
        assert 0 < found.share <= 1
    else:
        assert 0 < found.share < 1
    if rule == "threshold":  # nothing is drawn: whole numbers
        assert torch.equal(found.kept, found.kept.round())
        assert (found.hardness[found.kept > 0] > 0).all()


def test_a_sight_is_every_nth_pixel(tiny_scene: Scene) -> None:
    view = tiny_scene.test[0]
    small = sight(view, 1.0, 8)
    assert small.target.shape == (8, 8, 3)
    assert len(small.rays) == 64
    alpha = view.image[1, 3, 3].float() / 255
    want = view.image[1, 3, :3].float() / 255 * alpha + (1 - alpha)
    torch.testing.assert_close(small.target[0, 1], want)


def test_pictures_are_drawn(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> None:
    trainer = Trainer(tiny_scene, tiny_config)
    album = MiningMapRecorder(trainer, tiny_scene, 1.0)
    while trainer.progress() < 1:
        trainer.advance()
        album.due(trainer.progress())
    assert album.last is not None
    assert [one.step for one in album.moments] == sorted(one.step for one in album.moments)
    write_pictures(
        tmp_path, {"importance": album}, {"importance": [(1.0, 0.5), (2.0, 0.2)]}, "tiny"
    )
    for name in ("overlay", "strip", "kept"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width >= 900
            colors = picture.convert("RGB").getcolors(2**24)
        assert colors is not None
        assert len(colors) > 20
