"""The dump parsers against dumps recorded from QEMU 7.2 and 10.0, TCG and KVM, of one known guest."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.qemu.dumps import parse_ioapics, parse_lapic, parse_pics, parse_registers
from harness.qemu.errors import DumpError

DATA = Path(__file__).parent / "data"
TARGETS = ("7.2-tcg", "7.2-kvm", "10.0-tcg", "10.0-kvm")
PARSERS: dict[str, Callable[[str], object]] = {
    "registers": parse_registers,
    "lapic": parse_lapic,
    "pic": parse_pics,
}


def recorded(name: str) -> str:
    return (DATA / f"{name}.txt").read_text(encoding="ascii")


@pytest.mark.parametrize("target", TARGETS)
def test_registers_of_long_mode(target: str) -> None:
    first, second = parse_registers(recorded(f"registers-{target}"))
    assert first.bits64 and (first.cpu, second.cpu) == (0, 1)
    assert first.rax == 0x1111111111111101 and first.rbx == 0xFEE00000 and first.rdx == 0x505
    values = [
        first.rcx,
        first.rsi,
        first.rdi,
        first.rbp,
        first.r8,
        first.r9,
        first.r10,
        first.r11,
        first.r12,
        first.r13,
    ]
    assert values == [int(digit * 16, 16) for digit in "356789abcd"]
    assert (first.r14, first.r15) == (0xEEEE_EEEE_EEEE_EEEE, 0xFFFF_FFFF_FFFF_FFFF)
    assert first.rip == first.pc == 0xF1807
    assert first.rflags & 0x200 == 0, "an interrupt gate clears IF"
    assert first.cs.selector == 8 and first.cs.flags >> 21 & 1, "L"
    assert first.idt.base == 0x12000 and first.idt.limit == 0xFFF
    assert first.cr0 == 0x80000011 and first.cr3 == 0x10000 and first.cr4 == 0xA0 and first.efer == 0x500
    assert (first.cpl, first.a20, first.smm, first.halted) == (0, True, False, False)
    assert first.mxcsr == 0x1F80 and first.dr6 == 0xFFFF0FF0 and first.dr7 == 0x400
    assert not second.bits64 and second.r8 is None
    if target.endswith("tcg"):
        assert second.halted, "an AP waits for INIT and SIPI"


@pytest.mark.parametrize("target", ["7.2-tcg", "10.0-tcg"])
def test_registers_of_real_mode(target: str) -> None:
    (cpu,) = parse_registers(recorded(f"registers-{target}-real-mode"))
    assert not cpu.bits64 and cpu.cr0 == 0x60000010
    assert cpu.idt.base == 0 and cpu.idt.limit == 0xFFFF and cpu.r15 is None
    assert cpu.pc == cpu.cs.base + cpu.rip == 0xF0006
    assert cpu.rax & 0xFF == 1 and cpu.rdx & 0xFFFF == 0x505


@pytest.mark.parametrize("target", TARGETS)
def test_lapic(target: str) -> None:
    lapic = parse_lapic(recorded(f"lapic-{target}"))
    assert lapic.apic_id == 0 and lapic.version is None
    assert lapic.svr == 0x1FF and lapic.divide == 0xB and lapic.initial_count == 0
    assert lapic.lvt == {
        "TIMER": 0x20041, "LINT0": 0x8700, "LINT1": 0x400, "PERF": 0x10000, "THERMAL": 0x10000, "ERROR": 0xFE,
    }  # fmt: skip
    assert lapic.icr & 0xFFFFFFFF == 0x44061
    assert lapic.irr == {0x41, 0x51} and lapic.tmr == {0x51}
    assert lapic.ldr == 0x02000000 and lapic.dfr == 0xFFFFFFFF
    if target.endswith("tcg"):
        assert lapic.isr == {0x61} and lapic.ppr == 0x60


@pytest.mark.parametrize("target", TARGETS)
def test_pic(target: str) -> None:
    ioapic, master, slave = parse_pics(recorded(f"pic-{target}"))
    assert len(ioapic) == 24 and ioapic.id == 0 and ioapic.select == 0x1B
    assert ioapic.version == (0x20 if target.endswith("tcg") else 0x11)
    assert ioapic[4].vector == 0x51 and ioapic[4].level and ioapic[4].remote_irr == 1 and not ioapic[4].masked
    assert ioapic[5].raw == 0x7F0000000001A955 and ioapic[5].destination == 0x7F and ioapic[5].logical
    assert ioapic[5].active_low and ioapic[5].masked and ioapic[5].delivery_mode == 1
    assert [entry.pin for entry in ioapic.entries if not entry.masked] == [4]
    assert (master.base, master.imr, master.read_isr, master.elcr) == (0x20, 0xFB, True, 0)
    assert (slave.base, slave.imr, slave.read_isr, slave.elcr) == (0x28, 0xA5, False, 0x0C)
    if target.endswith("tcg"):
        assert ioapic.irr == frozenset({4}) and master.irr == 0x10


@pytest.mark.parametrize("target", ["7.2-tcg", "10.0-tcg"])
def test_microvm_has_two_ioapics(target: str) -> None:
    text = recorded(f"pic-{target}-microvm")
    assert [len(ioapic) for ioapic in parse_ioapics(text)] == [24, 24]
    ioapic, master, _slave = parse_pics(text)
    assert ioapic == parse_ioapics(text)[0] and master.imr == 0


@pytest.mark.parametrize("block", [0, 1])
def test_the_ioapic_that_was_programmed_comes_first(block: int) -> None:
    """QEMU gives both of microvm's the same name, and their order is not that of their addresses."""
    parts = recorded("pic-7.2-tcg-microvm").split("  pin 4  0x0000000000010000 dest=0 vec=0   active-hi edge  masked")
    assert len(parts) == 3
    parts[block] += "  pin 4  0x0000000000000051 dest=0 vec=81  active-hi edge        "
    parts[1 - block] += "  pin 4  0x0000000000010000 dest=0 vec=0   active-hi edge  masked"
    used, other = parse_ioapics("".join(parts))
    assert (used[4].vector, other[4].vector) == (0x51, 0)
    assert parse_pics("".join(parts))[0] == used


