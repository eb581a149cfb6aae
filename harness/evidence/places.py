"""The place of each processor in the program's source; and a check of the runtime's code."""

from __future__ import annotations

from collections.abc import Sequence

from harness import abi
from harness.hardware.cpu import Rflags
from harness.image.image import Image
from harness.qemu.dumps import CpuRegisters

__all__ = ["overwritten", "places"]

_PROCESSORS = 8  # that one sentence names
_ROM = 0xFFFF_0000


def overwritten(ram: memoryview, image: Image) -> str:
    """The bytes of the runtime's code that were changed; empty without any."""
    code = image.runtime.code
    found = bytes(ram[abi.RUNTIME : abi.RUNTIME + len(code)])
    if found == code:
        return ""
    at = next(index for index, (old, new) in enumerate(zip(code, found, strict=True)) if old != new)
    changed = sum(old != new for old, new in zip(code, found, strict=True))
    return (
        f"the guest wrote over the runtime's code: {changed} bytes from {abi.RUNTIME + at:#x} on, "
        f"at {image.symbolise(abi.RUNTIME + at)}"
    )


def places(ram: memoryview, cpus: Sequence[CpuRegisters], image: Image, online: int = -1) -> str:
    """The place of each processor that was started, by its bit in `online`."""
    shown = [cpu for cpu in cpus if online >> cpu.cpu & 1] or list(cpus)
    texts = [f"processor {cpu.cpu} {_place(ram, cpu, image)}" for cpu in shown[:_PROCESSORS]]
    left_out = len(shown) - _PROCESSORS
    return "; ".join(texts) + (f"; {left_out} more" if left_out > 0 else "")


def _place(ram: memoryview, cpu: CpuRegisters, image: Image) -> str:
    if cpu.halted:
        off = "" if Rflags(cpu.rflags).IF else " with interrupts off (IF=0)"
        return f"is halted{off} at {_line_or_symbol(image, cpu.pc - 1)}"
    if image.waits(cpu.pc):
        at = abi.PER_CPU + abi.PERCPU.size * cpu.cpu + abi.PERCPU.offset("WAIT")
        back = int.from_bytes(ram[at : at + 8], "little")
        line = image.line_at(back - 1) if image.covers(back - 1) else None
        if line is not None:
            return f"waits at {line.origin}"
    if image.covers(cpu.pc) or cpu.pc >= _ROM or not cpu.bits64:
        return f"executes at {image.symbolise(cpu.pc)}"
    caller = _caller(ram, cpu, image)
    return f"executes at {cpu.pc:#x}, which is outside of the program and of the runtime{caller}"


def _line_or_symbol(image: Image, address: int) -> str:
    line = image.line_at(address % abi.USER_ALIAS) if image.covers(address) else None
    return str(line.origin) if line is not None else image.symbolise(address)


def _caller(ram: memoryview, cpu: CpuRegisters, image: Image) -> str:
    """The program's line that called there, where the top of the stack is a return address."""
    at = cpu.rsp % abi.USER_ALIAS
    back = int.from_bytes(ram[at : at + 8], "little") if at + 8 <= len(ram) else 0
    if image.covers(back - 1) and back % abi.USER_ALIAS > abi.PROGRAM:
        return f"; the top of its stack is a return address at {_line_or_symbol(image, back - 1)}"
    return ""
