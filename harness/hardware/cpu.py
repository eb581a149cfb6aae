"""Control, debug and flags registers of the processor, and those of its floating-point units.

Source: Intel 64 and IA-32 SDM vol. 3A, "System Architecture Overview": "Control Registers", "Extended Control
Registers", "System Flags and Fields in the EFLAGS Register"; vol. 3B, "Debug Registers"; vol. 1, "x87 FPU Status
Register", "x87 FPU Control Word", "MXCSR Control and Status Register".

Access kinds: the same sections; setting a reserved bit of CR3, CR4 and CR8 is #GP, the others are preserved.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "BreakpointCondition",
    "BreakpointLength",
    "ControlRegisters",
    "Cr0",
    "Cr2",
    "Cr3",
    "Cr3Pcid",
    "Cr4",
    "Cr8",
    "DebugRegisters",
    "Dr6",
    "Dr7",
    "DrAddress",
    "FpuControlWord",
    "FpuStatusWord",
    "Mxcsr",
    "PrecisionControl",
    "Rflags",
    "RoundingControl",
    "Xcr0",
]


class Cr0(Register, width=64, reserved="preserve"):
    """CR0. 60000010h at reset."""

    PE = Field(0)
    MP = Field(1)
    EM = Field(2)
    TS = Field(3)
    ET = Field(4, access="ro")
    NE = Field(5)
    WP = Field(16)
    AM = Field(18)
    NW = Field(29)
    CD = Field(30)
    PG = Field(31)


class Cr2(Register, width=64):
    """CR2: the linear address of the last page fault."""


class Cr3(Register, width=64, reserved="fault"):
    """CR3 with CR4.PCIDE = 0."""

    PWT = Field(3)
    PCD = Field(4)
    PAGE_DIRECTORY_BASE = Field(51, 12)  # physical address >> 12


class Cr3Pcid(Register, width=64):
    """CR3 with CR4.PCIDE = 1."""

    PCID = Field(11, 0)
    PAGE_DIRECTORY_BASE = Field(51, 12)
    NO_INVALIDATE = Field(63, access="wo")


class Cr4(Register, width=64, reserved="fault"):
    """CR4."""

    VME = Field(0)
    PVI = Field(1)
    TSD = Field(2)
    DE = Field(3)
    PSE = Field(4)
    PAE = Field(5)
    MCE = Field(6)
    PGE = Field(7)
    PCE = Field(8)
    OSFXSR = Field(9)
    OSXMMEXCPT = Field(10)
    UMIP = Field(11)
    LA57 = Field(12)
    VMXE = Field(13)
    SMXE = Field(14)
    FSGSBASE = Field(16)
    PCIDE = Field(17)
    OSXSAVE = Field(18)
    KL = Field(19)
    SMEP = Field(20)
    SMAP = Field(21)
    PKE = Field(22)
    CET = Field(23)
    PKS = Field(24)
    UINTR = Field(25)
    LAM_SUP = Field(28)


class Cr8(Register, width=64, reserved="fault"):
    """CR8: the task priority class, bits 7:4 of the local APIC's TPR."""

    TPL = Field(3, 0)


class ControlRegisters(Block):
    """MOV to and from CRn."""

    SPACE = Space.CONTROL
    NAME = "cr"

    CR0 = At(0, Cr0)
    CR2 = At(2, Cr2)
    CR3 = At(3, Cr3)
    CR4 = At(4, Cr4)
    CR8 = At(8, Cr8)


class Xcr0(Register, width=64):
    """XCR0, by XGETBV and XSETBV with ECX = 0: the state components that XSAVE manages."""

    X87 = Field(0)
    SSE = Field(1)
    AVX = Field(2)
    BNDREG = Field(3)
    BNDCSR = Field(4)
    OPMASK = Field(5)
    ZMM_HI256 = Field(6)
    HI16_ZMM = Field(7)
    PKRU = Field(9)


class Rflags(Register, width=64):
    """RFLAGS. Bit 1 always reads 1: `Rflags.of(2, IF=1)` is 202h."""

    CF = Field(0)
    PF = Field(2)
    AF = Field(4)
    ZF = Field(6)
    SF = Field(7)
    TF = Field(8)
    IF = Field(9)
    DF = Field(10)
    OF = Field(11)
    IOPL = Field(13, 12)
    NT = Field(14)
    RF = Field(16)
    VM = Field(17)
    AC = Field(18)
    VIF = Field(19)
    VIP = Field(20)
    ID = Field(21)


