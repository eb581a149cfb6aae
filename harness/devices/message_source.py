"""`message_source`: functions of three makes that send an MSI-X message for each request: what MSI-X probes need."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from harness.devices.e1000e import E1000eCard
from harness.devices.entropy import EntropyDevice
from harness.devices.nvme import NvmeController
from harness.hardware.nvme import NvmOpcode
from harness.kernel.builder import Kernel
from harness.kernel.msix import Msix
from harness.kernel.pci import PciFunction

__all__ = ["MESSAGE_SOURCES", "E1000eSource", "EntropySource", "MessageSource", "NvmeSource", "message_source"]

# Longer than a 82574 holds its next message back (128 us); in real time its timer may also be late.
_INTERVAL_US, _REAL_INTERVAL_US = 500, 20_000


class MessageSource(Protocol):
    """A function with MSI-X on and one table entry for its requests."""

    function: PciFunction
    msix: Msix

    def request(self) -> None:
        """One request, which ends in one message."""

    def wait_answered(self) -> None:
        """Wait until every request so far has led to its message, sent or pending."""

    def acknowledge(self) -> None:
        """Take the cause of the next request away: what a handler of its INTx# does."""


class EntropySource(EntropyDevice):
    """virtio-rng: a buffer filled."""

    def __init__(self, k: Kernel, entry: int) -> None:
        super().__init__(k, entry=entry)
        self.msix.enable()
        self.begin()

    def acknowledge(self) -> None:
        """Take the cause of the next request away."""
        self.isr.ISR.read()


class NvmeSource(NvmeController):
    """NVMe: a flush through an I/O queue of its own."""

    def __init__(self, k: Kernel, entry: int) -> None:
        super().__init__(k, start=False)
        nowhere = k.buffer("admin_messages", 8)
        self.msix.entry(0, 0)
        self.msix.table.ENTRY[0].ADDRESS.write(nowhere.address)  # those of the admin queue interrupt no processor
        self.msix.enable()
        self.begin()
        self.io = self.queue(1, 8, vector=entry)

    def request(self) -> None:
        """One request."""
        self.io.command(NvmOpcode.FLUSH, cid=self.io.submitted, nsid=1)
        self.io.ring()

    def wait_answered(self) -> None:
        """Wait until it has led to its message, sent or pending."""
        self.io.wait(self.io.submitted)
        self.io.consume(self.io.submitted)

    def acknowledge(self) -> None:
        """Take the cause of the next request away."""
        self.io.consume(self.io.submitted + 1)


class E1000eSource(E1000eCard):
    """82574: the cause of receive queue 0, set by software."""

    def __init__(self, k: Kernel, entry: int) -> None:
        super().__init__(k)
        self.msix = self.function.msix()
        self.msix.enable()
        self.IVAR.write(RXQ0=entry, RXQ0_VALID=1)
        self.EIAC.write(RXQ0=1)  # the message takes its cause away
        self.IAM.write(0)
        self.CTRL_EXT.update(IAME=1, PBA_SUPPORT=1)  # IMS keeps what IAM does not name
        self.IMS.write(RXQ0=1)

    def request(self) -> None:
        """One request."""
        self.ICS.write(RXQ0=1)

    def wait_answered(self) -> None:
        """Wait until it has led to its message, sent or pending."""
        self.k.delay(us=self.k.by_clock(_INTERVAL_US, _REAL_INTERVAL_US))
        self.ICR.write(RXQ0=1)

    def acknowledge(self) -> None:
        """Take the cause of the next request away."""
        self.ICR.read()


MESSAGE_SOURCES: Mapping[str, Callable[[Kernel, int], MessageSource]] = {
    "virtio-rng": EntropySource,
    "nvme": NvmeSource,
    "e1000e": E1000eSource,
}
"""Names of `needs` that can be a source."""


def message_source(k: Kernel, device: str, entry: int) -> MessageSource:
    """The device with MSI-X enabled and table entry `entry` (still masked) for its requests. Raises `KeyError`."""
    return MESSAGE_SOURCES[device](k, entry)
