"""`RootPort`: a PCI Express root port as a source of two maskable MSI messages: its slot and its error reporting.

PCI Express Base Specification 4.0, "PCI Express Hot-Plug Interrupts", "Command Completed Events", "Error Interrupts".
"""

from __future__ import annotations

from harness import abi
from harness.hardware.msi import MessageAddress, Msi32Masked
from harness.hardware.pci import CapabilityId, Type1Header, config_address, ecam_address
from harness.hardware.pcie import ErrorReporting, ExpressCapability
from harness.kernel.builder import Kernel

__all__ = ["RootPort"]

_COMMAND = {
    "COMMAND_COMPLETED_INTERRUPT_ENABLE": 1,
    "HOT_PLUG_INTERRUPT_ENABLE": 1,
    "ATTENTION_INDICATOR_CONTROL": 3,
    "POWER_INDICATOR_CONTROL": 3,
    "POWER_CONTROLLER_CONTROL": 1,
}


class RootPort:
    """The port with an empty slot; `msi`: its capability, 32-bit address, per-vector masking."""

    def __init__(self, k: Kernel) -> None:
        self.k = k
        self.function = k.pci.device("root-port")
        self.function.enable()
        self.msi = Msi32Masked(k.bus, self.function.capability(CapabilityId.MSI), name="root_port_msi")
        self.express = ExpressCapability(
            k.bus, self.function.capability(CapabilityId.PCI_EXPRESS), name="root_port_express"
        )

    def enable_msi(self, vector: int, *, log2: int = 0, mask: int = 0) -> None:
        """Allocate 2**`log2` messages that start at `vector`, to processor 0, with these mask bits, and enable them."""
        self.msi.ADDRESS.write(int(MessageAddress.to(0)))
        self.msi.DATA.write(VECTOR=vector)
        self.msi.MASK.write(mask)
        self.msi.CONTROL.update(MULTIPLE_MESSAGE_ENABLE=log2, ENABLE=1)

    def command(self) -> None:
        """One command to the slot: its completion is an event of the message that the capability names (0)."""
        self.express.SLOT_CONTROL.write(**_COMMAND)

    def acknowledge(self) -> None:
        """Clear Command Completed: the event is satisfied."""
        self.express.SLOT_STATUS.write(COMMAND_COMPLETED=1)

    def report_errors(self) -> ErrorReporting:
        """Let non-fatal errors interrupt. The registers are beyond CF8h's reach: q35 only."""
        base = self.k.platform.ecam_base
        if base is None:
            self.k.unsupported(f"{self.k.platform.name} has no ECAM: advanced error reporting is out of reach")
        address = ecam_address(abi.ECAM_BASE, 0, self.function.device, 0, 0x100)
        errors = ErrorReporting(self.k.bus, address)
        header = Type1Header(self.k.bus, int(config_address(0, self.function.device, 0)), name="root_port")
        header.COMMAND.update(SERR_ENABLE=1)
        header.BRIDGE_CONTROL.write(SERR_ENABLE=1)
        self.express.DEVICE_CONTROL.write(NON_FATAL_ERROR_REPORTING_ENABLE=1)
        errors.ROOT_ERROR_COMMAND.write(NON_FATAL_ERROR_REPORTING_ENABLE=1)
        return errors
