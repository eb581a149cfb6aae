"""Values of the guest: named slots, and what a program puts into them: registers, the TSC, CPUID, MSRs, memory."""

from __future__ import annotations

from typing import Any

from harness.hardware.block import Bound, Value
from harness.kernel.bus import StagedBus, slot
from harness.kernel.checks import check_number
from harness.kernel.faults import Faults
from harness.kernel.program import PROGRAM_EXIT, Program, Requirement

__all__ = ["GuestValues"]

_QUADWORD = (1 << 64) - 1
_CPUID_REGISTERS = ("eax", "ebx", "ecx", "edx")
_LOADS = {8: "movzx eax, byte", 16: "movzx eax, word", 32: "mov eax, dword", 64: "mov rax, qword"}
_STORES = {8: "byte ptr [rdi], al", 16: "word ptr [rdi], ax", 32: "dword ptr [rdi], eax", 64: "qword ptr [rdi], rax"}


class GuestValues(Faults):
    """The part of `k` that reads and stores values. Each value is a 64-bit slot, which `run[value]` reads."""

    def __init__(self, program: Program, bus: StagedBus) -> None:
        super().__init__(program)
        self.bus = bus

    def value(self, name: str, initial: Bound[Any] | Value[Any] | int | str | None = None) -> Value[int]:
        """A named 64-bit slot, with `initial` stored into it at this step: as `store` has it.

        Without `initial` it holds a canary until the guest writes it, and reading an unwritten one fails.
        """
        value = self.program.add_value(name, int)
        if initial is not None:
            self.store(value, initial)
        return value

    def values(self, *names: str, initial: int | None = None) -> tuple[Value[int], ...]:
        """A value for each name, as `value` makes them: `before, after = k.values("before", "after")`."""
        return tuple(self.value(name, initial) for name in names)

    def store(self, value: Value[Any], source: Bound[Any] | Value[Any] | int | str) -> None:
        """Put a register's content, another value, a constant or a general register (`"rbx"`) into a value."""
        if isinstance(source, Bound):
            shown, lines = source.place.name, self.bus.load(source.place)
        elif isinstance(source, Value):
            shown, lines = source.name, [f"mov rax, {slot(source)}"]
        elif isinstance(source, str):
            shown, lines = source, [f"mov rax, {source}"]
        else:
            check_number(self.program, f"k.store into {value.name!r}: the number", source, 0, _QUADWORD)
            shown, lines = f"{source:#x}", [f"movabs rax, {source:#x}"]
        self.program.step(f"{value.name} = {shown}", *lines, f"mov {slot(value)}, rax")

    def count(self, value: Value[Any], by: int = 1) -> None:
        """Add to a value, atomically. Store a first number before: a canary is no zero."""
        check_number(self.program, f"k.count of {value.name!r}: by", by, -(1 << 31), (1 << 31) - 1)
        self.program.step(f"{value.name} += {by}", f"lock add {slot(value)}, {by}")

    def read_tsc(self, into: Value[int] | str) -> Value[int]:
        """The time-stamp counter into a value, or into a new one of this name. Returns the value."""
        value = self.program.value_of(into)
        self.program.step(f"{value.name} = TSC", "rdtsc", "shl rdx, 32", "or rax, rdx", f"mov {slot(value)}, rax")
        return value

    def cpuid(self, leaf: int, *, subleaf: int = 0, **names: str) -> tuple[Value[int], ...]:
        """CPUID of a leaf; the registers given (`eax`, `ebx`, `ecx`, `edx`) go into new values of these names.

        Returns the values in the order of the arguments. SDM vol. 2A, "CPUID—CPU Identification".
        """
        for register in names:
            if register not in _CPUID_REGISTERS:
                raise self.program.error(f"k.cpuid: {register}: expected registers of {', '.join(_CPUID_REGISTERS)}")
        values = {register: self.program.add_value(name, int) for register, name in names.items()}
        stores = [f"mov {slot(value)}, r{register[1:]}" for register, value in values.items()]
        lines = [f"mov eax, {leaf:#x}", f"mov ecx, {subleaf:#x}", "push rbx", "cpuid", *stores, "pop rbx"]
        self.program.step(f"CPUID {leaf:#x}", *lines)
        return tuple(values.values())

    def require_cpuid(self, leaf: int, register: str, bit: int, feature: str, *, subleaf: int = 0) -> None:
        """End the program here where this bit of CPUID is 0: the verdict is `unsupported`, and names `feature`.

        `register` is "eax", "ebx", "ecx" or "edx". Outside of blocks only: the program returns from this point.
        """
        if register not in _CPUID_REGISTERS:
            known = ", ".join(_CPUID_REGISTERS)
            raise self.program.error(f"k.require_cpuid: {register}: expected one of {known}")
        if not self.program.in_main():
            raise self.program.error(
                "k.require_cpuid in a handler or in a routine of another processor, which cannot end the program. "
                "To fix: write it at the program's start"
            )
        check_number(self.program, f"k.require_cpuid of {feature}: the bit", bit, 0, 31)
        value = self.program.add_value(self.program.fresh_value_name(f"has_{feature}"), int)
        self.program.required.append(Requirement(value, f"CPUID.{leaf:02X}H:{register.upper()}.{feature}[bit {bit}]"))
        lines = [
            f"mov eax, {leaf:#x}",
            f"mov ecx, {subleaf:#x}",
            "push rbx",
            "cpuid",
            f"mov eax, {register}",
            "pop rbx",
        ]
        lines += [f"shr eax, {bit}", "and eax, 1", f"mov {slot(value)}, rax", f"jz {PROGRAM_EXIT}"]
        self.program.step(f"end without {feature}", *lines)

    def rdmsr(self, number: int, into: Value[int] | str) -> Value[int]:
        """RDMSR of any number, in a map or not; EDX:EAX goes into a value, or into a new one of this name.

        Returns the value.
        """
        value = self.program.value_of(into)
        lines = [f"mov ecx, {number:#x}", "rdmsr", "shl rdx, 32", "or rax, rdx", f"mov {slot(value)}, rax"]
        self.program.step(f"{value.name} = MSR {number:#x}", *lines)
        return value

    def wrmsr(self, number: int, content: int) -> None:
        """WRMSR of any number with any content, where a register map would not let them be written."""
        check_number(self.program, f"k.wrmsr of {number:#x}: the content", content, 0, _QUADWORD)
        halves = [f"mov eax, {content & 0xFFFF_FFFF:#x}", f"mov edx, {content >> 32:#x}"]
        self.program.step(f"wrmsr {number:#x} = {content:#x}", *halves, f"mov ecx, {number:#x}", "wrmsr")

    def peek(self, address: int, into: Value[int] | str, *, width: int = 64) -> Value[int]:
        """Memory at an address (`width` bits: 8, 16, 32 or 64, zero-extended) into a value, or a new one of this name.

        Returns the value.
        """
        self._check_place("peek", address, width)
        value = self.program.value_of(into)
        lines = [f"mov rdi, {address:#x}", f"{_LOADS[width]} ptr [rdi]", f"mov {slot(value)}, rax"]
        self.program.step(f"{value.name} = [{address:#x}]", *lines)
        return value

    def poke(self, address: int, content: int, *, width: int = 64) -> None:
        """Write `width` bits (8, 16, 32 or 64) of memory."""
        self._check_place("poke", address, width)
        check_number(self.program, f"k.poke at {address:#x}: the content", content, 0, (1 << width) - 1)
        lines = [f"mov rdi, {address:#x}", f"mov rax, {content:#x}", f"mov {_STORES[width]}"]
        self.program.step(f"[{address:#x}] = {content:#x}", *lines)

    def _check_place(self, verb: str, address: int, width: int) -> None:
        check_number(self.program, f"k.{verb}: the address", address, 0, _QUADWORD)
        if width not in _LOADS:
            raise self.program.error(f"k.{verb}: width={width!r}. Expected: 8, 16, 32 or 64 bits")
