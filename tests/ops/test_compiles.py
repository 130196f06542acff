"""The Triton kernels compile for NVIDIA's and AMD's GPUs, though none is here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("compile_kernels.py")


@pytest.mark.slow
def test_every_kernel_compiles_for_both_makers_and_rows_move_whole(request, tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    # Compiled anew where a kernel or Triton has changed: files there are named by what they hold.
    cache = getattr(request.config, "cache", None)
    environment["TRITON_CACHE_DIR"] = str(cache.mkdir("triton") if cache else tmp_path)
    done = subprocess.run(
        [sys.executable, SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    whole = {
        (name, arch): int(count)
        for name, arch, count in lines
        if name != "hash_grid._hash_grid_forward"
    }
    assert {arch for _, arch in whole} == {"90", "gfx942"}
    # Eight vertices: their float32 rows in eight loads, and in eight atomic additions where a GPU
    # has them for vectors; with rows of four, the gradient's row is one load more.
    assert ["hash_grid._hash_grid_forward", "90", "8"] in lines
    assert ["hash_grid._hash_grid_backward", "90", "8"] in lines
    assert ["hash_grid._hash_grid_backward", "90", "9"] in lines
