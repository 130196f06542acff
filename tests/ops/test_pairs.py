"""Laws of products in bf16 on the CPU: compiled, they do what the Python body says."""

import numpy as np
import pytest
import torch
from numba import njit

from orefield.ops.cpu.pairs import MULTIPLIES_PAIRS, apply, pairs

compiled_apply = njit(lambda x, weights, out, room: apply(x, weights, out, room))


def random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_pairs_hold_two_inputs_of_each_output():
    weights = np.arange(4 * 16, dtype=np.float32).reshape(4, 16)
    held = torch.from_numpy(pairs(weights)).view(torch.bfloat16).view(2, 16, 2)
    for k in range(2):
        assert held[k, :, 0].tolist() == weights[2 * k].tolist()
        assert held[k, :, 1].tolist() == weights[2 * k + 1].tolist()


@pytest.mark.parametrize("inputs", [16, 32, 80])
@pytest.mark.parametrize("outputs", [16, 32, 48])
@pytest.mark.parametrize("held", ["fp32", "bf16"])
def test_a_layer_is_the_product_of_what_its_weights_hold(inputs, outputs, held):
    if held == "bf16" and not MULTIPLIES_PAIRS:
        return  # nobody calls it there
    x, weights = random(0, 24, inputs), random(1, inputs, outputs)
    weights = pairs(weights) if held == "bf16" else weights
    got, want = np.full((2, 24, outputs), np.nan, np.float32)
    compiled_apply(x, weights, got, np.zeros((24, 96), np.uint16))
    apply(x, weights, want, None)
    np.testing.assert_allclose(got, want, rtol=0, atol=inputs * 16 * np.finfo(np.float32).eps)
    x[3] = np.nan
    compiled_apply(x, weights, got, np.zeros((24, 96), np.uint16))
    assert np.isnan(got[3]).all()
    assert not np.isnan(got[4]).any()
