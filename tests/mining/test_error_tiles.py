"""Laws of drawing rays by the errors of their tiles."""

import pytest
import torch

from orefield.mining.error_tiles import EVERY, FLOOR, POWER, ErrorTiles
from strategies import seeded


def settled(tiles: ErrorTiles, errors: torch.Tensor) -> ErrorTiles:
    """After as many batches as it takes, each noting every tile's error."""
    for _ in range(EVERY):
        tiles.note(torch.arange(len(errors)), errors)
        tiles.settle()
    return tiles


def shares(tiles: ErrorTiles) -> torch.Tensor:
    return torch.cat([tiles.cdf[:1], tiles.cdf.diff()])


def test_all_tiles_are_alike_until_errors_are_known():
    drawn = ErrorTiles(10).draw(20_000, seeded())
    counts = torch.bincount(drawn, minlength=10)
    assert (counts - 2000).abs().max() < 5 * 2000**0.5


def test_shares_follow_the_errors_as_they_should():
    errors = torch.tensor([0.0, 0.01, 0.04, 0.25])
    wanted = errors**POWER + FLOOR * (errors**POWER).mean()
    torch.testing.assert_close(
        shares(settled(ErrorTiles(4), errors)).float(), wanted / wanted.sum()
    )


def test_draws_are_as_frequent_as_the_shares():
    tiles = settled(ErrorTiles(3), torch.tensor([0.0, 0.04, 0.36]))
    counts = torch.bincount(tiles.draw(50_000, seeded(1)), minlength=3) / 50_000
    torch.testing.assert_close(counts, shares(tiles).float(), atol=0.01, rtol=0)


def test_nothing_changes_between_two_updates():
    tiles = ErrorTiles(4)
    for _ in range(EVERY - 1):
        tiles.note(torch.tensor([1]), torch.tensor([9.0]))
        tiles.settle()
    assert torch.equal(tiles.cdf, ErrorTiles(4).cdf)


def test_tiles_not_seen_yet_count_as_the_mean():
    tiles = ErrorTiles(4)
    for _ in range(EVERY):
        tiles.note(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
        tiles.settle()
    assert tiles.errors.tolist() == [1, 3, 2, 2]


def test_errors_are_running_means():
    tiles = settled(settled(ErrorTiles(1), torch.tensor([1.0])), torch.tensor([2.0]))
    assert float(tiles.errors) == pytest.approx(1.5)


def test_what_is_not_a_number_is_not_noted():
    tiles = ErrorTiles(2)
    for _ in range(EVERY):
        tiles.note(torch.tensor([0, 0, 1]), torch.tensor([4.0, float("nan"), float("inf")]))
        tiles.settle()
    assert tiles.errors.tolist() == [4, 4]
    assert torch.isfinite(tiles.cdf).all()


def test_where_nothing_is_wrong_all_are_alike():
    torch.testing.assert_close(
        shares(settled(ErrorTiles(5), torch.zeros(5))), torch.full((5,), 0.2, dtype=torch.float64)
    )


def test_state_survives_a_round_trip():
    one, other = settled(ErrorTiles(6), torch.rand(6, generator=seeded())), ErrorTiles(6)
    one.note(torch.tensor([2]), torch.tensor([1.0]))
    other.restore({name: value.clone() for name, value in one.state().items()})
    for tiles in (one, other):
        settled(tiles, torch.rand(6, generator=seeded(4)))
    assert torch.equal(one.cdf, other.cdf)
