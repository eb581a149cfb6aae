"""QEMU's state dumps, parsed into frozen dataclasses; an unknown line is a DumpError that shows it."""

from harness.qemu.dumps.fault_log import FailedDelivery, TripleFault, parse_triple_fault
from harness.qemu.dumps.lapic import parse_lapic
from harness.qemu.dumps.memory import parse_memory
from harness.qemu.dumps.pci import DumpedFunction, PciRegion, parse_pci
from harness.qemu.dumps.pic import parse_ioapics, parse_pics
from harness.qemu.dumps.registers import CpuRegisters, DescriptorTable, SegmentRegister, parse_registers

__all__ = [
    "CpuRegisters",
    "DescriptorTable",
    "DumpedFunction",
    "FailedDelivery",
    "PciRegion",
    "SegmentRegister",
    "TripleFault",
    "parse_ioapics",
    "parse_lapic",
    "parse_memory",
    "parse_pci",
    "parse_pics",
    "parse_registers",
    "parse_triple_fault",
]
