import sys
from pathlib import Path

import pytest
import torch

from orefield.cli import main
from orefield.commands import doctor
from orefield.fields import precision
from orefield.system import devices, kernel_cache


def test_every_need_is_named_with_its_version() -> None:
    findings = {finding.name: finding for finding in doctor.examine()}
    assert set(doctor.NEEDED) <= set(findings)
    assert findings["torch"].value == doctor.installed("torch")
    assert findings["python"].value == sys.version.split()[0]
    assert "hash_grid" in findings["kernels"].value
    assert findings["matrix products"].value.split(",")[0] in ("bf16", "fp32")
    assert findings["kernel cache"].remedy is None


def test_a_missing_package_gets_one_line_that_fixes_it(monkeypatch, capsys) -> None:
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "rich" else real(name))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "to fix rich: pip install rich\n" in printed
    assert printed.endswith("something needed is missing\n")


def test_a_missing_extra_is_no_fault(monkeypatch, capsys) -> None:
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "av" else real(name))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "to fix av: pip install 'orefield[video]'" in printed
    assert printed.endswith("all well\n")


@pytest.mark.parametrize(("package", "there"), [("torch", True), ("no-such-package", False)])
def test_installed_tells_present_from_absent(package: str, there: bool) -> None:
    assert (doctor.installed(package) is not None) == there


def test_without_a_gpu_the_cpu_is_what_auto_takes(monkeypatch) -> None:
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu"])
    findings = {finding.name: finding.value for finding in doctor.examine()}
    assert findings["device"] == "cpu is what auto takes (no GPU that torch can use)"


class _Card:
    total_memory = 80 * 2**30


@pytest.mark.parametrize("there", [True, False], ids=["triton", "no triton"])
def test_a_gpu_is_named_with_what_runs_there_and_why(there: bool, monkeypatch) -> None:
    real = doctor.installed
    why = "Triton kernels" if there else "no compiled kernels for cuda without triton"
    twins = {"cpu": ("cpu", "Numba"), "cuda": ("gpu" if there else "definition", why)}
    monkeypatch.setattr("orefield.ops.backend.backend_for", twins.__getitem__)
    monkeypatch.setattr(doctor, "installed", lambda n: real(n) if there or n != "triton" else None)
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu", "cuda:0"])
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Some Card")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: _Card)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["device"].value.startswith("cuda:0 is what auto takes")
    assert findings["cuda:0"].value == "Some Card, 80.0 GiB, matrix products in bf16"
    kernels = findings["cuda:0 kernels"]
    assert kernels.value.startswith(why)
    assert ("definitions" in kernels.value) == (not there)
    assert kernels.remedy == (None if there else "pip install triton")
    assert not kernels.needed


def test_apples_gpu_is_a_best_effort(monkeypatch) -> None:
    monkeypatch.setattr(devices, "devices_there", lambda: ["cpu", "mps"])
    findings = {finding.name: finding for finding in doctor.examine()}
    assert findings["mps"].value == "mps, matrix products in fp32"
    assert findings["mps kernels"].value.endswith("run: slow, and a best effort")
    assert findings["mps kernels"].remedy is None


def finding(name: str) -> doctor.Finding:
    return next(found for found in doctor.examine() if found.name == name)


@pytest.mark.parametrize("right", [True, False])
def test_bf16_products_are_compared_with_those_in_fp32(right: bool, monkeypatch) -> None:
    monkeypatch.setattr("orefield.fields.native_bf16", lambda: True)
    monkeypatch.setenv("OMP_THREAD_LIMIT", "1")
    monkeypatch.setattr(precision, "products_are_right", lambda layers, threads: right)
    found = finding("matrix products")
    assert found.value.startswith("bf16, because" if right else "fp32, because")
    assert ("differ from those in fp32 (unset OMP_THREAD_LIMIT)" in found.value) != right
    assert (found.remedy is None) == right
    assert right or not found.needed


def test_a_kernel_cache_that_does_not_last_is_no_fault_and_has_a_remedy(monkeypatch) -> None:
    folder = Path("/tmp", f"{kernel_cache._TEMPORARY}1000", "cpu")
    for place, words in ((folder, f"{folder} (temporary)"), (None, "every run compiles")):
        monkeypatch.setattr(kernel_cache, "cache_folder", lambda sources, place=place: place)
        found = finding("kernel cache")
        assert words in found.value
        assert found.remedy == "set NUMBA_CACHE_DIR to a writable folder"
        assert not found.needed
