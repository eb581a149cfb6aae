"""NVMe: controller registers, queue entries, the commands that a test needs.

Source: NVM Express Base Specification 1.4, sections 3.1 "Register Definition", 4.2 "Submission Queue Entry - Command
Format", 4.6 "Completion Queue Entry", 5 "Admin Command Set"; 6 "NVM Command Set".

Access kinds: the type column of the same section, by which all reserved bits are read-only 0.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.pci import Plain32
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "ADMIN_QUEUE",
    "COMPLETION_ENTRY_SIZE",
    "DOORBELL_OFFSET",
    "SUBMISSION_ENTRY_SIZE",
    "AdminOpcode",
    "AdminQueueAttributes",
    "AsynchronousEvent",
    "CommandDword0",
    "CompletionEntry",
    "ControllerCapabilities",
    "ControllerConfiguration",
    "ControllerStatus",
    "CreateCompletionQueueDword11",
    "CreateQueueDword10",
    "CreateSubmissionQueueDword11",
    "FeatureCapabilities",
    "FeatureId",
    "FeatureSelect",
    "InterruptCoalescing",
    "InterruptMask",
    "InterruptVectorConfiguration",
    "NvmOpcode",
    "Nvme",
    "QueueAddress",
    "completion_doorbell",
    "prp_list_needed",
    "submission_doorbell",
]

ADMIN_QUEUE = 0
SUBMISSION_ENTRY_SIZE = 64
COMPLETION_ENTRY_SIZE = 16
DOORBELL_OFFSET = 0x1000


class AdminOpcode(IntEnum):
    """Admin commands."""

    DELETE_IO_SUBMISSION_QUEUE = 0x00
    CREATE_IO_SUBMISSION_QUEUE = 0x01
    GET_LOG_PAGE = 0x02
    DELETE_IO_COMPLETION_QUEUE = 0x04
    CREATE_IO_COMPLETION_QUEUE = 0x05
    IDENTIFY = 0x06
    ABORT = 0x08
    SET_FEATURES = 0x09
    GET_FEATURES = 0x0A
    ASYNCHRONOUS_EVENT_REQUEST = 0x0C


class NvmOpcode(IntEnum):
    """NVM commands."""

    FLUSH = 0x00
    WRITE = 0x01
    READ = 0x02


class FeatureId(IntEnum):
    """Features of Set Features and Get Features."""

    NUMBER_OF_QUEUES = 0x07
    INTERRUPT_COALESCING = 0x08
    INTERRUPT_VECTOR_CONFIGURATION = 0x09


class FeatureSelect(IntEnum):
    """SEL of Get Features: CDW10 bits 10:8."""

    CURRENT = 0
    DEFAULT = 1
    SAVED = 2
    SUPPORTED_CAPABILITIES = 3


class ControllerCapabilities(Register, width=64, reserved="zero"):
    """CAP."""

    MQES = Field(15, 0, access="ro")  # maximum queue entries minus 1
    CQR = Field(16, access="ro")
    AMS = Field(18, 17, access="ro")
    TO = Field(31, 24, access="ro")  # in units of 500 ms
    DSTRD = Field(35, 32, access="ro")  # doorbell stride is 4 << DSTRD bytes
    NSSRS = Field(36, access="ro")
    CSS = Field(44, 37, access="ro")
    BPS = Field(45, access="ro")
    MPSMIN = Field(51, 48, access="ro")  # smallest page is 4096 << MPSMIN
    MPSMAX = Field(55, 52, access="ro")
    PMRS = Field(56, access="ro")
    CMBS = Field(57, access="ro")


class InterruptMask(Register, width=32):
    """INTMS and INTMC: bit n is vector n; for INTx and MSI, not for MSI-X."""

    VECTORS = Field(31, 0)


class ControllerConfiguration(Register, width=32, reserved="zero"):
    """CC."""

    EN = Field(0, effect="enables or resets the controller")
    CSS = Field(6, 4)
    MPS = Field(10, 7)  # page size is 4096 << MPS
    AMS = Field(13, 11)
    SHN = Field(15, 14, effect="begins a shutdown")
    IOSQES = Field(19, 16)  # 6: 64-byte entries
    IOCQES = Field(23, 20)  # 4: 16-byte entries


class ControllerStatus(Register, width=32, reserved="zero"):
    """CSTS."""

    RDY = Field(0, access="ro")
    CFS = Field(1, access="ro")
    SHST = Field(3, 2, access="ro")
    NSSRO = Field(4, access="w1c")
    PP = Field(5, access="ro")


class AdminQueueAttributes(Register, width=32, reserved="zero"):
    """AQA: sizes minus 1."""

    ASQS = Field(11, 0)
    ACQS = Field(27, 16)


class QueueAddress(Register, width=64, reserved="zero"):
    """ASQ or ACQ: page-aligned physical address."""

    ADDRESS_63_12 = Field(63, 12)


class Nvme(Block):
    """Controller registers at BAR 0; doorbells follow at 1000h."""

    SPACE = Space.MMIO
    NAME = "nvme"

    CAP = At(0x00, ControllerCapabilities, access="ro")
    VS = At(0x08, Plain32, access="ro")
    INTMS = At(0x0C, InterruptMask, access="w1s")  # write 1 masks
    INTMC = At(0x10, InterruptMask, access="w1c")  # write 1 unmasks
    CC = At(0x14, ControllerConfiguration)
    CSTS = At(0x1C, ControllerStatus)
    NSSR = At(0x20, Plain32, effect="resets the NVM subsystem")
    AQA = At(0x24, AdminQueueAttributes)
    ASQ = At(0x28, QueueAddress)
    ACQ = At(0x30, QueueAddress)


class CommandDword0(Register, width=32):
    """CDW0 of every command; dword 1 is NSID, dwords 6 to 9 PRP1 and PRP2, 10 to 15 the command's own."""

    OPC = Field(7, 0)
    FUSE = Field(9, 8)
    PSDT = Field(15, 14)  # 0: PRPs
    CID = Field(31, 16)


