"""The other ways to boot: QEMU's -kernel (multiboot), a BIOS disk; UEFI where the host has it."""

from __future__ import annotations

import struct

import machine_guests as guests
import pytest

from harness.qemu.errors import QemuError
from harness.qemu.features import unsupported
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.stop import StopKind
from harness.qemu.target import target


def multiboot(program: str) -> bytes:
    """A flat multiboot kernel at 1 MiB (Multiboot Specification 0.6.96, "The layout of Multiboot header")."""
    base, flags, magic = 0x100000, 1 << 16, 0x1BADB002
    header = struct.pack("<8I", magic, flags, -(magic + flags) & 0xFFFFFFFF, base, base, 0, 0, base + 32)
    return header + guests.code(program, base + 32, 32)


@pytest.mark.parametrize("name", ["q35-tcg", "pc-tcg"])
def test_multiboot_kernel(name: str) -> None:
    kernel = multiboot("mov esi, eax\n mov ebp, dword ptr [ebx]\n" + guests.SIGNAL + guests.HALT)
    with Machine.launch(MachineConfig(target(name), boot="kernel"), kernel, kernel_arguments="a b") as machine:
        assert machine.run_once(timeout=60).check().signalled
        (cpu,) = machine.registers()
        assert cpu.rsi == 0x2BADB002, "Multiboot Specification, Machine state: EAX"
        assert cpu.rbp & 1 << 2, "flags: there is a command line"
        with pytest.raises(QemuError, match=r"cannot run again .* it boots by"):
            machine.run_once(timeout=60)
        assert machine.run_once(timeout=60, guest_reset="continue").signalled
        assert machine.guest_resets, "the firmware's own"


@pytest.mark.parametrize("name", ["q35-tcg", "pc-tcg"])
def test_boot_sector(name: str) -> None:
    sector = guests.code("mov si, dx\n" + guests.SIGNAL + guests.HALT, 0x7C00, 16).ljust(510, b"\0") + b"\x55\xaa"
    with Machine.launch(MachineConfig(target(name), boot="disk"), sector) as machine:
        assert machine.run_once(timeout=60).check().signalled
        (cpu,) = machine.registers()
        assert cpu.pc in range(0x7C00, 0x7E00) and cpu.rsi & 0xFF == 0x80, "DL: the first hard disk"


def test_a_disk_without_signature_does_not_boot() -> None:
    with Machine.launch(MachineConfig(target("pc-tcg"), boot="disk"), bytes(512)) as machine:
        assert machine.run_once(timeout=1).kind is StopKind.TIMEOUT


def test_uefi_reaches_the_firmware() -> None:
    config = MachineConfig(target("q35-tcg-rt"), boot="firmware")
    if (reason := unsupported(config)) is not None:
        assert "OVMF" in reason, reason
        pytest.skip(reason)
    with Machine.launch(config, bytes(1 << 20)) as machine:
        machine.resume()
        machine.serial.expect_exact("BdsDxe", timeout=120)
