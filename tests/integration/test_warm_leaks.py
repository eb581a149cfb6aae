"""State that `system_reset` leaves behind does not reach the next run of a warm machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

HEAD = """
import socket
from harness import Kernel, ProbeBody, probe

@probe(spec="none"{options})
def dirty(k: Kernel) -> ProbeBody:
    \"\"\"Leaves something behind.\"\"\"
    k.asm({write!r})
    run = yield
    assert run.vectors == []
    {act}

@probe(spec="none"{options})
def victim(k: Kernel) -> ProbeBody:
    \"\"\"Reads what a fresh machine has.\"\"\"
    found = k.value("found")
    k.asm({read!r})
    run = yield
    {check}
"""

STORE = "\nmovzx eax, al\nmov qword ptr [found], rax"
LEAKS: dict[str, dict[str, str]] = {
    "RAM behind the runtime": {
        "write": "mov eax, 0x10E000\nmov byte ptr [rax], 0x5A",
        "read": "mov eax, 0x10E000\nmov al, byte ptr [rax]" + STORE,
        "check": "assert run['found'] == 0",
    },
    "last byte before the parameters": {
        "write": "mov eax, 0x10EFFF\nmov byte ptr [rax], 0x5A",
        "read": "mov eax, 0x10EFFF\nmov al, byte ptr [rax]" + STORE,
        "check": "assert run['found'] == 0",
    },
    "CMOS": {
        "write": "mov al, 0x40\nout 0x70, al\nmov al, 0x5A\nout 0x71, al",
        "read": "mov al, 0x40\nout 0x70, al\nin al, 0x71" + STORE,
        "check": "assert run['found'] != 0x5A",
    },
    "CMOS by another name of the port": {
        "write": "mov ebx, 0x70\nmov edx, ebx\nmov al, 0x40\nout dx, al\ninc edx\nmov al, 0x5A\nout dx, al",
        "read": "mov al, 0x40\nout 0x70, al\nin al, 0x71" + STORE,
        "check": "assert run['found'] != 0x5A",
    },
    "CMOS by bytes": {
        "write": "mov al, 0x40\n.byte 0xE6, 0x70\nmov al, 0x5A\n.byte 0xE6, 0x71",
        "read": "mov al, 0x40\nout 0x70, al\nin al, 0x71" + STORE,
        "check": "assert run['found'] != 0x5A",
    },
    "8237 page register": {
        "write": "mov al, 0x5A\nout 0x83, al",
        "read": "in al, 0x83" + STORE,
        "check": "assert run['found'] == 0",
    },
    "port B": {
        "write": "mov al, 3\nout 0x61, al",
        "read": "in al, 0x61\nand al, 3" + STORE,
        "check": "assert run['found'] == 0",
    },
    "a frame in the cable": {
        "options": ", needs=['virtio-net']",
        "act": "run.machine.networks['virtio-net'].send(b'x' * 60)",
        "check": "assert not run.machine.host_wrote",
    },
    "HPET route of a message": {
        "options": ", needs=['hpet']",
        "write": "mov edi, 0xFED00110\nmov dword ptr [rdi], 0x5A",
        "read": "mov edi, 0xFED00110\nmov eax, dword ptr [rdi]" + STORE,
        "check": "assert run['found'] == 0",
    },
    "machine-check bank": {
        "write": "mov ecx, 0x400\nxor eax, eax\nxor edx, edx\nwrmsr",
        "read": "mov ecx, 0x400\nrdmsr" + STORE,
        "check": "assert run['found'] == 0xFF",
    },
    "machine-check bank by bytes": {
        "write": "mov ecx, 0x400\nxor eax, eax\nxor edx, edx\n.byte 0x0F, 0x30",
        "read": "mov ecx, 0x400\nrdmsr" + STORE,
        "check": "assert run['found'] == 0xFF",
    },
    "PCI configuration": {
        "write": "mov eax, 0x80000044\nmov ecx, 0x5A\ncall pci_write",
        "read": "mov eax, 0x80000044\ncall pci_read" + STORE,
        "check": "assert run['found'] == 0",
    },
    "PCI configuration address": {
        "write": "mov edx, 0xCF8\nmov eax, 0x8000005C\nout dx, eax",
        "read": "mov edx, 0xCF8\nin eax, dx" + STORE,
        "check": "assert run['found'] == 0",
    },
    "8237 channel": {
        "write": "out 0x0C, al\nmov al, 0x5A\nout 0x02, al\nout 0x02, al",
        "read": "out 0x0C, al\nin al, 0x02" + STORE,
        "check": "assert run['found'] == 0",
    },
    "floppy tape drive register": {
        "options": ", needs=['floppy']",
        "write": "mov edx, 0x3F3\nmov al, 2\nout dx, al",
        "read": "mov edx, 0x3F3\nin al, dx\nand al, 3" + STORE,
        "check": "assert run['found'] == 0",
    },
    "RTC time": {
        "write": "mov edi, 3000000\ncall stay",
        "read": "xor eax, eax\nout 0x70, al\nin al, 0x71" + STORE,
        "check": "assert run['found'] in (0, 1)",
    },
    "COM1 input": {
        "options": ", interactive=True",
        "act": "run.serial.send('x')",
        "read": "mov edx, 0x3FD\nin al, dx\nand al, 1" + STORE,
        "check": "assert run['found'] == 0",
    },
}
PIIX4_EJECT = {
    "options": ", needs=['virtio-rng']",
    "write": "mov edx, 0xAE08\nmov eax, -1\nout dx, eax",
    "check": "assert [f for f in run.machine.pci() if f.vendor == 0x1AF4]",
}


def both(tmp_path: Path, leak: dict[str, str], on: str) -> tuple[RunRecord, RunRecord, RunRecord]:
    values = {"options": "", "write": "nop", "act": "pass", "read": "nop", **leak}
    (tmp_path / "pair.py").write_text(HEAD.format(**values))
    dirty, victim = (probe.cases()[0] for probe in load_probes([tmp_path / "pair.py"]))
    with Executor(target(on), RunOptions(cold=False)) as executor:
        cold = executor.run(victim, RunOptions(cold=True))
        return executor.run(dirty), executor.run(victim), cold


@pytest.mark.parametrize("name", LEAKS)
@pytest.mark.parametrize("on", ["q35-tcg", "pc-tcg"])
def test_the_next_run_finds_a_fresh_machine(tmp_path: Path, name: str, on: str) -> None:
    dirty, warm, cold = both(tmp_path, LEAKS[name], on)
    assert dirty.verdict is Verdict.PASS, dirty.reason
    assert (warm.verdict, cold.verdict) == (Verdict.PASS, Verdict.PASS), warm.reason


def test_a_card_that_a_guest_ejected_is_there_for_the_next_one(tmp_path: Path) -> None:
    dirty, warm, cold = both(tmp_path, PIIX4_EJECT, "pc-tcg")
    assert dirty.verdict is Verdict.PASS, dirty.reason
    assert (warm.verdict, cold.verdict) == (Verdict.PASS, Verdict.PASS), warm.reason
