"""The facts that a guest may rely on for each QEMU machine type.

Every fact is one of QEMU's source (file named beside it), read back from QEMU 7.2 with the machine held at reset. Facts
are those of the machine type's defaults with the extra devices off; a probe must find added devices itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from harness.hardware.hpet import HPET_DEFAULT_BASE
from harness.hardware.ioapic import IOAPIC_DEFAULT_BASE, PINS

__all__ = ["PCI_SLOTS", "PLATFORMS", "Platform", "PowerManagement"]


@dataclass(frozen=True)
class PowerManagement:
    """Where the ACPI fixed hardware is; its I/O base is software's choice."""

    device: int  # PCI device on bus 0
    function: int
    vendor_device: int  # dword at offset 00h of its configuration space
    base_offset: int  # configuration register of the I/O base (PMBASE)
    enable_offset: int  # configuration register of the enable bit
    enable_mask: int
    sci_pin: int  # IO APIC pin and 8259 input at reset


@dataclass(frozen=True)
class Platform:
    """One machine type.

    Pins are inputs of the first IO APIC.
    """

    name: str
    has_pci: bool
    has_8259: bool
    has_pit: bool
    has_rtc: bool
    has_hpet: bool
    has_isa_dma: bool
    has_floppy_controller: bool
    has_i8042: bool
    has_port_61: bool
    io_apics: tuple[int, ...]  # MMIO bases
    io_apic_pins: int  # of each
    pit_pin: int  # ISA IRQ 0 is wired to pin 2
    rtc_pin: int
    com1_irq: int
    hpet_base: int | None
    hpet_timers: int
    hpet_pins: tuple[int, ...]  # INT_ROUTE_CAP
    hpet_pin: int | None  # the one to use: on q35 no default device shares it
    ecam_base: int | None  # where software puts it (q35), or where it is fixed (microvm)
    ecam_buses: int
    ecam_register: (
        int | None
    )  # offset of PCIEXBAR in device 0's configuration space; None where nothing must be enabled
    pirq_offsets: tuple[int, ...]  # PIRQ route registers in the ISA bridge's configuration space, PIRQA first
    isa_bridge: int | None  # its PCI device on bus 0, function 0
    pirq_fixed_pins: (
        bool  # q35: PIRQA–H are also IO APIC pins 16–23; pc: a PIRQ reaches only the IRQ its register names
    )
    pm: PowerManagement | None
    reset_port: int | None  # CF9h

    def pirq_of(self, device: int, interrupt_pin: int) -> int:
        """PIRQ (0 is PIRQA) of a PCI device on bus 0 and its Interrupt Pin register (1 is INTA#).

        Raises `ValueError` where the machine type has no PIRQs or the numbers are out of range. On q35 the routing of
        devices 25 to 29 and 31 is the reset value of the DnnIR registers.
        """
        if not self.pirq_offsets:
            raise ValueError(f"{self.name} has no PIRQs")
        if not (0 <= device <= 31 and 1 <= interrupt_pin <= 4):
            raise ValueError(f"device {device}, interrupt pin {interrupt_pin}: expected 0 to 31 and 1 to 4")
        intx = interrupt_pin - 1
        if not self.pirq_fixed_pins:
            return (intx + device - 1) & 3
        if device == 30:
            return intx + 4
        return intx if device >= 25 else (device + intx) % 4 + 4

    def intx_pin(self, device: int, interrupt_pin: int) -> int | None:
        """IO APIC pin of a device's INTx; `None` where software must first program a PIRQ route register (pc)."""
        return 16 + self.pirq_of(device, interrupt_pin) if self.pirq_fixed_pins else None


