"""AHCI: host registers, port registers, command list, tables.

Source: Serial ATA AHCI 1.3.1 Specification, sections 3.1 "Generic Host Control", 3.3 "Port Registers", 4.2 "Port Memory
Usage"; FIS layouts: Serial ATA Revision 3.x, "Register - Host to Device".

Access kinds: the type column of the same sections, which has reserved bits as read-only 0.
"""

from __future__ import annotations

from harness.hardware.ata import AtaCommand
from harness.hardware.block import Array, At, Block, Space
from harness.hardware.pci import Plain32
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "ABAR",
    "COMMAND_HEADER_SIZE",
    "COMMAND_LIST_SIZE",
    "COMMAND_TABLE_ALIGNMENT",
    "COMMAND_TABLE_PRDT_OFFSET",
    "PRD_SIZE",
    "RECEIVED_FIS_SIZE",
    "SIGNATURE_ATA",
    "SIGNATURE_ATAPI",
    "Ahci",
    "AhciPort",
    "Capabilities",
    "CommandHeader",
    "GlobalHostControl",
    "InterruptStatus",
    "PhysicalRegionDescriptor",
    "PortCommand",
    "PortCommandIssue",
    "PortCommandListBase",
    "PortFisBase",
    "PortInterruptEnable",
    "PortInterruptStatus",
    "PortSataControl",
    "PortSataStatus",
    "PortTaskFileData",
    "RegisterHostToDevice",
]

ABAR = 5  # the BAR
COMMAND_LIST_SIZE = 1024  # 32 headers, aligned to its size
COMMAND_HEADER_SIZE = 32
RECEIVED_FIS_SIZE = 256  # aligned to its size
COMMAND_TABLE_ALIGNMENT = 128
COMMAND_TABLE_PRDT_OFFSET = 0x80
PRD_SIZE = 16
SIGNATURE_ATA = 0x0000_0101
SIGNATURE_ATAPI = 0xEB14_0101


class Capabilities(Register, width=32, reserved="zero"):
    """CAP: HBA Capabilities."""

    NP = Field(4, 0, access="ro")  # number of ports minus 1
    SXS = Field(5, access="ro")
    EMS = Field(6, access="ro")
    CCCS = Field(7, access="ro")
    NCS = Field(12, 8, access="ro")  # number of command slots minus 1
    PSC = Field(13, access="ro")
    SSC = Field(14, access="ro")
    PMD = Field(15, access="ro")
    FBSS = Field(16, access="ro")
    SPM = Field(17, access="ro")
    SAM = Field(18, access="ro")
    ISS = Field(23, 20, access="ro")
    SCLO = Field(24, access="ro")
    SAL = Field(25, access="ro")
    SALP = Field(26, access="ro")
    SSS = Field(27, access="ro")
    SMPS = Field(28, access="ro")
    SSNTF = Field(29, access="ro")
    SNCQ = Field(30, access="ro")
    S64A = Field(31, access="ro")


class GlobalHostControl(Register, width=32, reserved="zero"):
    """GHC."""

    HR = Field(0, access="w1s", effect="resets the HBA")  # HBA reset
    IE = Field(1)  # interrupt enable
    MRSM = Field(2, access="ro")
    AE = Field(31, effect="leaves AHCI mode")  # AHCI enable


class InterruptStatus(Register, width=32):
    """IS: bit n is port n; write 1 to clear, after the port's own."""

    IPS = Field(31, 0, access="w1c")


class PortInterruptStatus(Register, width=32, reserved="zero"):
    """PxIS: write 1 to clear (UFS, PCS and PRCS are cleared at their source)."""

    DHRS = Field(0, access="w1c")  # device to host register FIS
    PSS = Field(1, access="w1c")  # PIO setup FIS
    DSS = Field(2, access="w1c")  # DMA setup FIS
    SDBS = Field(3, access="w1c")  # set device bits FIS
    UFS = Field(4, access="ro")  # unknown FIS
    DPS = Field(5, access="w1c")  # descriptor processed
    PCS = Field(6, access="ro")  # port connect change
    DMPS = Field(7, access="w1c")  # device mechanical presence
    PRCS = Field(22, access="ro")  # PhyRdy change
    IPMS = Field(23, access="w1c")  # incorrect port multiplier
    OFS = Field(24, access="w1c")  # overflow
    INFS = Field(26, access="w1c")  # interface non-fatal error
    IFS = Field(27, access="w1c")  # interface fatal error
    HBDS = Field(28, access="w1c")  # host bus data error
    HBFS = Field(29, access="w1c")  # host bus fatal error
    TFES = Field(30, access="w1c")  # task file error
    CPDS = Field(31, access="w1c")  # cold port detect


