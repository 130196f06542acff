"""Laws of scene contraction."""

import pytest
import torch
from hypothesis import given

from closed_forms import uncontract
from orefield.ops.contraction import contract
from strategies import SEEDS, seeded


@given(SEEDS)
def test_it_has_an_inverse_and_ends_within_the_cube(seed):
    far = torch.randn(3, 50, generator=seeded(seed), dtype=torch.float64) * 30
    near = contract(far)
    assert ((near > 0) & (near < 1)).all()
    torch.testing.assert_close(uncontract(near), far, rtol=1e-9, atol=1e-9)


def test_the_box_is_the_middle_half_and_keeps_its_shape():
    box = torch.rand(3, 100, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(contract(box), box / 2 + 0.25)


def test_what_is_twice_and_ten_times_as_far_in_closed_form():
    far = torch.tensor([[1.5, 5.5], [0.5, 0.5], [0.5, 0.5]])
    assert contract(far)[0].tolist() == pytest.approx([(1.5 + 2) / 4, (1.9 + 2) / 4])
    assert (contract(far)[1:] == 0.5).all()


@given(SEEDS)
def test_it_is_smooth_across_the_faces_of_the_box(seed):
    """The derivative along a face's normal is the same on both sides."""
    point = torch.rand(3, 1, generator=seeded(seed), dtype=torch.float64) * 0.8 + 0.1
    point[0] = 1.0
    step = torch.tensor([[1e-6], [0.0], [0.0]], dtype=torch.float64)
    outside, inside = (
        contract(point + step) - contract(point),
        contract(point) - contract(point - step),
    )
    assert float(outside[0]) == pytest.approx(float(inside[0]), rel=1e-4)
