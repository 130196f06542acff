"""Products in bf16 where they are right, and in fp32 where they are not."""

import os
import subprocess
import sys

import pytest
import torch

from orefield.config import FieldConfig
from orefield.errors import ConfigError
from orefield.fields import make_field, native_bf16, precision
from orefield.fields.ngp import ngp_layers
from orefield.fields.precision import products_are_right, uses_bf16

LAYERS = ngp_layers(8, 16)
SMALL = "levels=4, log2_hashmap_size=9, max_resolution=32, init_density=1.0"


@pytest.fixture(autouse=True)
def nothing_remembered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(precision, "native_bf16", lambda device=None: True)
    for name in ("OMP_DYNAMIC", "OMP_THREAD_LIMIT"):
        monkeypatch.delenv(name, raising=False)
    products_are_right.cache_clear()
    precision._warn_once.cache_clear()
    yield
    products_are_right.cache_clear()
    precision._warn_once.cache_clear()


def _half(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """As where one of two threads never starts."""
    made = torch.mm(one, other)
    made[len(made) // 2 :] = torch.nan
    return made


def _nothing(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return torch.zeros(one.shape[0], other.shape[1]).bfloat16()


def _one_number(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    made = torch.mm(one, other)
    made[-1, -1] += 1e3
    return made


WRONG = [_half, _nothing, _one_number]


def test_products_that_are_right_are_used() -> None:
    assert uses_bf16("auto", LAYERS)
    assert uses_bf16("bf16", LAYERS)
    assert not uses_bf16("fp32", LAYERS)


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_products_are_replaced_by_fp32_and_told_once(wrong, monkeypatch) -> None:
    monkeypatch.setattr(precision, "_product", wrong)
    monkeypatch.setenv("OMP_DYNAMIC", "true")
    with pytest.warns(
        UserWarning, match=r"differ.*\(unset OMP_DYNAMIC\): they are in fp32"
    ) as told:
        assert not any(uses_bf16("auto", layers) for layers in (LAYERS, ngp_layers(32, 64)))
    assert len(told) == 1


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_products_that_were_asked_for_are_an_error(wrong, monkeypatch) -> None:
    monkeypatch.setattr(precision, "_product", wrong)
    with pytest.raises(
        ConfigError, match=r"field\.precision: .* differ from those in fp32: it must"
    ):
        uses_bf16("bf16", LAYERS)
    assert not uses_bf16("fp32", LAYERS)


def test_a_processor_without_bf16_is_not_asked(monkeypatch) -> None:
    monkeypatch.setattr(precision, "native_bf16", lambda device=None: False)
    monkeypatch.setattr(precision, "_product", None)  # not called
    assert not uses_bf16("auto", LAYERS)


def test_a_gpu_is_not_judged_by_the_processor(monkeypatch) -> None:
    monkeypatch.setattr(precision, "_product", _half)
    assert uses_bf16("auto", LAYERS, torch.device("cuda"))


@pytest.mark.parametrize("kind", ["ngp", "nerf"])
def test_every_field_is_made_in_the_precision_that_is_right(kind, monkeypatch) -> None:
    monkeypatch.setattr(precision, "_product", _half)
    config = FieldConfig(
        kind=kind, levels=4, log2_hashmap_size=9, max_resolution=32, init_density=1.0
    )
    with pytest.warns(UserWarning, match="in fp32 now"):
        field = make_field(config, 0)
    assert (field.dtype if kind == "ngp" else field.precision) in (torch.float32, "fp32")


@pytest.mark.skipif(
    not native_bf16() or (os.cpu_count() or 1) < 2 or sys.platform != "linux",
    reason="needs bf16 instructions, two cores and GNU's OpenMP",
)
@pytest.mark.parametrize(
    "variable", ["OMP_DYNAMIC=true", "OMP_THREAD_LIMIT=1", "OMP_NUM_THREADS=2"]
)
def test_threads_that_never_start_are_found_out(variable: str) -> None:
    """The first two leave oneDNN with fewer threads than torch asks for; whatever it does then, a
    field's outputs are those in fp32."""
    code = f"""
import torch, warnings
from orefield.config import FieldConfig
from orefield.fields import make_field
warnings.simplefilter("ignore")
torch.set_num_threads(2)
points, turns = torch.rand(3, 4096), torch.nn.functional.normalize(torch.randn(64, 3))
ray = torch.arange(64).repeat_interleave(64)
made = {{}}
for precision in ("auto", "fp32"):
    field = make_field(FieldConfig({SMALL}, precision=precision), 0)
    field.table.data *= 1e4
    made[precision] = field(points, field.encode_directions(turns), ray).detach()
torch.testing.assert_close(*made.values(), rtol=0.1, atol=0.1)
"""
    name, _, value = variable.partition("=")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, name: value},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