class PortInterruptEnable(Register, width=32, reserved="zero"):
    """PxIE: which bits of PxIS raise the port's interrupt."""

    DHRE = Field(0)
    PSE = Field(1)
    DSE = Field(2)
    SDBE = Field(3)
    UFE = Field(4)
    DPE = Field(5)
    PCE = Field(6)
    DMPE = Field(7, optional=True)
    PRCE = Field(22)
    IPME = Field(23)
    OFE = Field(24)
    INFE = Field(26)
    IFE = Field(27)
    HBDE = Field(28)
    HBFE = Field(29)
    TFEE = Field(30)
    CPDE = Field(31, optional=True)


class PortCommand(Register, width=32, reserved="zero"):
    """PxCMD."""

    ST = Field(0, effect="starts the command list")  # start the command list
    SUD = Field(1, optional=True)
    POD = Field(2, optional=True)
    CLO = Field(3, access="w1s", effect="clears BSY and DRQ")
    FRE = Field(4, effect="starts FIS reception")  # FIS receive enable
    CCS = Field(12, 8, access="ro")
    MPSS = Field(13, access="ro")
    FR = Field(14, access="ro")  # FIS receive running
    CR = Field(15, access="ro")  # command list running
    CPS = Field(16, access="ro")
    PMA = Field(17, optional=True)
    HPCP = Field(18, access="ro")
    MPSP = Field(19, access="ro")
    CPD = Field(20, access="ro")
    ESP = Field(21, access="ro")
    FBSCP = Field(22, access="ro")
    APSTE = Field(23, optional=True)
    ATAPI = Field(24)
    DLAE = Field(25)
    ALPE = Field(26, optional=True)
    ASP = Field(27, optional=True)
    ICC = Field(31, 28, effect="requests a state of the link")


class PortTaskFileData(Register, width=32, reserved="zero"):
    """PxTFD: the device's status and error."""

    STS_ERR = Field(0, access="ro")
    STS_COMMAND_SPECIFIC_2_1 = Field(2, 1, access="ro")
    STS_DRQ = Field(3, access="ro")
    STS_COMMAND_SPECIFIC_6_4 = Field(6, 4, access="ro")
    STS_BSY = Field(7, access="ro")
    ERR = Field(15, 8, access="ro")


class PortSataStatus(Register, width=32, reserved="zero"):
    """PxSSTS; DET 3: device present and communication established."""

    DET = Field(3, 0, access="ro")
    SPD = Field(7, 4, access="ro")
    IPM = Field(11, 8, access="ro")


class PortSataControl(Register, width=32, reserved="zero"):
    """PxSCTL."""

    DET = Field(3, 0, effect="initialises the interface")
    SPD = Field(7, 4)
    IPM = Field(11, 8)


class PortCommandListBase(Register, width=32, reserved="zero"):
    """PxCLB: bits 31:10 of the command list's address."""

    CLB = Field(31, 10)


class PortFisBase(Register, width=32, reserved="zero"):
    """PxFB: bits 31:8 of the address for received FISes."""

    FB = Field(31, 8)


class PortCommandIssue(Register, width=32):
    """PxCI: bit n issues command slot n; the HBA clears it when the command is complete."""

    CI = Field(31, 0, access="w1s", effect="issues the slot's command")