class CreateQueueDword10(Register, width=32):
    """CDW10 of Create I/O Completion Queue and Create I/O Submission Queue."""

    QID = Field(15, 0)
    QSIZE = Field(31, 16)  # minus 1


class CreateCompletionQueueDword11(Register, width=32):
    """CDW11 of Create I/O Completion Queue."""

    PC = Field(0)  # physically contiguous
    IEN = Field(1)
    IV = Field(31, 16)


class CreateSubmissionQueueDword11(Register, width=32):
    """CDW11 of Create I/O Submission Queue."""

    PC = Field(0)
    QPRIO = Field(2, 1)
    CQID = Field(31, 16)


class FeatureCapabilities(Register, width=32):
    """Dword 0 of Get Features with SEL = supported capabilities."""

    SAVEABLE = Field(0)
    NAMESPACE_SPECIFIC = Field(1)
    CHANGEABLE = Field(2)


class InterruptCoalescing(Register, width=32):
    """CDW11 of the feature Interrupt Coalescing."""

    THR = Field(7, 0)  # entries minus 1
    TIME = Field(15, 8)  # in units of 100 us


class InterruptVectorConfiguration(Register, width=32):
    """CDW11 of the feature Interrupt Vector Configuration."""

    IV = Field(15, 0)
    CD = Field(16)  # coalescing disable


class AsynchronousEvent(Register, width=32):
    """Dword 0 of the completion of an Asynchronous Event Request."""

    TYPE = Field(2, 0)  # 0: error status
    INFORMATION = Field(15, 8)  # of error status, 0: invalid doorbell register, 1: invalid doorbell write value
    LOG_PAGE = Field(23, 16)


class CompletionEntry(Register, width=128):
    """Completion queue entry."""

    RESULT = Field(31, 0)  # dword 0, command specific
    SQHD = Field(79, 64)
    SQID = Field(95, 80)
    CID = Field(111, 96)
    P = Field(112)  # phase tag
    SC = Field(120, 113)  # status code
    SCT = Field(123, 121)  # status code type
    CRD = Field(125, 124)
    M = Field(126)
    DNR = Field(127)


def submission_doorbell(queue: int, dstrd: int = 0) -> int:
    """Offset in BAR 0 of the tail doorbell of submission queue `queue` (CAP.DSTRD = `dstrd`)."""
    return DOORBELL_OFFSET + 2 * queue * (4 << dstrd)


def completion_doorbell(queue: int, dstrd: int = 0) -> int:
    """Offset in BAR 0 of the head doorbell of completion queue `queue`."""
    return DOORBELL_OFFSET + (2 * queue + 1) * (4 << dstrd)


def prp_list_needed(address: int, size: int, page: int = 4096) -> bool:
    """Whether a buffer needs a PRP list behind PRP2, touching more than two pages; raises `FieldError` if empty."""
    if size <= 0:
        raise FieldError(f"an NVMe transfer of {size} bytes")
    return (address + size - 1) // page - address // page > 1
