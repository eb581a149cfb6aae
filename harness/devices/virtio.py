"""`VirtioPci`: a virtio device on PCI, driven by the guest through the modern interface.

OASIS VIRTIO 1.2, sections "Virtio Over PCI Bus" and "Device Initialization"; queues are in `virtqueue`.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.hardware.block import At, Block, Space, Value
from harness.hardware.pci import CapabilityId, Plain32
from harness.hardware.virtio import VIRTIO_NO_VECTOR, CfgType, CommonConfiguration, IsrStatusBlock, VirtioFeature
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.poll import wait_register

__all__ = ["VirtioPci"]


class _QueueAddresses(Block):
    """The 64-bit fields of the common configuration as halves: a driver must write them with 32-bit accesses.

    VIRTIO 1.2, "Driver Requirements: PCI Device Layout".
    """

    SPACE = Space.MMIO

    DESC_LOW = At(0x20, Plain32)
    DESC_HIGH = At(0x24, Plain32)
    DRIVER_LOW = At(0x28, Plain32)
    DRIVER_HIGH = At(0x2C, Plain32)
    DEVICE_LOW = At(0x30, Plain32)
    DEVICE_HIGH = At(0x34, Plain32)


class VirtioPci:
    """The device's structures, found through its vendor capabilities.

    `common`, `isr`: the structures; `config`: address of the device-specific one, `notify_base` and `multiplier`: of
    the doorbells (guest values).
    """

    def __init__(
        self, k: Kernel, name: str, *, bus_master: bool = True, vectors: Mapping[int, int] | None = None
    ) -> None:
        """`vectors`: MSI-X is enabled with these entries (table entry → vector); without them it is not."""
        self.k = k
        self.function = k.pci.device(name)
        self.name = self.function.name
        self.function.enable(bus_master=bus_master)
        self.common = CommonConfiguration(k.bus, self.structure(CfgType.COMMON), name=self.name)
        self.isr = IsrStatusBlock(k.bus, self.structure(CfgType.ISR), name=f"{self.name}_isr")
        self.config = self.structure(CfgType.DEVICE)
        self.notify_base = self.structure(CfgType.NOTIFY)
        self.multiplier = self._multiplier()
        if vectors is not None:
            self.msix = self.function.msix().enable(vectors)

    # --- where things are ---

    def structure(self, kind: CfgType) -> Value[int]:
        """Address of a structure: the BAR that its capability names plus the offset. Garbage if there is none."""
        value = self._value(kind.name.lower())
        self.k.program.step(
            f"find the {kind.name} structure of {self.name}",
            *self._find(kind),
            "push rax",
            "add eax, 4",  # bar
            "call pci_read",
            "movzx eax, al",
            f"lea eax, [rax*4+{self._function - (1 << 32) + 0x10}]",  # the address has bit 31 set
            "call pci_read",
            "and eax, -16",
            "pop rcx",
            "push rax",
            "lea eax, [rcx+8]",  # offset
            "call pci_read",
            "pop rcx",
            "add eax, ecx",
            f"mov {slot(value)}, rax",
        )
        return value

    def _multiplier(self) -> Value[int]:
        value = self._value("multiplier")
        lines = [*self._find(CfgType.NOTIFY), "add eax, 16", "call pci_read", f"mov {slot(value)}, rax"]
        self.k.program.step(f"notify_off_multiplier of {self.name}", *lines)
        return value

    def _find(self, kind: CfgType) -> list[str]:
        """Instructions: EAX = configuration address of the vendor capability of that cfg_type."""
        return [
            f"mov edi, {self._function:#x}",
            f"mov esi, {kind << 24 | CapabilityId.VENDOR_SPECIFIC:#x}",
            "mov ecx, 0xFF0000FF",
            "call pci_matching_capability",
        ]

    @property
    def _function(self) -> int:
        return int(self.function.IDENTITY.place.base)

    def _value(self, stem: str) -> Value[int]:
        program = self.k.program
        return program.add_value(program.fresh_value_name(f"{self.name}_{stem}"), int)

    # --- initialization ---

    def reset(self) -> None:
        """Write 0 to device_status and wait until it reads 0. A wait of more than 100 ms of guest time fails."""
        status = self.common.DEVICE_STATUS
        status.write(0)
        wait_register(
            self.k, status, ACKNOWLEDGE=0, DRIVER=0, DRIVER_OK=0, FEATURES_OK=0, DEVICE_NEEDS_RESET=0, FAILED=0
        )

    def negotiate(self, features: int = 0) -> None:
        """Reset, ACKNOWLEDGE, DRIVER, exactly these features and VERSION_1, FEATURES_OK: "Device Initialization" 1–5.

        The device leaves FEATURES_OK clear if it does not offer them all.
        """
        self.reset()
        self.common.DEVICE_STATUS.write(ACKNOWLEDGE=1)
        self.common.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1)
        chosen = int(features) | VirtioFeature.VERSION_1
        for half in (0, 1):
            self.common.DRIVER_FEATURE_SELECT.write(half)
            self.common.DRIVER_FEATURE.write(chosen >> 32 * half & 0xFFFF_FFFF)
        self.common.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1, FEATURES_OK=1)

    def start(self) -> None:
        """DRIVER_OK: the device may use its queues from now on."""
        self.common.DEVICE_STATUS.write(ACKNOWLEDGE=1, DRIVER=1, FEATURES_OK=1, DRIVER_OK=1)

    def configure_queue(
        self, index: int, areas: tuple[int, int, int], *, size: int, vector: int = VIRTIO_NO_VECTOR, name: str
    ) -> Value[int]:
        """Write the addresses of a queue's descriptor, driver and device areas to the device, and enable the queue.

        `vector`: index of an MSI-X table entry. Returns the address of its doorbell.
        """
        common = self.common
        common.QUEUE_SELECT.write(index)
        common.QUEUE_SIZE.write(size)
        common.QUEUE_MSIX_VECTOR.write(vector)
        registers = _QueueAddresses(self.k.bus, common.base, name=name)
        halves = (
            (registers.DESC_LOW, registers.DESC_HIGH),
            (registers.DRIVER_LOW, registers.DRIVER_HIGH),
            (registers.DEVICE_LOW, registers.DEVICE_HIGH),
        )
        for (low, high), address in zip(halves, areas, strict=True):
            low.write(address & 0xFFFF_FFFF)
            high.write(address >> 32)
        program = self.k.program
        doorbell = program.add_value(program.fresh_value_name(f"{name}_doorbell"), int)
        program.step(
            f"doorbell of {name}",
            *self.k.bus.load(common.QUEUE_NOTIFY_OFF.place),
            f"imul rax, {slot(self.multiplier)}",
            f"add rax, {slot(self.notify_base)}",
            f"mov {slot(doorbell)}, rax",
        )
        common.QUEUE_ENABLE.write(1)
        return doorbell
