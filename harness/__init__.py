"""Trapgate: boots tiny x86_64 guests on real QEMU and checks what interrupts they get.

What a probe file imports: `from harness import Kernel, ProbeBody, probe`, and drivers from `harness.devices`. The names
in `__all__` are public, and docs/api.md lists them; every other module is internal.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.abi import (
        GDT,
        GDT_SIZE,
        HIGH_ALIAS,
        IDT,
        NO_ERROR_CODE,
        PAGE_TABLES,
        PAGE_WINDOW,
        PER_CPU,
        SEL_CODE,
        SEL_CODE32,
        SEL_DATA,
        SEL_SPARE,
        SEL_TSS,
        SEL_USER_CODE,
        SEL_USER_DATA,
        STACKS,
        TSS,
        USER_ALIAS,
    )
    from harness.evidence.delivery_path import DeliveryGate, DeliveryPath, GateOpening
    from harness.evidence.interrupts import InterruptRecord, Mark
    from harness.evidence.run import Run
    from harness.hardware.access import provable, provable_names
    from harness.hardware.acpi_pm import PM_TIMER_HZ, PowerManagementIo
    from harness.hardware.block import Bound, Value
    from harness.hardware.chipset import Ich9Lpc, Piix3Isa
    from harness.hardware.cpu import BreakpointCondition, BreakpointLength, Dr6, Rflags
    from harness.hardware.descriptors import SegmentType, SystemType, tss_ist_offset, tss_rsp_offset
    from harness.hardware.dma8237 import Dma8237Master, Dma8237Slave, DmaPages
    from harness.hardware.exceptions import PageFaultErrorCode, SelectorErrorCode, leads_to_double_fault
    from harness.hardware.hpet import Hpet
    from harness.hardware.i8042 import I8042, ControllerStatus
    from harness.hardware.ioapic import IoApic, RedirectionEntry, RemappableEntry
    from harness.hardware.lapic import DestinationShorthand, Level, LocalApic, X2Apic, X2ApicLdr
    from harness.hardware.lapic_lvt import DivideValue, TimerMode
    from harness.hardware.message import DeliveryMode, DestinationMode, TriggerMode
    from harness.hardware.msi import MSI_ADDRESS_BASE, MessageAddress, Msi32Masked, Msi64, RemappableMessageAddress
    from harness.hardware.msix import MsixCapability, MsixEntry
    from harness.hardware.pci import (
        CapabilityId,
        ConfigPorts,
        HeaderType,
        Type0Header,
        Type1Header,
        bar_size,
        config_address,
    )
    from harness.hardware.pcie import ErrorReporting, ExpressCapability
    from harness.hardware.pic8259 import EoiCommand, PicMaster, PicSlave, ReadSelect
    from harness.hardware.pit8254 import (
        PIT_FREQUENCY_HZ,
        AccessMode,
        CounterMode,
        ReadBackCommand,
        SelectCounter,
        SystemControl,
    )
    from harness.hardware.rtc import RTC_ALARM_WILDCARD, Cmos, RegisterC, rtc_rate_select
    from harness.kernel.access_proof import AccessProof, ApartProof, all_differences
    from harness.kernel.builder import Kernel
    from harness.kernel.poll import wait_register
    from harness.kernel.program import Buffer
    from harness.kernel.window import GUARD, PAGE, Window
    from harness.probes.deviation import Deviation
    from harness.probes.probe import ProbeBody, probe

__all__ = [
    "GDT",
    "GDT_SIZE",
    "GUARD",
    "HIGH_ALIAS",
    "I8042",
    "IDT",
    "MSI_ADDRESS_BASE",
    "NO_ERROR_CODE",
    "PAGE",
    "PAGE_TABLES",
    "PAGE_WINDOW",
    "PER_CPU",
    "PIT_FREQUENCY_HZ",
    "PM_TIMER_HZ",
    "RTC_ALARM_WILDCARD",
    "SEL_CODE",
    "SEL_CODE32",
    "SEL_DATA",
    "SEL_SPARE",
    "SEL_TSS",
    "SEL_USER_CODE",
    "SEL_USER_DATA",
    "STACKS",
    "TSS",
    "USER_ALIAS",
    "AccessMode",
    "AccessProof",
    "ApartProof",
    "Bound",
    "BreakpointCondition",
    "BreakpointLength",
    "Buffer",
    "CapabilityId",
    "Cmos",
    "ConfigPorts",
    "ControllerStatus",
    "CounterMode",
    "DeliveryGate",
    "DeliveryMode",
    "DeliveryPath",
    "DestinationMode",
    "DestinationShorthand",
    "Deviation",
    "DivideValue",
    "Dma8237Master",
    "Dma8237Slave",
    "DmaPages",
    "Dr6",
    "EoiCommand",
    "ErrorReporting",
    "ExpressCapability",
    "GateOpening",
    "HeaderType",
    "Hpet",
    "Ich9Lpc",
    "InterruptRecord",
    "IoApic",
    "Kernel",
    "Level",
    "LocalApic",
    "Mark",
    "MessageAddress",
    "Msi32Masked",
    "Msi64",
    "MsixCapability",
    "MsixEntry",
    "PageFaultErrorCode",
    "PicMaster",
    "PicSlave",
    "Piix3Isa",
    "PowerManagementIo",
    "ProbeBody",
    "ReadBackCommand",
    "ReadSelect",
    "RedirectionEntry",
    "RegisterC",
    "RemappableEntry",
    "RemappableMessageAddress",
    "Rflags",
    "Run",
    "SegmentType",
    "SelectCounter",
    "SelectorErrorCode",
    "SystemControl",
    "SystemType",
    "TimerMode",
    "TriggerMode",
    "Type0Header",
    "Type1Header",
    "Value",
    "Window",
    "X2Apic",
    "X2ApicLdr",
    "all_differences",
    "bar_size",
    "config_address",
    "leads_to_double_fault",
    "probe",
    "provable",
    "provable_names",
    "rtc_rate_select",
    "tss_ist_offset",
    "tss_rsp_offset",
    "wait_register",
]

_NAMES_OF_MODULE = {
    "harness.abi": "GDT GDT_SIZE HIGH_ALIAS IDT NO_ERROR_CODE PAGE_TABLES PAGE_WINDOW PER_CPU SEL_CODE SEL_CODE32 "
    "SEL_DATA SEL_SPARE SEL_TSS SEL_USER_CODE SEL_USER_DATA STACKS TSS USER_ALIAS",
    "harness.hardware.access": "provable provable_names",
    "harness.hardware.acpi_pm": "PM_TIMER_HZ PowerManagementIo",
    "harness.hardware.block": "Bound Value",
    "harness.hardware.chipset": "Ich9Lpc Piix3Isa",
    "harness.hardware.cpu": "BreakpointCondition BreakpointLength Dr6 Rflags",
    "harness.hardware.descriptors": "SegmentType SystemType tss_ist_offset tss_rsp_offset",
    "harness.hardware.exceptions": "PageFaultErrorCode SelectorErrorCode leads_to_double_fault",
    "harness.hardware.hpet": "Hpet",
    "harness.hardware.i8042": "ControllerStatus I8042",
    "harness.hardware.ioapic": "IoApic RedirectionEntry RemappableEntry",
    "harness.hardware.lapic": "DestinationShorthand Level LocalApic X2Apic X2ApicLdr",
    "harness.hardware.lapic_lvt": "DivideValue TimerMode",
    "harness.hardware.message": "DeliveryMode DestinationMode TriggerMode",
    "harness.hardware.msi": "MSI_ADDRESS_BASE MessageAddress RemappableMessageAddress Msi32Masked Msi64",
    "harness.hardware.pci": "CapabilityId ConfigPorts HeaderType bar_size config_address Type0Header Type1Header",
    "harness.hardware.pic8259": "EoiCommand PicMaster ReadSelect PicSlave",
    "harness.hardware.pit8254": "PIT_FREQUENCY_HZ AccessMode CounterMode ReadBackCommand SelectCounter SystemControl",
    "harness.hardware.rtc": "RTC_ALARM_WILDCARD Cmos RegisterC rtc_rate_select",
    "harness.hardware.msix": "MsixCapability MsixEntry",
    "harness.hardware.pcie": "ErrorReporting ExpressCapability",
    "harness.hardware.dma8237": "Dma8237Slave Dma8237Master DmaPages",
    "harness.kernel.access_proof": "AccessProof ApartProof all_differences",
    "harness.kernel.builder": "Kernel",
    "harness.kernel.poll": "wait_register",
    "harness.kernel.program": "Buffer",
    "harness.kernel.window": "GUARD PAGE Window",
    "harness.evidence.run": "Run",
    "harness.probes.deviation": "Deviation",
    "harness.probes.probe": "ProbeBody probe",
    "harness.evidence.delivery_path": "DeliveryGate DeliveryPath GateOpening",
    "harness.evidence.interrupts": "InterruptRecord Mark",
}
_MODULE_OF_NAME = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Import on first use: this package also contains the command line, which must start without a builder."""
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF_NAME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
