"""A run in which nothing is learned any more: it stops, and what it had learned is on disk."""

import math

import pytest
import torch

from orefield.errors import TrainingError
from orefield.runs.folder import load_run
from orefield.runs.loop import TrainingRun, resume_run
from orefield.training import health
from orefield.training.losses import TERMS, Term


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PATIENCE", 4)


def test_the_last_good_state_is_saved(run: TrainingRun, monkeypatch) -> None:
    steps = run.train()
    for _ in range(5):
        next(steps)
    learned = run.trainer.field.table.detach().clone()
    with monkeypatch.context() as patch:
        patch.setitem(TERMS, "broken", lambda batch: Term(torch.tensor(math.inf)))
        with pytest.raises(TrainingError, match=r"after step 9: .* in the loss \(broken\)"):
            list(steps)
    assert torch.equal(load_run(run.folder).field.table, learned)
    resumed = resume_run(run.folder, run.scene)
    assert (resumed.trainer.step, resumed.trainer.skipped) == (9, 4)
    assert len(list(resumed.train())) == 3


def test_a_field_that_is_lost_does_not_replace_the_last_save(run: TrainingRun) -> None:
    steps = run.train()
    for _ in range(3):
        next(steps)
    run.save()
    saved = (run.folder / "field.safetensors").read_bytes()
    run.trainer.field.density1.data[0, 0] = math.nan
    with pytest.raises(TrainingError, match="parameters are no longer numbers"):
        list(steps)
    assert (run.folder / "field.safetensors").read_bytes() == saved
