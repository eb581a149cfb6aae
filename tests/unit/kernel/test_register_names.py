"""The listing names what addresses, ports and MSR numbers are."""

from __future__ import annotations

import pytest

from harness.assembly import assemble, source_from_text
from harness.hardware.block import Space
from harness.kernel.register_names import RegisterNames, name_of


def annotated(text: str) -> list[str]:
    names = RegisterNames()
    done = assemble(source_from_text(text.replace("; ", "\n"), "t.asm"), address=0x110000, mode=64)
    return [names.of(line) for line in done.lines]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mov rdi, 0xfee000b0; mov dword ptr [rdi], 0", ["lapic.EOI", "lapic.EOI"]),
        ("mov edi, 0xfee000b0; mov dword ptr [rdi], eax", ["lapic.EOI", "lapic.EOI"]),
        ("mov edi, 0xfed00000; mov rax, [rdi + 0x100]", ["hpet.CAPABILITIES", "hpet.TIMER[0].CONFIG"]),
        ("mov edi, 0xfed00000; mov eax, [rdi + 0x104]", ["hpet.CAPABILITIES", "hpet.TIMER[0].CONFIG+4"]),
        ("mov edx, 0x43; mov al, 0x34; out dx, al", ["", "", "pit.CONTROL_WORD/COUNTER_LATCH/READ_BACK"]),
        ("in al, 0x21", ["pic.MASTER.OCW1"]),
        ("mov eax, 0xb; out 0x70, al; in al, 0x71", ["", "cmos.INDEX → rtc.B", "cmos.DATA"]),
        (
            "mov edi, 0xfec00000; mov dword ptr [rdi], 0x13",
            ["ioapic.IOREGSEL", "ioapic.IOREGSEL → ioapic.REDIRECTION[1].HIGH"],
        ),
        ("mov ecx, 0x1b; rdmsr", ["", "msr.APIC_BASE"]),
        ("mov ecx, 0x80b; xor eax, eax; xor edx, edx; wrmsr", ["", "", "", "x2apic.EOI"]),
        # what is no longer known has no name
        ("mov ecx, 0x1b; mov ecx, eax; rdmsr", ["", "", ""]),
        ("mov edx, 0x43; add edx, 1; out dx, al", ["", "", ""]),
        ("mov ecx, 0x1b; call 1f; 1: rdmsr", ["", "", "", ""]),
        ("mov edx, 0x43; l: out dx, al", ["", "", ""]),
        ("mov eax, 0x43; mov [rdi], eax", ["", ""]),
        ("mov edi, 0x12345678; mov [rdi], eax", ["", ""]),
    ],
)
def test_names_of_a_line(text: str, expected: list[str]) -> None:
    assert annotated(text) == expected


def test_registers_that_share_a_port_by_direction() -> None:
    assert name_of(Space.PORT, 0x20, "w") == "pic.MASTER.ICW1/OCW2/OCW3"
    assert name_of(Space.PORT, 0xFFFF) == ""
    assert name_of(Space.MSR, 0xC000_0080) == "msr.EFER"
