"""Laws of mining maps over photographs."""

import torch

from orefield.evaluation.mining_maps import MiningMap
from orefield.evaluation.mining_pixels import hardness_pixels, kept_pixels

PHOTOGRAPH = torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(0))


def a_map(values: torch.Tensor) -> MiningMap:
    """With `values` samples kept on each pixel's ray, as hard as that."""
    return MiningMap(1, 1.0, 10, values, values, PHOTOGRAPH, 20.0)


def test_where_nothing_is_kept_the_photograph_is_gray() -> None:
    for draw in (kept_pixels, hardness_pixels):
        seen = draw(PHOTOGRAPH, a_map(torch.zeros(2, 3)))
        expected = (255 * (0.55 * PHOTOGRAPH.mean(-1) + 0.2)).round()
        for channel in range(3):
            assert seen[..., channel].tolist() == expected.int().tolist()


def test_more_samples_are_brighter_up_to_64() -> None:
    kept = torch.tensor([[0.5, 2.0, 8.0], [30.0, 64.0, 1000.0]])
    luminance = kept_pixels(PHOTOGRAPH, a_map(kept)).astype(int).sum(-1).flatten()
    assert (luminance[1:5] > luminance[:4]).all()
    assert luminance[5] == luminance[4]


def test_hardness_is_shown_over_its_mean() -> None:
    hardness = torch.tensor([[0.1, 1.0, 2.0], [3.0, 5.0, 40.0]])
    one = hardness_pixels(PHOTOGRAPH, a_map(hardness))
    other = hardness_pixels(PHOTOGRAPH, a_map(1000 * hardness))
    assert abs(one.astype(int) - other).max() <= 1
