"""Facts about the host that a result depends on."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from harness.run.host_faults import kvm_kind

__all__ = ["host_facts", "qemu_version", "version"]

_PACKAGES = ("capstone", "keystone-engine", "pyelftools", "pytest", "qemu.qmp")


def version() -> str:
    """Trapgate's own version."""
    return _package("trapgate") or "unknown"


def host_facts() -> dict[str, Any]:
    """Plain data for reports: operating system, processor, Python and the packages that shape a guest."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "machine": platform.machine(),
        "cpu": _cpu_model(),
        "kvm": kvm_kind(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "packages": {name: _package(name) for name in _PACKAGES},
    }


@cache
def qemu_version(binary: str) -> str | None:
    """`7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)`, as the program prints it; None where it cannot be run."""
    try:
        output = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    return output.partition("\n")[0].removeprefix("QEMU emulator version ").strip() or None


def _package(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"
