"""Which twin runs."""

import warnings

import pytest
import torch

from orefield.errors import OrefieldError
from orefield.ops import backend
from orefield.ops.backend import backend_for, pick, using

CPU = torch.zeros(1)
OPS = ("compact", "hash_grid", "march", "sparse_adam", "transmittance", "volume_rendering")


def test_cpu_tensors_get_the_compiled_twin():
    for op in OPS:
        assert pick(op, CPU).__name__ == f"orefield.ops.cpu.{op}"
    assert backend_for("cpu")[0] == "cpu"


def test_every_op_but_the_networks_has_a_triton_twin():
    tensor = torch.zeros(1, device="cuda" if torch.cuda.is_available() else "cpu")
    with using("gpu"):
        for op in OPS:
            assert pick(op, tensor).__name__ == f"orefield.ops.gpu.{op}"
        assert pick("density_pass", tensor) is None
        for op in ("mlp", "density_network", "proposal_weights", "sample_pdf"):
            assert pick(op, tensor) is None


def test_cpu_tensors_reach_the_triton_twin_in_the_interpreter_only(monkeypatch):
    import triton

    monkeypatch.setattr(triton.knobs.runtime, "interpret", False)
    with using("gpu"), pytest.raises(OrefieldError, match="set TRITON_INTERPRET=1"):
        pick("sparse_adam", CPU)


def test_without_triton_its_twins_are_refused_and_gpus_get_the_definition(monkeypatch):
    monkeypatch.setattr(backend, "_triton", lambda: None)
    backend_for.cache_clear()
    with using("gpu"), pytest.raises(OrefieldError, match="pip install triton"):
        pick("sparse_adam", CPU)
    name, why = backend_for("cuda")
    backend_for.cache_clear()
    assert name == "definition"
    assert "without triton" in why


class FakeGpu:
    """What torch says about a GPU."""

    def __init__(self, capability: tuple[int, int]) -> None:
        self.capability = capability

    def is_available(self) -> bool:
        return True

    def get_device_name(self) -> str:
        return "a GPU"

    def get_device_capability(self) -> tuple[int, int]:
        return self.capability


@pytest.mark.parametrize(
    ("capability", "twin"), [((9, 0), "gpu"), ((7, 0), "gpu"), ((6, 1), "definition")]
)
def test_gpus_that_triton_knows_get_its_twins(monkeypatch, capability, twin):
    monkeypatch.setattr(torch, "cuda", FakeGpu(capability))
    backend_for.cache_clear()
    name, why = backend_for("cuda")
    backend_for.cache_clear()
    assert name == twin
    assert "a GPU" in why


def test_an_override_ends_with_its_block():
    with using("definition"):
        assert pick("sparse_adam", CPU) is None
        with using("cpu"):
            assert pick("sparse_adam", CPU) is not None
        assert pick("sparse_adam", CPU) is None
    with pytest.raises(KeyError), using("definition"):
        raise KeyError
    assert pick("sparse_adam", CPU) is not None


def test_other_devices_run_the_definition_and_say_so_once():
    elsewhere = torch.zeros(1, device="meta")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with using("definition"):  # chosen: nothing to say
            assert pick("sparse_adam", elsewhere) is None
    with pytest.warns(UserWarning, match="no compiled kernels for meta"):
        assert pick("sparse_adam", elsewhere) is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pick("march", elsewhere) is None
