"""What training does to any scene."""

import torch

from orefield.rendering.render import render_view
from orefield.scenes import View
from orefield.training.trainer import Trainer


def assert_every_parameter_moves(trainer: Trainer) -> None:
    """Three steps, none skipped, each with samples kept, after which no parameter is as it was."""
    before = [p.detach().clone() for p in trainer.field.parameters()]
    for _ in range(3):
        done = trainer.advance()
        assert done.loss < 1
        assert 0 < done.kept <= done.evaluated
    assert trainer.skipped == 0
    after = trainer.field.parameters()
    assert not any(torch.equal(*pair) for pair in zip(before, after, strict=True))


def error_left(trainer: Trainer, view: View) -> float:
    """The squared error of a render after training, as a share of that before."""
    truth = view.image[..., :3].float() / 255

    def error() -> float:
        found = render_view(trainer.field, trainer.sampler, view.camera, view.pose)
        return float((found.color - truth).square().mean())

    untrained = error()
    while trainer.progress() < 1:
        trainer.advance()
    return error() / untrained