_Q35 = Platform(
    name="q35",
    has_pci=True,
    has_8259=True,
    has_pit=True,
    has_rtc=True,
    has_hpet=True,
    has_isa_dma=True,
    has_floppy_controller=False,
    has_i8042=True,
    has_port_61=True,
    io_apics=(IOAPIC_DEFAULT_BASE,),
    io_apic_pins=PINS,
    pit_pin=2,  # hw/intc/ioapic.c: vector 0 becomes 2
    rtc_pin=8,
    com1_irq=4,
    hpet_base=HPET_DEFAULT_BASE,
    hpet_timers=3,  # include/hw/timer/hpet.h: HPET_MIN_TIMERS
    hpet_pins=(2, 8, *range(16, 24)),  # hw/i386/pc.c: FF0104h
    # 16 is SATA and SMBus (D31IR), 20 to 23 are PCI slots 0 to 24, 17 and 18 fall to USB controllers when added.
    hpet_pin=19,
    ecam_base=0xB000_0000,  # include/hw/pci-host/q35.h: MCH_HOST_BRIDGE_PCIEXBAR_DEFAULT, with the enable bit 0
    ecam_buses=256,
    ecam_register=0x60,
    pirq_offsets=(0x60, 0x61, 0x62, 0x63, 0x68, 0x69, 0x6A, 0x6B),  # hw/isa/lpc_ich9.c
    isa_bridge=31,
    pirq_fixed_pins=True,
    pm=PowerManagement(31, 0, 0x2918_8086, 0x40, 0x44, 0x80, 9),
    reset_port=0xCF9,
)

_PC = Platform(
    name="pc",
    has_pci=True,
    has_8259=True,
    has_pit=True,
    has_rtc=True,
    has_hpet=True,
    has_isa_dma=True,
    has_floppy_controller=True,
    has_i8042=True,
    has_port_61=True,
    io_apics=(IOAPIC_DEFAULT_BASE,),
    io_apic_pins=PINS,
    pit_pin=2,
    rtc_pin=8,
    com1_irq=4,
    hpet_base=HPET_DEFAULT_BASE,
    hpet_timers=3,
    hpet_pins=(2,),  # hw/i386/pc.c: hpet-intcap 4
    hpet_pin=2,  # shared with the PIT, which must be silenced
    ecam_base=None,
    ecam_buses=0,
    ecam_register=None,
    pirq_offsets=(0x60, 0x61, 0x62, 0x63),  # hw/isa/piix.c: PIIX_PIRQCA to D
    isa_bridge=1,
    pirq_fixed_pins=False,
    pm=PowerManagement(1, 3, 0x7113_8086, 0x40, 0x80, 0x01, 9),  # hw/acpi/piix4.c
    reset_port=0xCF9,
)

_MICROVM = Platform(  # hw/i386/microvm.c, with ACPI left on as by default
    name="microvm",
    has_pci=False,  # pcie=off
    has_8259=True,
    has_pit=True,
    has_rtc=True,  # not under KVM, unless rtc=on
    has_hpet=False,
    has_isa_dma=False,
    has_floppy_controller=False,
    has_i8042=False,
    has_port_61=False,
    io_apics=(IOAPIC_DEFAULT_BASE, 0xFEC1_0000),
    io_apic_pins=PINS,
    pit_pin=2,
    rtc_pin=8,
    com1_irq=4,
    hpet_base=None,
    hpet_timers=0,
    hpet_pins=(),
    hpet_pin=None,
    ecam_base=0xE000_0000,  # with pcie=on: PCIE_ECAM_BASE
    ecam_buses=256,
    ecam_register=None,
    pirq_offsets=(),
    isa_bridge=None,
    pirq_fixed_pins=False,
    pm=None,
    reset_port=None,
)

PLATFORMS: Mapping[str, Platform] = MappingProxyType({p.name: p for p in (_Q35, _PC, _MICROVM)})


PCI_SLOTS: Mapping[str, int] = MappingProxyType(
    {
        "virtio-net-packed": 0x06,
        "virtio-blk-packed": 0x07,
        "xhci-msi": 0x08,
        "root-port": 0x09,
        "nvme-two": 0x0A,
        "ivshmem": 0x0C,
        "xhci": 0x0D,
        "hda": 0x0E,
        "pci-testdev": 0x0F,
        "edu": 0x10,
        "virtio-rng": 0x11,
        "virtio-blk": 0x12,
        "virtio-net": 0x13,
        "virtio-serial": 0x14,
        "virtio-console": 0x15,
        "nvme": 0x16,
        "ahci": 0x17,
        "e1000e": 0x18,
    }
)
"""Device number on bus 0 at which the harness plugs each PCI device that a probe may need. All below 25: on q35 their
INTx pins then rotate over PIRQE to PIRQH."""
