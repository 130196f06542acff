"""`orefield doctor`: what this machine offers."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Args:
    """Print versions, the device, which kernels run and why, and how to mend what is missing."""


def run(args: Args) -> int:
    """One line per finding; exit code 1 when something needed is missing."""
    from orefield.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        print(f"{finding.name:<16} {finding.value}", flush=True)
    remedies = [f for f in findings if f.remedy]
    for finding in remedies:
        print(f"to mend {finding.name}: {finding.remedy}")
    broken = any(finding.needed for finding in remedies)
    print("something needed is missing" if broken else "all well")
    return int(broken)
