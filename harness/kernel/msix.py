"""`Msix`: the MSI-X capability, table and pending bits of a function, as probes program them.

PCI Local Bus Specification 3.0, "MSI-X Capability & Table Structures".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.hardware.block import Value
from harness.hardware.msi import MessageAddress
from harness.hardware.msix import MAX_VECTORS, MsixCapability, MsixPba, MsixTable
from harness.kernel.bus import StagedBus
from harness.kernel.program import Program

__all__ = ["Msix", "table_entries"]

# What QEMU gives the harness's devices. `the_table_is_as_large_as_probes_take_it_to_be` holds the guest against it.
_ENTRIES = {
    "e1000e": 5,
    "nvme": 65,
    "nvme-two": 65,
    "virtio-console": 2,
    "virtio-net": 4,
    "virtio-net-packed": 4,
    "virtio-rng": 2,
    "virtio-serial": 2,
    "xhci": 16,
}


def table_entries(device: str, cpus: int) -> int | None:
    """Entries of the MSI-X table of a device that a probe may need; `None` for one without MSI-X, or not known."""
    return cpus + 1 if device in ("virtio-blk", "virtio-blk-packed") else _ENTRIES.get(device)


class Msix:
    """A function's MSI-X capability, table and pending bits; `entries`: of the table, where that is known."""

    def __init__(
        self,
        program: Program,
        bus: StagedBus,
        capability: MsixCapability,
        table: Value[Any],
        pending: Value[Any],
        name: str,
        entries: int | None = None,
    ) -> None:
        self._program = program
        self._name = name
        self.entries = entries
        self.capability = capability
        self.table = MsixTable(bus, table, name=f"{name}.msix_table")
        self.pba = MsixPba(bus, pending, name=f"{name}.msix_pba")

    def entry(self, index: int, vector: int, *, destination: int = 0, masked: bool = False, **data: int) -> None:
        """Write one table entry: address, data, vector control. `data`: further fields of `MessageData`.

        Raises `ProgramError` for an entry beyond the table: the write would land in something else.
        """
        entries = self.entries or MAX_VECTORS
        if not 0 <= index < entries:
            most = "" if self.entries else "at most "
            raise self._program.error(
                f"{self._name}: there is no MSI-X table entry {index}; the table has {most}{entries}, "
                f"use 0 to {entries - 1}"
            )
        entry = self.table.ENTRY[index]
        entry.ADDRESS.write(int(MessageAddress.to(destination)))
        entry.ADDRESS_UPPER.write(0)
        entry.DATA.write(VECTOR=vector, **data)
        entry.CONTROL.write(MASK=int(masked))

    def enable(self, vectors: Mapping[int, int] | None = None, *, masked: bool = False) -> Msix:
        """Write these entries (entry → vector, at processor 0), set MSI-X Enable and Function Mask. Returns self."""
        for index, vector in (vectors or {}).items():
            self.entry(index, vector)
        self.capability.CONTROL.update(ENABLE=1, FUNCTION_MASK=int(masked))
        return self
