"""`k.pci`: PCI functions in the slots that the harness plugs them into; BARs, capabilities, MSI and MSI-X."""

from __future__ import annotations

from typing import TypeVar

from harness.hardware.block import Bound, Place, Space, Value
from harness.hardware.msi import MessageAddress, Msi32, Msi64
from harness.hardware.msix import MsixCapability
from harness.hardware.pci import Plain8, Plain32, Type0Header, config_address
from harness.hardware.platform import PCI_SLOTS, Platform
from harness.hardware.register import Register
from harness.kernel.bus import StagedBus, slot
from harness.kernel.msix import Msix, table_entries
from harness.kernel.program import Program, TargetLacks

__all__ = ["PciBus", "PciFunction"]

P = TypeVar("P", bound=Register)

PIIX_IRQS = (10, 10, 11, 11)  # what pci_init writes to PIRQRCA–PIRQRCD


class PciBus:
    """Finds devices by the names that a probe's `needs` uses, or by address."""

    def __init__(self, program: Program, bus: StagedBus, platform: Platform, cpus: int = 1) -> None:
        self._program = program
        self._bus = bus
        self._platform = platform
        self._cpus = cpus

    def device(self, name: str) -> PciFunction:
        """The device that `needs=[name]` plugs in. Raises `ProgramError` for one that is no PCI device here."""
        if name not in PCI_SLOTS:
            raise self._program.error(f"{name!r} is no PCI device; known: {', '.join(PCI_SLOTS)}")
        function = self.function(PCI_SLOTS[name], name=name)
        function.msix_entries = table_entries(name, self._cpus)
        return function

    def pirq_route(self, function: PciFunction) -> Bound[Plain8]:
        """The PIRQ route register of the line that a function's INTA# is on, in the ISA bridge.

        Bit 7 disables the routing to the 8259s, bits 3:0 name their input.
        """
        platform = self._platform
        if platform.isa_bridge is None:
            raise TargetLacks(f"{platform.name} has no ISA bridge that routes PCI interrupts")
        bridge = self.function(platform.isa_bridge, name="isa_bridge")
        return bridge.byte(platform.pirq_offsets[platform.pirq_of(function.device, 1)])

    def function(self, device: int, function: int = 0, *, name: str = "") -> PciFunction:
        """Any function of bus 0."""
        if not self._platform.has_pci:
            raise TargetLacks(f"{self._platform.name} has no PCI bus that configuration mechanism #1 reaches")
        self._program.uses.add("pci")
        return PciFunction(
            self._program, self._bus, self._platform, device, function, name or f"pci{device}_{function}"
        )


