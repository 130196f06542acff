"""Laws of state files: what is read is what was written, and equal states are equal bytes."""

from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from orefield.errors import RunError
from orefield.runs.state import flat_tensors, read_state, write_state


def state(fill: float = 1.0) -> dict[str, Any]:
    """Tensors of several types, one of them a view, beside every kind of JSON value."""
    return {
        "field": {"table": torch.full((3, 2), fill).T, "count": torch.tensor(7)},
        "optimizer": {"dense": {0: {"mean": torch.full((4,), fill)}}},
        "generator": torch.arange(5, dtype=torch.uint8),
        "step": 12,
        "nested": {"none": None, "list": [1, 2.5], "text": "cpu", "yes": True, "empty": {}},
    }


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        assert list(map(str, one)) == list(map(str, other))
        return all(same(a, b) for a, b in zip(one.values(), other.values(), strict=True))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    return type(one) is type(other) and one == other


def test_a_state_survives_its_file(tmp_path: Path) -> None:
    write_state(tmp_path / "s", state())
    assert same(read_state(tmp_path / "s", state(fill=0.0)), state())
    assert list(flat_tensors(state())) == [
        "field/table",
        "field/count",
        "optimizer/dense/0/mean",
        "generator",
    ]


def test_equal_states_are_equal_bytes(tmp_path: Path) -> None:
    backwards = dict(reversed(state().items()))
    for name, value in (("one", state()), ("same", state()), ("backwards", backwards)):
        write_state(tmp_path / name, value)
    one, same_again, other_way = ((tmp_path / n).read_bytes() for n in ("one", "same", "backwards"))
    assert one == same_again == other_way
    write_state(tmp_path / "other", state(fill=2.0))
    assert (tmp_path / "other").read_bytes() != one


def test_a_generator_of_another_device_may_have_another_size(tmp_path: Path) -> None:
    write_state(tmp_path / "s", state())
    like = state() | {"generator": torch.zeros(16, dtype=torch.uint8)}
    assert len(read_state(tmp_path / "s", like)["generator"]) == 5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"step2": 1}, "header lacks 'step2'"),
        ({"nested": {"deep": {"fact": 1}}}, "header lacks 'nested/deep'"),
        ({"extra": torch.ones(2)}, "tensor 'extra' is missing"),
        ({"field": {"table": torch.ones(3, 2)}}, r"'field/table' is .*\[2, 3\]; .*\[3, 2\]"),
        ({"field": {"table": torch.ones(2, 3).half()}}, "'field/table' is F32 .*; .* F16 "),
    ],
    ids=["fact", "nested fact", "tensor", "shape", "type"],
)
def test_what_is_missing_or_does_not_fit_is_named(tmp_path: Path, change, message) -> None:
    write_state(tmp_path / "s.safetensors", state())
    with pytest.raises(RunError, match=r"s\.safetensors: .*" + message):
        read_state(tmp_path / "s.safetensors", state() | change)


@pytest.mark.parametrize("keep", [0, 7, 100, -1])
def test_a_truncated_file_is_damaged(tmp_path: Path, keep: int) -> None:
    write_state(tmp_path / "s", state())
    (tmp_path / "s").write_bytes((tmp_path / "s").read_bytes()[:keep])
    with pytest.raises(RunError, match="s: damaged"):
        read_state(tmp_path / "s", state())


@pytest.mark.parametrize("header", [{}, {"orefield": "[]"}, {"orefield": '{"facts": 1}'}], ids=str)
def test_a_file_of_tensors_alone_is_no_state(tmp_path: Path, header: dict[str, str]) -> None:
    safetensors.torch.save_file(flat_tensors({"count": torch.ones(1)}), tmp_path / "s", header)
    with pytest.raises(RunError, match="s: header lacks 'facts'"):
        read_state(tmp_path / "s", {"count": torch.ones(1)})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="s: missing; was the run stopped before it was first saved"):
        read_state(tmp_path / "s", state())
