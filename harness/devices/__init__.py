"""Device drivers for guests, with the register and command definitions that belong to them: the public sub-package.

One module per device. Drivers stage guest code through `k` and import the builder; the builder imports no driver.
"""

from __future__ import annotations

from harness.devices.ahci import AhciDisk
from harness.devices.e1000e import E1000E_RING_SIZE, E1000eCard
from harness.devices.edu import EduDevice
from harness.devices.entropy import EntropyDevice
from harness.devices.floppy import FloppyDrive
from harness.devices.ide import IdeDisk
from harness.devices.life_cycle import LIFE_CYCLE_WORK, LifeCycle
from harness.devices.message_source import MESSAGE_SOURCES, E1000eSource, MessageSource, message_source
from harness.devices.nvme import NvmeController, NvmeQueue
from harness.devices.packed_queue import PackedQueue, Position
from harness.devices.root_port import RootPort
from harness.devices.virtio import VirtioPci
from harness.devices.virtio_blk import NO_BLOCK_STATUS, BlockOperation, VirtioDisk
from harness.devices.virtio_legacy import LegacyQueue, LegacyVirtio
from harness.devices.virtqueue import Part, SplitQueue
from harness.devices.vtd import Domain, RemappingUnit
from harness.devices.xhci import XHCI_INTERRUPTERS, XhciMsi
from harness.hardware.ahci import Ahci, AhciPort
from harness.hardware.ata import AtaCommand
from harness.hardware.dma8237 import TransferType
from harness.hardware.e1000e import E1000e, InterruptCause, InterruptThrottling, ReceiveDescriptor, TransmitDescriptor
from harness.hardware.edu import EDU_BUFFER_OFFSET, EDU_BUFFER_SIZE, EDU_DMA_INTERRUPT, Edu, TransferDirection
from harness.hardware.floppy import Floppy, FloppyCommand
from harness.hardware.ide import BusMaster, PrdEntry, TaskFile
from harness.hardware.nvme import (
    AdminOpcode,
    AsynchronousEvent,
    CreateCompletionQueueDword11,
    CreateQueueDword10,
    CreateSubmissionQueueDword11,
    FeatureCapabilities,
    FeatureId,
    FeatureSelect,
    InterruptCoalescing,
    InterruptVectorConfiguration,
    Nvme,
    NvmOpcode,
)
from harness.hardware.pcie import AER_CAPABILITY_ID
from harness.hardware.uart16550 import COM2, InterruptId, Uart16550
from harness.hardware.virtio import VIRTIO_NO_VECTOR, CommonConfiguration, LegacyHeader, VirtioFeature
from harness.hardware.virtio_devices import (
    ENTROPY_REQUESTQ,
    NET_HEADER_SIZE,
    NET_RECEIVEQ,
    NET_TRANSMITQ,
    SECTOR_SIZE,
    BlockConfiguration,
    BlockRequest,
    BlockStatus,
    ConsoleQueue,
    NetConfiguration,
    NetFeature,
)
from harness.hardware.virtqueue import EventFlags, EventSuppression, SplitQueueLayout
from harness.hardware.vtd import VtdUnit
from harness.hardware.vtd_structures import FaultReason, SourceValidation
from harness.hardware.xhci import InterrupterRegisters, XhciCapability, XhciOperational

__all__ = [
    "AER_CAPABILITY_ID",
    "COM2",
    "E1000E_RING_SIZE",
    "EDU_BUFFER_OFFSET",
    "EDU_BUFFER_SIZE",
    "EDU_DMA_INTERRUPT",
    "ENTROPY_REQUESTQ",
    "LIFE_CYCLE_WORK",
    "MESSAGE_SOURCES",
    "NET_HEADER_SIZE",
    "NET_RECEIVEQ",
    "NET_TRANSMITQ",
    "NO_BLOCK_STATUS",
    "SECTOR_SIZE",
    "VIRTIO_NO_VECTOR",
    "XHCI_INTERRUPTERS",
    "AdminOpcode",
    "Ahci",
    "AhciDisk",
    "AhciPort",
    "AsynchronousEvent",
    "AtaCommand",
    "BlockConfiguration",
    "BlockOperation",
    "BlockRequest",
    "BlockStatus",
    "BusMaster",
    "CommonConfiguration",
    "ConsoleQueue",
    "CreateCompletionQueueDword11",
    "CreateQueueDword10",
    "CreateSubmissionQueueDword11",
    "Domain",
    "E1000e",
    "E1000eCard",
    "E1000eSource",
    "Edu",
    "EduDevice",
    "EntropyDevice",
    "EventFlags",
    "EventSuppression",
    "FaultReason",
    "FeatureCapabilities",
    "FeatureId",
    "FeatureSelect",
    "Floppy",
    "FloppyCommand",
    "FloppyDrive",
    "IdeDisk",
    "InterruptCause",
    "InterruptCoalescing",
    "InterruptId",
    "InterruptThrottling",
    "InterruptVectorConfiguration",
    "InterrupterRegisters",
    "LegacyHeader",
    "LegacyQueue",
    "LegacyVirtio",
    "LifeCycle",
    "MessageSource",
    "NetConfiguration",
    "NetFeature",
    "NvmOpcode",
    "Nvme",
    "NvmeController",
    "NvmeQueue",
    "PackedQueue",
    "Part",
    "Position",
    "PrdEntry",
    "ReceiveDescriptor",
    "RemappingUnit",
    "RootPort",
    "SourceValidation",
    "SplitQueue",
    "SplitQueueLayout",
    "TaskFile",
    "TransferDirection",
    "TransferType",
    "TransmitDescriptor",
    "Uart16550",
    "VirtioDisk",
    "VirtioFeature",
    "VirtioPci",
    "VtdUnit",
    "XhciCapability",
    "XhciMsi",
    "XhciOperational",
    "message_source",
]
