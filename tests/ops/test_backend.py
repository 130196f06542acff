"""Which twin runs."""

import warnings

import pytest
import torch

from orefield.ops.backend import pick, using

CPU = torch.zeros(1)


def test_cpu_tensors_get_the_compiled_twin():
    for op in ("adam", "composite", "hash_grid", "march"):
        assert pick(op, CPU).__name__ == f"orefield.ops.cpu.{op}"


def test_an_override_ends_with_its_block():
    with using("definition"):
        assert pick("adam", CPU) is None
        with using("cpu"):
            assert pick("adam", CPU) is not None
        assert pick("adam", CPU) is None
    with pytest.raises(KeyError), using("definition"):
        raise KeyError
    assert pick("adam", CPU) is not None


def test_other_devices_run_the_definition_and_say_so_once():
    elsewhere = torch.zeros(1, device="meta")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with using("definition"):  # asked for: nothing to say
            assert pick("adam", elsewhere) is None
    with pytest.warns(UserWarning, match="no compiled kernels for meta"):
        assert pick("adam", elsewhere) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick("march", elsewhere) is None