class PciFunction(Type0Header):
    """One function's configuration header, with what probes do to it."""

    def __init__(
        self, program: Program, bus: StagedBus, platform: Platform, device: int, function: int, name: str
    ) -> None:
        self._address = int(config_address(0, device, function))
        super().__init__(bus, self._address, name=name.replace("-", "_"))
        self._program = program
        self._staged = bus
        self._platform = platform
        self.device = device
        self.function = function
        self.msix_entries: int | None = None  # of its MSI-X table, where that is known

    @property
    def pin(self) -> int:
        """The IO APIC pin that INTA# of this function reaches (for functions that use INTA#)."""
        pirq = self._platform.pirq_of(self.device, 1)
        pin = self._platform.intx_pin(self.device, 1)
        return PIIX_IRQS[pirq] if pin is None else pin

    @property
    def requester(self) -> int:
        """Source identifier: bus, device, function (16 bits)."""
        return self.device << 3 | self.function

    def enable(self, *, memory: bool = True, io: bool = True, bus_master: bool = True, intx: bool = True) -> None:
        """Write COMMAND: what the function decodes, whether it masters the bus, whether it may assert INTx#."""
        self.COMMAND.write(
            MEMORY_SPACE=int(memory), IO_SPACE=int(io), BUS_MASTER=int(bus_master), INTERRUPT_DISABLE=int(not intx)
        )

    def byte(self, offset: int) -> Bound[Plain8]:
        """Any byte of configuration space (offset below 100h)."""
        return self._anywhere(offset, Plain8)

    def dword(self, offset: int) -> Bound[Plain32]:
        """Any aligned doubleword of configuration space (offset below 100h)."""
        return self._anywhere(offset, Plain32)

    def _anywhere(self, offset: int, register: type[P]) -> Bound[P]:
        place = Place(Space.CONFIG, self._address, offset, register, f"{self.name}.offset_{offset:02x}")
        return Bound(self._staged, place)

    def bar(self, index: int, *, name: str | None = None) -> Value[int]:
        """The base address in a BAR (the port of an I/O BAR), low 32 bits: the harness places nothing above 4 GiB."""
        value = self._program.add_value(self._program.fresh_value_name(name or f"{self.name}_bar{index}"), int)
        place = self.BAR[index].place
        self._program.step(
            f"read {self.name} BAR{index}",
            *self._staged.load(place),
            "mov ecx, 0xFFFFFFF0",
            "test al, 1",
            "mov edx, 0xFFFC",
            "cmovnz ecx, edx",
            "and eax, ecx",
            f"mov {slot(value)}, rax",
        )
        return value

    def capability(self, identifier: int, *, name: str | None = None) -> Value[int]:
        """Configuration address of a capability, found by walking the list in the guest; 0 where there is none."""
        value = self._program.add_value(
            self._program.fresh_value_name(name or f"{self.name}_capability_{identifier:02x}"), int
        )
        self._program.step(
            f"find capability {identifier:#04x} of {self.name}",
            f"mov edi, {self._address:#x}",
            f"mov esi, {identifier:#x}",
            "call pci_capability",
            f"mov {slot(value)}, rax",
        )
        return value

    def enable_msi(self, vector: int, *, destination: int = 0, address64: bool = True, **data: int) -> Msi64 | Msi32:
        """Program the MSI capability for one message and enable it. `data`: further fields of `MessageData16`.

        `address64` selects the layout that the function has (edu, ahci: 64-bit). Returns the capability's registers.
        """
        block: type[Msi64] | type[Msi32] = Msi64 if address64 else Msi32
        msi = block(self._staged, self.capability(0x05), name=f"{self.name}.msi")
        msi.ADDRESS.write(int(MessageAddress.to(destination)))
        if isinstance(msi, Msi64):
            msi.ADDRESS_UPPER.write(0)
        msi.DATA.write(VECTOR=vector, **data)
        msi.CONTROL.update(ENABLE=1)
        return msi

    def msix(self) -> Msix:
        """The MSI-X capability, table and pending bits, at the addresses that the capability holds."""
        capability = MsixCapability(self._staged, self.capability(0x11), name=f"{self.name}.msix")
        table = self._structure(capability, "TABLE")
        pending = self._structure(capability, "PBA")
        return Msix(self._program, self._staged, capability, table, pending, self.name, self.msix_entries)

    def _structure(self, capability: MsixCapability, which: str) -> Value[int]:
        """Address of a structure that a register describes by BAR indicator and offset."""
        value = self._program.add_value(self._program.fresh_value_name(f"{self.name}_msix_{which.lower()}"), int)
        register = capability.TABLE if which == "TABLE" else capability.PBA
        self._program.step(
            f"find the MSI-X {which.lower()} of {self.name}",
            *self._staged.load(register.place),
            "mov ecx, eax",
            "and ecx, 7",
            "and eax, -8",
            "push rax",
            f"lea eax, [rcx*4+{self._address - (1 << 32) + 0x10}]",  # CF8h addresses have bit 31 set
            "call pci_read",
            "and eax, -16",
            "pop rcx",
            "add eax, ecx",
            f"mov {slot(value)}, rax",
        )
        return value