class AhciPort(Block):
    """One port."""

    SPACE = Space.MMIO

    CLB = At(0x00, PortCommandListBase)
    CLBU = At(0x04, Plain32)
    FB = At(0x08, PortFisBase)
    FBU = At(0x0C, Plain32)
    IS = At(0x10, PortInterruptStatus)
    IE = At(0x14, PortInterruptEnable)
    CMD = At(0x18, PortCommand)
    TFD = At(0x20, PortTaskFileData, access="ro")
    SIG = At(0x24, Plain32, access="ro")
    SSTS = At(0x28, PortSataStatus, access="ro")
    SCTL = At(0x2C, PortSataControl)
    SERR = At(0x30, Plain32, access="w1c")
    SACT = At(0x34, Plain32, access="w1s", effect="marks native commands as outstanding")
    CI = At(0x38, PortCommandIssue)


class Ahci(Block):
    """The HBA; the base is BAR 5."""

    SPACE = Space.MMIO
    NAME = "ahci"

    CAP = At(0x00, Capabilities, access="ro")
    GHC = At(0x04, GlobalHostControl)
    IS = At(0x08, InterruptStatus)
    PI = At(0x0C, Plain32, access="ro")  # ports implemented
    VS = At(0x10, Plain32, access="ro")
    CCC_CTL = At(0x14, Plain32, effect="reserved where CAP.CCCS is 0")
    CCC_PORTS = At(0x18, Plain32, effect="reserved where CAP.CCCS is 0")
    CAP2 = At(0x24, Plain32, access="ro")
    BOHC = At(0x28, Plain32, effect="reserved where CAP2.BOH is 0")
    PORT = Array(0x100, AhciPort, count=32, stride=0x80)


class CommandHeader(Register, width=128):
    """First 16 bytes of a command header (32 bytes; the rest is reserved)."""

    CFL = Field(4, 0)  # length of the command FIS in dwords
    A = Field(5)  # ATAPI
    W = Field(6)  # write to the device
    P = Field(7)  # prefetchable
    R = Field(8)
    B = Field(9)
    C = Field(10)  # clear BSY upon R_OK
    PMP = Field(15, 12)
    PRDTL = Field(31, 16)  # number of PRDs
    PRDBC = Field(63, 32)  # bytes transferred
    CTBA = Field(127, 71)  # command table address >> 7


class PhysicalRegionDescriptor(Register, width=128):
    """One entry of the PRD table."""

    DBA = Field(63, 1)  # data base address >> 1
    DBC = Field(117, 96)  # byte count minus 1, odd
    I = Field(127)  # noqa: E741 - the specification's name: interrupt on completion

    @classmethod
    def to(cls, address: int, size: int, *, interrupt: bool = False) -> PhysicalRegionDescriptor:
        """The descriptor of `size` bytes at `address`; raises `FieldError` for odd ones or more than 4 MiB."""
        if address & 1 or size & 1 or not 2 <= size <= 1 << 22:
            raise FieldError(f"a PRD's address is even and its size even, 2 to 4 MiB: got {address:#x}, {size}")
        return cls.of(DBA=address >> 1, DBC=size - 1, I=interrupt)


class RegisterHostToDevice(Register, width=256):
    """The first 20 bytes of a command table: Register - Host to Device FIS (type 27h; the rest of 32 bytes is 0)."""

    FIS_TYPE = Field(7, 0)
    PM_PORT = Field(11, 8)
    C = Field(15)  # 1: command
    COMMAND = Field(23, 16, AtaCommand)
    FEATURES_7_0 = Field(31, 24)
    LBA_23_0 = Field(55, 32)
    DEVICE = Field(63, 56)
    LBA_47_24 = Field(87, 64)
    FEATURES_15_8 = Field(95, 88)
    COUNT = Field(111, 96)
    ICC = Field(119, 112)
    CONTROL = Field(127, 120)

    @classmethod
    def to(cls, command: AtaCommand, lba: int = 0, count: int = 0) -> RegisterHostToDevice:
        """A command on 48-bit `lba` and `count` sectors, LBA mode."""
        return cls.of(
            FIS_TYPE=0x27,
            C=1,
            COMMAND=command,
            DEVICE=0x40,
            LBA_23_0=lba & 0xFF_FFFF,
            LBA_47_24=lba >> 24,
            COUNT=count,
        )