class BreakpointCondition(IntEnum):
    """R/Wn of DR7."""

    EXECUTION = 0
    WRITE = 1
    IO = 2  # with CR4.DE = 1
    READ_WRITE = 3


class BreakpointLength(IntEnum):
    """LENn of DR7; an execution breakpoint needs BYTE."""

    BYTE = 0
    WORD = 1
    QWORD = 2
    DWORD = 3


class DrAddress(Register, width=64):
    """DR0 to DR3: the linear address of a breakpoint."""


class Dr6(Register, width=64, reserved="preserve"):
    """DR6, the debug status register: FFFF0FF0h when nothing happened; software clears what it has read."""

    B0 = Field(0)
    B1 = Field(1)
    B2 = Field(2)
    B3 = Field(3)
    BLD = Field(11)  # 0: bus lock detected (reads 1 where not supported)
    BD = Field(13)  # debug register access (DR7.GD)
    BS = Field(14)  # single step
    BT = Field(15)  # task switch
    RTM = Field(16)  # 0: inside an RTM region


class Dr7(Register, width=64, reserved="preserve"):
    """DR7, the debug control register: 400h at reset (bit 10 is always 1)."""

    L0 = Field(0)
    G0 = Field(1)
    L1 = Field(2)
    G1 = Field(3)
    L2 = Field(4)
    G2 = Field(5)
    L3 = Field(6)
    G3 = Field(7)
    LE = Field(8)
    GE = Field(9)
    RTM = Field(11)
    GD = Field(13)
    RW0 = Field(17, 16, BreakpointCondition)
    LEN0 = Field(19, 18, BreakpointLength)
    RW1 = Field(21, 20, BreakpointCondition)
    LEN1 = Field(23, 22, BreakpointLength)
    RW2 = Field(25, 24, BreakpointCondition)
    LEN2 = Field(27, 26, BreakpointLength)
    RW3 = Field(29, 28, BreakpointCondition)
    LEN3 = Field(31, 30, BreakpointLength)


class DebugRegisters(Block):
    """MOV to and from DRn."""

    SPACE = Space.DEBUG
    NAME = "dr"

    DR0 = At(0, DrAddress)
    DR1 = At(1, DrAddress)
    DR2 = At(2, DrAddress)
    DR3 = At(3, DrAddress)
    DR6 = At(6, Dr6)
    DR7 = At(7, Dr7)


class RoundingControl(IntEnum):
    """RC of MXCSR and of the x87 control word."""

    NEAREST = 0
    DOWN = 1
    UP = 2
    TOWARD_ZERO = 3


class PrecisionControl(IntEnum):
    """PC of the x87 control word."""

    SINGLE = 0
    DOUBLE = 2
    DOUBLE_EXTENDED = 3


class Mxcsr(Register, width=32):
    """MXCSR. 1F80h at reset: every exception masked."""

    IE = Field(0)
    DE = Field(1)
    ZE = Field(2)
    OE = Field(3)
    UE = Field(4)
    PE = Field(5)
    DAZ = Field(6)
    IM = Field(7)
    DM = Field(8)
    ZM = Field(9)
    OM = Field(10)
    UM = Field(11)
    PM = Field(12)
    RC = Field(14, 13, RoundingControl)
    FZ = Field(15)


class FpuStatusWord(Register, width=16):
    """x87 FPU status word (FNSTSW)."""

    IE = Field(0)
    DE = Field(1)
    ZE = Field(2)
    OE = Field(3)
    UE = Field(4)
    PE = Field(5)
    SF = Field(6)  # stack fault
    ES = Field(7)  # exception summary: an unmasked exception is pending
    C0 = Field(8)
    C1 = Field(9)
    C2 = Field(10)
    TOP = Field(13, 11)
    C3 = Field(14)
    B = Field(15)


class FpuControlWord(Register, width=16):
    """x87 FPU control word (FLDCW). 37Fh after FNINIT: every exception masked (bit 6 is reserved and reads 1)."""

    IM = Field(0)
    DM = Field(1)
    ZM = Field(2)
    OM = Field(3)
    UM = Field(4)
    PM = Field(5)
    PC = Field(9, 8, PrecisionControl)
    RC = Field(11, 10, RoundingControl)
    X = Field(12)
