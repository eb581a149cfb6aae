"""Controllers and memory of a machine, read on request and decoded."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from harness.hardware.hpet import HPET_DEFAULT_BASE
from harness.hardware.state import HPET_SIZE, HpetState, IoApicState, LapicState, PicState
from harness.qemu.dumps import DumpedFunction, parse_ioapics, parse_lapic, parse_memory, parse_pci, parse_pics

__all__ = ["Inspection"]


class Inspection(ABC):
    """Queries to a machine over QMP and the human monitor."""

    @abstractmethod
    def qmp(self, command: str, **arguments: object) -> Any:
        """One QMP command."""

    @abstractmethod
    def hmp(self, line: str, cpu: int | None = None) -> str:
        """Execute one line of the human monitor; returns its output."""

    def physical(self, address: int, length: int) -> bytes:
        """Bytes at a physical address as a device answers them (`xp`): by dword reads, as MMIO requires.

        Address and length in bytes, multiples of 4. The local APIC's page reads 0 from here. Raises QemuError where
        nothing answers.
        """
        if address % 4 or length % 4 or length <= 0:
            raise ValueError(f"address {address:#x} and length {length} must be multiples of 4")
        return parse_memory(self.hmp(f"xp /{length // 4}xw {address:#x}"), address, length)

    def lapic(self, cpu: int = 0) -> LapicState:
        """The local APIC of the CPU with that APIC ID. Raises DumpError."""
        return parse_lapic(self.hmp(f"info lapic {cpu}"))

    def pics(self) -> tuple[IoApicState, PicState, PicState]:
        """The IO APIC, the master and the slave 8259. Raises DumpError."""
        return parse_pics(self.hmp("info pic"))

    def ioapics(self) -> tuple[IoApicState, ...]:
        """Every IO APIC (microvm has two). Raises DumpError."""
        return parse_ioapics(self.hmp("info pic"))

    def hpet(self) -> HpetState:
        """The HPET's registers. Raises DumpError, QemuError where there is none."""
        return HpetState.from_memory(self.physical(HPET_DEFAULT_BASE, HPET_SIZE))

    def pci(self) -> tuple[DumpedFunction, ...]:
        """Every PCI function, as it is configured now; microvm without a PCI bus has none. Raises DumpError."""
        return parse_pci(self.qmp("query-pci"))
