"""The surfaces of a trained `shapes` against its solids in closed form."""

from pathlib import Path

import numpy as np
import pytest
import torch

from orefield.config import RunConfig
from orefield.export.mesh import extract_mesh
from orefield.export.points import extract_points
from orefield.export.space import FieldInSpace
from orefield.scenes import Scene, open_scene
from orefield.scenes.shapes.scene import THINGS, write_shapes
from orefield.training.trainer import Trainer, fit

CELLS = 96


def away(points: np.ndarray) -> np.ndarray:
    """Distance to the nearest solid's surface, in the coordinates of the files.

    At most that: of the bounds whose intersection a solid is, the farthest counts.
    """
    nearest = np.full(len(points), np.inf)
    for thing in THINGS:
        solid = thing.solid
        beyond = [
            (np.linalg.norm(bound @ (points.T - solid.center), axis=0) - 1)
            / np.linalg.norm(bound, 2)
            for bound in solid.bounds
        ]
        nearest = np.minimum(nearest, np.abs(np.max(beyond, axis=0)))
    return nearest


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scene, FieldInSpace]:
    folder = Path(tmp_path_factory.mktemp("solids")) / "shapes"
    write_shapes(folder, 200, 40, 1)
    scene = open_scene(folder)
    trainer = Trainer(scene, RunConfig(steps=600))
    for _ in fit(trainer):
        pass
    return scene, FieldInSpace(trainer.field, trainer.sampler, scene.to_world)


@pytest.mark.slow
def test_a_mesh_lies_within_a_cell_of_the_solids(trained: tuple[Scene, FieldInSpace]) -> None:
    scene, space = trained
    mesh = extract_mesh(space, scene.train, CELLS)
    assert len(mesh.faces) > 10_000
    assert away(mesh.vertices).mean() < space.scale / CELLS


@pytest.mark.slow
def test_points_lie_within_one_per_cent_of_the_solids(
    trained: tuple[Scene, FieldInSpace],
) -> None:
    scene, space = trained
    points = extract_points(space, scene.train, 20_000)
    assert len(points.positions) > 15_000
    assert away(points.positions).mean() < 0.01 * space.scale


def test_the_distance_is_zero_on_the_solids_and_right_beside_a_ball() -> None:
    ball = THINGS[2].solid
    on = ball.center.T + ball.radius * np.array([[0.0, 0.0, 1.0]])
    assert away(on) == pytest.approx(0, abs=1e-9)
    assert away(on + np.array([[0.0, 0.0, 0.05]])) == pytest.approx(0.05)
    assert torch.tensor(away(on + 10.0)).gt(5).all()
