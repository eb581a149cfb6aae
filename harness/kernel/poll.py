"""`wait_register`: wait for a device register to show what the probe waits for."""

from __future__ import annotations

from typing import Any

from harness.hardware.block import Bound
from harness.kernel.builder import Kernel
from harness.kernel.program import WaitPoint

__all__ = ["wait_register"]


def wait_register(k: Kernel, register: Bound[Any], *, ms: float = 100.0, bits: int = 0, **fields: int) -> None:
    """Read a register again and again until its named fields hold these values, and `bits` of it are set.

    Fails by name after `ms` milliseconds of guest time. Raises `FieldError` for a field that it does not have.
    """
    place = register.place
    mask = place.register.mask_of(*fields) | bits
    wanted = int(place.register.of(**fields)) | bits
    shown = " ".join([f"{name}={value:#x}" for name, value in fields.items()] + [f"{bits:#x}"] * (bits != 0))
    k.program.waits.append(WaitPoint(f"{place.name} to show {shown}", k.program.origin()))
    number = len(k.program.waits)
    again, good = k.program.unique("poll"), k.program.unique("polled")
    k.program.step(
        f"wait for {place.name}: {shown}",
        "push r14",
        f"mov eax, {k.patience.us(ms)}",
        "call deadline",
        "mov r14, rax",
        f"{again}:",
        *k.bus.load(place),
        f"movabs rcx, {mask:#x}",
        "and rax, rcx",
        f"movabs rcx, {wanted:#x}",
        "cmp rax, rcx",
        f"je {good}",
        "call spin_once",
        f"jae {again}",
        "mov dword ptr [MAILBOX+MB_WAIT_VECTOR], -1",
        "mov dword ptr [MAILBOX+MB_WAIT_COUNT], eax",
        f"mov dword ptr [MAILBOX+MB_WAIT_LINE], {number}",
        "pop r14",
        "call time_out",
        f"{good}:",
        "pop r14",
        waits=True,
    )
