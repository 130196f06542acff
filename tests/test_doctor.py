import sys

import pytest

from orefield import doctor
from orefield.cli import main


def test_every_need_is_named_with_its_version() -> None:
    findings = {finding.name: finding for finding in doctor.examine()}
    assert set(doctor.NEEDED) <= set(findings)
    assert findings["torch"].value == doctor.installed("torch")
    assert findings["python"].value == sys.version.split()[0]
    assert "hash_grid" in findings["kernels"].value
    assert findings["matrix products"].value.split(",")[0] in ("bf16", "fp32")
    assert findings["kernel cache"].remedy is None


def test_a_missing_package_gets_one_line_that_mends_it(monkeypatch, capsys) -> None:
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "rich" else real(name))
    assert main(["doctor"]) == 1
    printed = capsys.readouterr().out
    assert "to mend rich: pip install rich\n" in printed
    assert printed.endswith("something needed is missing\n")


def test_a_missing_extra_is_no_fault(monkeypatch, capsys) -> None:
    real = doctor.installed
    monkeypatch.setattr(doctor, "installed", lambda name: None if name == "av" else real(name))
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert "to mend av: pip install 'orefield[video]'" in printed
    assert printed.endswith("all well\n")


@pytest.mark.parametrize(("package", "there"), [("torch", True), ("no-such-package", False)])
def test_installed_tells_present_from_absent(package: str, there: bool) -> None:
    assert (doctor.installed(package) is not None) == there
