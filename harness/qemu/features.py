"""What a QEMU binary can do, found by doing it."""

from __future__ import annotations

import subprocess
from functools import cache

from harness.qemu.target import Target

__all__ = ["probe_cpu", "probe_sandbox"]


def probe_cpu(target: Target) -> str:
    """The `-cpu` argument of a target that names none."""
    return "max" if target.accelerator == "tcg" else "max,-arch-capabilities"


@cache
def probe_sandbox(program: str) -> bool:
    """Whether this build has `-sandbox`."""
    help_text = subprocess.run([program, "-help"], capture_output=True, text=True, check=False).stdout
    return "-sandbox" in help_text
