"""Which programs may leave the state of an I/O port behind."""

from __future__ import annotations

import pytest

from harness.run.sticky_writes import sticky_write


@pytest.mark.parametrize(
    "text",
    [
        "nop",
        "out 0x20, al",
        "mov edx, 0x2005\nout dx, al",
        "mov rcx, rax\nmov eax, 0x8000f804\nmov edx, 0xCF8\nout dx, eax\nmov rax, rcx\nmov edx, 0xcfc\nout dx, ax",
        ".byte 0x0f, 0x0b",
        "mov rax, qword ptr [layout]",
    ],
)
def test_what_a_reset_restores(text: str) -> None:
    assert sticky_write(text.splitlines(), "q35") is None


@pytest.mark.parametrize(
    "text",
    [
        "mov al, 0x60\nout 0x64, al",
        "out 0x70, al",
        "OUT 0x70, AL",
        "out 112, al",
        "mov edx, 0xAE08\nout dx, eax",
        "out dx, al",
        "mov edx, 0x20\nmov edx, ebx\nout dx, al",
        "mov edx, 0x20\ninc edx\nout dx, al",
        "mov edx, 0x20\nagain:\nout dx, al",
        "mov edx, 0x20\ncall put_text\nout dx, al",
        "out PORT, al",
        "rep outsb",
        ".byte 0xE6, 0x70",
        ".quad 0x70e6",
    ],
)
def test_what_may_survive(text: str) -> None:
    assert sticky_write(text.splitlines(), "q35") is not None
