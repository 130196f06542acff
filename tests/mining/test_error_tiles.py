"""Laws of drawing rays by the errors of their tiles."""

import pytest
import torch

from orefield.mining.error_tiles import EVERY, FLOOR, POWER, ErrorTiles
from strategies import seeded


def updated(tiles: ErrorTiles, errors: torch.Tensor) -> ErrorTiles:
    """After as many steps as it takes, each recording every tile's error."""
    for step in range(EVERY):
        tiles.record(torch.arange(len(errors)), errors)
        tiles.update(step)
    return tiles


def probabilities(tiles: ErrorTiles) -> torch.Tensor:
    return torch.cat([tiles.cdf[:1], tiles.cdf.diff()])


def test_all_tiles_are_alike_until_errors_are_known():
    drawn = ErrorTiles(10).draw(20_000, seeded())
    counts = torch.bincount(drawn, minlength=10)
    assert (counts - 2000).abs().max() < 5 * 2000**0.5


def test_probabilities_follow_the_errors_as_they_should():
    errors = torch.tensor([0.0, 0.01, 0.04, 0.25])
    wanted = errors**POWER + FLOOR * (errors**POWER).mean()
    torch.testing.assert_close(
        probabilities(updated(ErrorTiles(4), errors)).float(), wanted / wanted.sum()
    )


def test_draws_are_as_frequent_as_the_probabilities():
    tiles = updated(ErrorTiles(3), torch.tensor([0.0, 0.04, 0.36]))
    counts = torch.bincount(tiles.draw(50_000, seeded(1)), minlength=3) / 50_000
    torch.testing.assert_close(counts, probabilities(tiles).float(), atol=0.01, rtol=0)


def test_nothing_changes_between_two_updates():
    tiles = ErrorTiles(4)
    for step in range(EVERY - 1):
        tiles.record(torch.tensor([1]), torch.tensor([9.0]))
        tiles.update(step)
    assert torch.equal(tiles.cdf, ErrorTiles(4).cdf)


def test_updates_come_every_so_many_steps_or_at_once():
    tiles, errors = ErrorTiles(3), torch.tensor([0.0, 0.04, 0.36])
    tiles.record(torch.arange(3), errors)
    tiles.update_probabilities()
    torch.testing.assert_close(tiles.cdf, updated(ErrorTiles(3), errors).cdf)
    assert float(tiles.sums.abs().sum() + tiles.counts.sum()) == 0


def test_tiles_without_an_error_yet_count_as_the_mean():
    tiles = ErrorTiles(4)
    for step in range(EVERY):
        tiles.record(torch.tensor([0, 1]), torch.tensor([1.0, 3.0]))
        tiles.update(step)
    assert tiles.errors.tolist() == [1, 3, 2, 2]


def test_errors_are_running_means():
    tiles = updated(updated(ErrorTiles(1), torch.tensor([1.0])), torch.tensor([2.0]))
    assert float(tiles.errors) == pytest.approx(1.5)


def test_what_is_not_finite_is_not_recorded():
    tiles = ErrorTiles(2)
    for step in range(EVERY):
        tiles.record(torch.tensor([0, 0, 1]), torch.tensor([4.0, float("nan"), float("inf")]))
        tiles.update(step)
    assert tiles.errors.tolist() == [4, 4]
    assert torch.isfinite(tiles.cdf).all()


def test_without_a_single_finite_error_all_tiles_stay_alike():
    tiles = updated(ErrorTiles(4), torch.full((4,), torch.nan))
    torch.testing.assert_close(
        probabilities(tiles), torch.full((4,), 0.25, dtype=torch.float64), atol=1e-9, rtol=0
    )


def test_where_all_errors_are_zero_all_tiles_are_alike():
    torch.testing.assert_close(
        probabilities(updated(ErrorTiles(5), torch.zeros(5))),
        torch.full((5,), 0.2, dtype=torch.float64),
    )


def test_state_survives_a_round_trip():
    one, other = updated(ErrorTiles(6), torch.rand(6, generator=seeded())), ErrorTiles(6)
    one.record(torch.tensor([2]), torch.tensor([1.0]))
    other.load_state_dict({name: value.clone() for name, value in one.state_dict().items()})
    for tiles in (one, other):
        updated(tiles, torch.rand(6, generator=seeded(4)))
    assert torch.equal(one.cdf, other.cdf)