def test_blocks_in_any_order() -> None:
    text = recorded("pic-7.2-tcg")
    pics = [line for line in text.splitlines() if line.startswith("pic")]
    rest = [line for line in text.splitlines() if not line.startswith("pic")]
    assert parse_pics("\n".join(pics + rest)) == parse_pics("\n".join(rest + pics[::-1])) == parse_pics(text)


@pytest.mark.parametrize("kind", PARSERS)
@pytest.mark.parametrize("target", TARGETS)
def test_an_unknown_line_is_an_error_that_shows_it(kind: str, target: str) -> None:
    text = recorded(f"{kind}-{target}")
    with pytest.raises(DumpError, match="a new line of QEMU 99") as caught:
        PARSERS[kind](text + "\na new line of QEMU 99\n")
    assert caught.value.line == "a new line of QEMU 99"


@pytest.mark.parametrize("kind", PARSERS)
def test_every_line_counts(kind: str) -> None:
    """Leaving out any line that carries state is an error: no field falls back to a default."""
    lines = recorded(f"{kind}-10.0-tcg").splitlines()
    carried = re.compile(r"CPU#1|FPR|XMM|YMM|$")
    for number, line in enumerate(lines):
        if carried.match(line):
            continue
        rest = "\n".join(lines[:number] + lines[number + 1 :])
        with pytest.raises(DumpError):
            PARSERS[kind](rest)


@pytest.mark.parametrize("text", ["", "\n", "unknown command: 'info pic'\n", "local apic state not available\n"])
@pytest.mark.parametrize("kind", PARSERS)
def test_no_dump_is_an_error(kind: str, text: str) -> None:
    with pytest.raises(DumpError):
        PARSERS[kind](text)


@given(kind=st.sampled_from(sorted(PARSERS)), position=st.integers(0, 5000), character=st.characters(codec="ascii"))
def test_damage_never_escapes_as_another_error(kind: str, position: int, character: str) -> None:
    text = recorded(f"{kind}-7.2-kvm")
    position %= len(text)
    try:
        PARSERS[kind](text[:position] + character + text[position + 1 :])
    except DumpError:
        pass


def test_icr2_without_line_end() -> None:
    """QEMU leaves out the line end in a logical mode that is neither flat nor cluster."""
    text = recorded("lapic-7.2-tcg")
    damaged = re.sub(r"ICR2\t 0x0+\nESR\t 0x0+", "ICR2\t 0x01000000ESR\t 0x00000040", text)
    assert damaged != text
    lapic = parse_lapic(damaged)
    assert lapic.icr >> 32 == 0x01000000 and lapic.esr == 0x40
