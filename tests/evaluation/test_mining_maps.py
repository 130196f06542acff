"""Laws of mining maps: they show what the rule does, and change nothing."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from orefield.config import RunConfig, changed
from orefield.evaluation.mining_maps import MiningMapRecorder, mining_map, probe_view
from orefield.report.mining_maps import write_mining_maps
from orefield.runs.state import flat_tensors
from orefield.scenes.scene import Scene
from orefield.training.trainer import Trainer

RULES = ["plain", "pruned", "hsm", "importance", "threshold"]


def trained(scene: Scene, config: RunConfig, steps: int = 8) -> Trainer:
    trainer = Trainer(scene, config)
    for _ in range(steps):
        trainer.advance()
    return trainer


@pytest.mark.parametrize("rule", ["plain", "hsm", "importance", "importance,sampler.kind=proposal"])
def test_a_map_changes_nothing_of_the_run(
    rule: str, tiny_scene: Scene, tiny_config: RunConfig
) -> None:
    config = changed(tiny_config, f"mining.rule={rule}")
    mapped, alone = trained(tiny_scene, config, 3), trained(tiny_scene, config, 3)
    seconds = mapped.seconds
    mining_map(mapped, probe_view(tiny_scene.test[0], 1.0, 16))
    assert mapped.seconds == seconds
    for trainer in (mapped, alone):
        trainer.advance()
    one, other = flat_tensors(mapped.state_dict()), flat_tensors(alone.state_dict())
    for name in other:
        assert torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("rule", RULES)
def test_counts_are_the_rules_own(rule: str, tiny_scene: Scene, tiny_config: RunConfig) -> None:
    trainer = trained(tiny_scene, changed(tiny_config, f"mining.rule={rule}"))
    found = mining_map(trainer, probe_view(tiny_scene.test[0], 1.0, 16))
    assert found.kept.shape == found.hardness.shape == (16, 16)
    assert (found.kept >= 0).all()
    assert float(found.kept.sum()) <= found.evaluated
    assert torch.isfinite(found.hardness).all()
    if rule == "plain":
        assert found.share == 1
    elif rule == "pruned":  # where all is thin, all is visible
        assert 0 < found.share <= 1
    else:
        assert 0 < found.share < 1
    if rule == "threshold":  # nothing is drawn: whole numbers
        assert torch.equal(found.kept, found.kept.round())
        assert (found.hardness[found.kept > 0] > 0).all()


def test_a_probe_view_is_every_nth_pixel(tiny_scene: Scene) -> None:
    view = tiny_scene.test[0]
    small = probe_view(view, 1.0, 8)
    assert small.target.shape == (8, 8, 3)
    assert len(small.rays) == 64
    alpha = view.image[1, 3, 3].float() / 255
    want = view.image[1, 3, :3].float() / 255 * alpha + (1 - alpha)
    torch.testing.assert_close(small.target[0, 1], want)


def test_pictures_are_drawn(tmp_path: Path, tiny_scene: Scene, tiny_config: RunConfig) -> None:
    trainer = Trainer(tiny_scene, tiny_config)
    recorder = MiningMapRecorder(trainer, tiny_scene, 1.0)
    for step in range(1, 4):
        trainer.advance()
        recorder.record(last=step == 3)
        assert (recorder.last is None) == (step < 3)
    assert [one.step for one in recorder.maps] == [1, 2, 3]
    curve = {"importance": [(1.0, 0.5), (2.0, 0.2)]}
    write_mining_maps(tmp_path, {"importance": recorder}, curve, "tiny")
    for name in ("overlay", "strip", "kept"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.width >= 900
            colors = picture.convert("RGB").getcolors(2**24)
        assert colors is not None
        assert len(colors) > 20
