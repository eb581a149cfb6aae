"""The bus of the builder: register accesses become guest instructions.

Every access is one step. Generated code clobbers RAX, RCX, RDX, RSI, RDI and the flags, nothing else.
"""

from __future__ import annotations

from typing import Any, TypeVar

from harness import abi
from harness.hardware.block import Place, Space, Value
from harness.hardware.register import Register
from harness.kernel.program import Program

__all__ = ["StagedBus", "slot"]

R = TypeVar("R", bound=Register)

_ACCUMULATOR = {8: "al", 16: "ax", 32: "eax", 64: "rax"}
_POINTER = {8: "byte", 16: "word", 32: "dword", 64: "qword"}


def slot(value: Value[Any]) -> str:
    """The memory operand of a value."""
    return f"qword ptr [{abi.VALUES + 8 * value.index:#x}]"


class StagedBus:
    """Turns reads and writes of registers into steps of a program."""

    def __init__(self, program: Program) -> None:
        self._program = program

    def read(self, place: Place[R], name: str | None) -> Value[R]:
        """Read the register into a fresh value."""
        value = self._program.add_value(name or self._program.fresh_value_name(place.name), place.register)
        self._program.step(f"read {place.name}", *self.load(place), f"mov {slot(value)}, rax")
        return value

    def write(self, place: Place[Any], value: int | Value[Any]) -> None:
        """Write the whole register."""
        shown = f"{value:#x}" if isinstance(value, int) else value.name
        self._program.step(f"write {place.name} = {shown}", *self._value(value), *self.store(place))

    def update(self, place: Place[Any], clear: int, value: int) -> None:
        """Read, clear the bits in `clear`, set those in `value`, write."""
        lines = self.load(place)
        lines += _constant("rcx", ~clear & ((1 << 64) - 1))
        lines += ["and rax, rcx"]
        lines += _constant("rcx", value)
        lines += ["or rax, rcx"]
        self._program.step(f"update {place.name}", *lines, *self.store(place))

    def _value(self, value: int | Value[Any]) -> list[str]:
        if isinstance(value, Value):
            return [f"mov rax, {slot(value)}"]
        return _constant("rax", int(value))

    def load(self, place: Place[Any]) -> list[str]:
        """Instructions that read the register into RAX, zero-extended."""
        acc = _ACCUMULATOR.get(place.width, "rax")
        match place.space:
            case Space.MMIO:
                pointer = f"{_POINTER[place.width]} ptr [rdi]"
                move = f"mov {acc}, {pointer}" if place.width >= 32 else f"movzx eax, {pointer}"
                return [*self._address(place), move]
            case Space.PORT:
                extend = [] if place.width == 32 else [f"movzx eax, {acc}"]
                return [*self._port(place), f"in {acc}, dx", *extend]
            case Space.MSR:
                return [f"mov ecx, {place.address:#x}", "rdmsr", "shl rdx, 32", "or rax, rdx"]
            case Space.IOAPIC:
                lines = [f"mov edi, {int(place.base):#x}"]
                lines += [f"mov dword ptr [rdi], {place.offset:#x}", "mov eax, dword ptr [rdi+0x10]"]
                if place.width == 64:
                    lines += [f"mov dword ptr [rdi], {place.offset + 1:#x}", "mov ecx, dword ptr [rdi+0x10]"]
                    lines += ["shl rcx, 32", "or rax, rcx"]
                return lines
            case Space.CMOS:
                return [f"mov al, {place.offset:#x}", "out 0x70, al", "in al, 0x71", "movzx eax, al"]
            case Space.CONFIG:
                port = 0xCFC + (place.offset & 3)
                extend = [] if place.width == 32 else [f"movzx eax, {acc}"]
                return [*self._select(place), f"mov edx, {port:#x}", f"in {acc}, dx", *extend]
            case Space.CONTROL:
                return [f"mov rax, cr{place.offset}"]
            case Space.DEBUG:
                return [f"mov rax, dr{place.offset}"]

    def store(self, place: Place[Any]) -> list[str]:
        """Instructions that write RAX to the register."""
        acc = _ACCUMULATOR.get(place.width, "rax")
        match place.space:
            case Space.MMIO:
                return [*self._address(place), f"mov {_POINTER[place.width]} ptr [rdi], {acc}"]
            case Space.PORT:
                return [*self._port(place), f"out dx, {acc}"]
            case Space.MSR:
                return ["mov rdx, rax", "shr rdx, 32", f"mov ecx, {place.address:#x}", "wrmsr"]
            case Space.IOAPIC:
                lines = [f"mov edi, {int(place.base):#x}"]
                if place.width == 64:  # destination first: the low half may unmask
                    lines += ["mov rcx, rax", "shr rcx, 32"]
                    lines += [f"mov dword ptr [rdi], {place.offset + 1:#x}", "mov dword ptr [rdi+0x10], ecx"]
                return [*lines, f"mov dword ptr [rdi], {place.offset:#x}", "mov dword ptr [rdi+0x10], eax"]
            case Space.CMOS:
                return ["mov ah, al", f"mov al, {place.offset:#x}", "out 0x70, al", "mov al, ah", "out 0x71, al"]
            case Space.CONFIG:
                port = 0xCFC + (place.offset & 3)
                return ["mov rcx, rax", *self._select(place), "mov rax, rcx", f"mov edx, {port:#x}", f"out dx, {acc}"]
            case Space.CONTROL:
                return [f"mov cr{place.offset}, rax"]
            case Space.DEBUG:
                return [f"mov dr{place.offset}, rax"]

    def _address(self, place: Place[Any]) -> list[str]:
        """RDI = the register's address."""
        if isinstance(place.base, Value):
            add = [f"add rdi, {place.offset:#x}"] if place.offset else []
            return [f"mov rdi, {slot(place.base)}", *add]
        return _constant("rdi", place.address)

    def _port(self, place: Place[Any]) -> list[str]:
        """EDX = the port."""
        if isinstance(place.base, Value):
            return [f"mov rdx, {slot(place.base)}", f"add edx, {place.offset:#x}"]
        return [f"mov edx, {place.address:#x}"]

    def _select(self, place: Place[Any]) -> list[str]:
        """Select the dword of a configuration register through port CF8h. Clobbers EAX, EDX."""
        dword = place.offset & ~3
        if isinstance(place.base, Value):
            lines = [f"mov rax, {slot(place.base)}", *([f"add eax, {dword:#x}"] if dword else [])]
        else:
            lines = [f"mov eax, {int(place.base) + dword:#x}"]
        return [*lines, "mov edx, 0xCF8", "out dx, eax"]


def _constant(register: str, value: int) -> list[str]:
    """Load a 64-bit constant by the shortest way that the flags survive."""
    if value < 1 << 32:
        short = {"rax": "eax", "rcx": "ecx", "rdi": "edi"}[register]
        return [f"mov {short}, {value:#x}"]
    return [f"movabs {register}, {value:#x}"]
