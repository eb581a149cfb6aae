"""Trapgate: boots tiny x86_64 guests on real QEMU and checks what interrupts they get.

What a probe file imports: `from harness import Kernel, ProbeBody, probe`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.kernel.builder import Kernel as Kernel
    from harness.run.evidence import Run as Run
    from harness.run.probe import Deviation as Deviation
    from harness.run.probe import ProbeBody as ProbeBody
    from harness.run.probe import probe as probe

__all__ = ["Deviation", "Kernel", "ProbeBody", "Run", "probe"]

_HOME = {
    "Deviation": "harness.run.probe",
    "Kernel": "harness.kernel.builder",
    "ProbeBody": "harness.run.probe",
    "Run": "harness.run.evidence",
    "probe": "harness.run.probe",
}


def __getattr__(name: str) -> Any:
    """Import on first use: a register map alone must not load the assembler and QEMU's client."""
    if name not in _HOME:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
