"""Model-specific registers that an interrupt test needs, by number.

Source: Intel 64 and IA-32 SDM vol. 4, "IA-32 Architectural MSRs"; machine-check banks: vol. 3B, "Machine-Check MSRs";
memory types: vol. 3A, "Memory Type Range Registers (MTRRs)" and "Page Attribute Table (PAT)". All are 64 bit
wide (EDX:EAX).

Access kinds: the same sections; setting a reserved bit is #GP.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import Array, At, AtArray, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "ApicBase",
    "DebugCtl",
    "Efer",
    "FeatureControl",
    "LinearAddress",
    "MachineCheckBank",
    "McgCap",
    "McgStatus",
    "MciAddr",
    "MciCtl",
    "MciMisc",
    "MciStatus",
    "MemoryType",
    "MiscEnable",
    "Msr",
    "MtrrCap",
    "MtrrDefType",
    "MtrrPhysBase",
    "MtrrPhysMask",
    "Pat",
    "Plain64",
    "Star",
    "SysenterCs",
    "TscAux",
    "VariableMtrr",
]


class MemoryType(IntEnum):
    """Memory types of MTRRs and PAT entries."""

    UC = 0
    WC = 1
    WT = 4
    WP = 5
    WB = 6
    UC_MINUS = 7  # PAT only


class Plain64(Register, width=64):
    """A 64-bit number without fields: a counter, a mask, a deadline."""


class LinearAddress(Register, width=64):
    """A linear address; a non-canonical one is #GP."""


class ApicBase(Register, width=64, reserved="fault"):
    """IA32_APIC_BASE (1Bh)."""

    BSP = Field(8, access="ro")
    EXTD = Field(10)  # x2APIC mode
    EN = Field(11)  # global enable
    BASE = Field(51, 12)  # physical address >> 12

    @property
    def address(self) -> int:
        """Physical address of the xAPIC page."""
        return self.BASE << 12


class FeatureControl(Register, width=64, reserved="fault"):
    """IA32_FEATURE_CONTROL (3Ah)."""

    LOCK = Field(0)
    VMX_INSIDE_SMX = Field(1)
    VMX_OUTSIDE_SMX = Field(2)


class SysenterCs(Register, width=64, reserved="fault"):
    """IA32_SYSENTER_CS (174h)."""

    SELECTOR = Field(15, 0)


class McgCap(Register, width=64, reserved="fault"):
    """IA32_MCG_CAP (179h)."""

    COUNT = Field(7, 0, access="ro")
    CTL_P = Field(8, access="ro")
    EXT_P = Field(9, access="ro")
    CMCI_P = Field(10, access="ro")
    TES_P = Field(11, access="ro")
    SER_P = Field(24, access="ro")


class McgStatus(Register, width=64, reserved="fault"):
    """IA32_MCG_STATUS (17Ah)."""

    RIPV = Field(0)
    EIPV = Field(1)
    MCIP = Field(2)  # a second #MC while set is a shutdown


class MciCtl(Register, width=64):
    """IA32_MCi_CTL."""


class MciStatus(Register, width=64, reserved="fault"):
    """IA32_MCi_STATUS."""

    MCA_ERROR_CODE = Field(15, 0)
    MODEL_SPECIFIC_ERROR_CODE = Field(31, 16)
    PCC = Field(57)
    ADDRV = Field(58)
    MISCV = Field(59)
    EN = Field(60)
    UC = Field(61)
    OVER = Field(62)
    VAL = Field(63)


class MciAddr(Register, width=64):
    """IA32_MCi_ADDR."""


class MciMisc(Register, width=64):
    """IA32_MCi_MISC."""


class MiscEnable(Register, width=64, reserved="fault"):
    """IA32_MISC_ENABLE (1A0h)."""

    FAST_STRINGS = Field(0)
    THERMAL_CONTROL = Field(3)
    PERFORMANCE_MONITORING = Field(7, access="ro")
    BTS_UNAVAILABLE = Field(11, access="ro")
    PEBS_UNAVAILABLE = Field(12, access="ro")
    SPEEDSTEP = Field(16)
    MONITOR_FSM = Field(18)
    LIMIT_CPUID_MAXVAL = Field(22)
    XTPR_MESSAGE_DISABLE = Field(23)
    XD_BIT_DISABLE = Field(34)


class DebugCtl(Register, width=64, reserved="fault"):
    """IA32_DEBUGCTL (1D9h)."""

    LBR = Field(0)
    BTF = Field(1)
    BUS_LOCK_DETECT = Field(2)
    TR = Field(6)
    BTS = Field(7)
    BTINT = Field(8)


class MtrrCap(Register, width=64, reserved="fault"):
    """IA32_MTRRCAP (FEh)."""

    VCNT = Field(7, 0, access="ro")
    FIX = Field(8, access="ro")
    WC = Field(10, access="ro")
    SMRR = Field(11, access="ro")


class MtrrPhysBase(Register, width=64, reserved="fault"):
    """IA32_MTRR_PHYSBASEn."""

    TYPE = Field(7, 0, MemoryType)
    PHYS_BASE = Field(51, 12)


class MtrrPhysMask(Register, width=64, reserved="fault"):
    """IA32_MTRR_PHYSMASKn."""

    V = Field(11)
    PHYS_MASK = Field(51, 12)


class MtrrDefType(Register, width=64, reserved="fault"):
    """IA32_MTRR_DEF_TYPE (2FFh)."""

    TYPE = Field(7, 0, MemoryType)
    FE = Field(10)
    E = Field(11)


class Pat(Register, width=64, reserved="fault"):
    """IA32_PAT (277h). 0007040600070406h at reset."""

    PA0 = Field(2, 0, MemoryType)
    PA1 = Field(10, 8, MemoryType)
    PA2 = Field(18, 16, MemoryType)
    PA3 = Field(26, 24, MemoryType)
    PA4 = Field(34, 32, MemoryType)
    PA5 = Field(42, 40, MemoryType)
    PA6 = Field(50, 48, MemoryType)
    PA7 = Field(58, 56, MemoryType)


class Efer(Register, width=64, reserved="fault"):
    """IA32_EFER (C0000080h)."""

    SCE = Field(0)
    LME = Field(8)
    LMA = Field(10, access="ro")
    NXE = Field(11)


class Star(Register, width=64):
    """IA32_STAR (C0000081h): selector bases of SYSCALL and SYSRET."""

    EIP = Field(31, 0)  # SYSCALL target in legacy mode
    SYSCALL_CS_SS = Field(47, 32)
    SYSRET_CS_SS = Field(63, 48)


class TscAux(Register, width=64, reserved="fault"):
    """IA32_TSC_AUX (C0000103h): what RDTSCP and RDPID return; the upper half is reserved."""

    AUX = Field(31, 0)


class MachineCheckBank(Block):
    """One bank of error-reporting registers."""

    SPACE = Space.MSR

    CTL = At(0, MciCtl)
    STATUS = At(1, MciStatus)
    ADDR = At(2, MciAddr)
    MISC = At(3, MciMisc)


class VariableMtrr(Block):
    """One variable-range MTRR pair."""

    SPACE = Space.MSR

    PHYSBASE = At(0, MtrrPhysBase)
    PHYSMASK = At(1, MtrrPhysMask)


class Msr(Block):
    """RDMSR and WRMSR; names are the manual's without `IA32_`."""

    SPACE = Space.MSR
    NAME = "msr"

    TSC = At(0x10, Plain64)
    APIC_BASE = At(0x1B, ApicBase)
    FEATURE_CONTROL = At(0x3A, FeatureControl)
    TSC_ADJUST = At(0x3B, Plain64)
    MTRRCAP = At(0xFE, MtrrCap, access="ro")
    SYSENTER_CS = At(0x174, SysenterCs)
    SYSENTER_ESP = At(0x175, LinearAddress)
    SYSENTER_EIP = At(0x176, LinearAddress)
    MCG_CAP = At(0x179, McgCap, access="ro")
    MCG_STATUS = At(0x17A, McgStatus)
    MCG_CTL = At(0x17B, Plain64)
    MISC_ENABLE = At(0x1A0, MiscEnable)
    DEBUGCTL = At(0x1D9, DebugCtl)
    MTRR = Array(0x200, VariableMtrr, count=10, stride=2)
    MTRR_FIX64K_00000 = At(0x250, Plain64)
    MTRR_FIX16K = AtArray(0x258, Plain64, count=2, stride=1)
    MTRR_FIX4K = AtArray(0x268, Plain64, count=8, stride=1)
    PAT = At(0x277, Pat)
    MTRR_DEF_TYPE = At(0x2FF, MtrrDefType)
    MC = Array(0x400, MachineCheckBank, count=28, stride=4)
    TSC_DEADLINE = At(0x6E0, Plain64)
    EFER = At(0xC000_0080, Efer)
    STAR = At(0xC000_0081, Star)
    LSTAR = At(0xC000_0082, LinearAddress)
    CSTAR = At(0xC000_0083, LinearAddress)
    FMASK = At(0xC000_0084, Plain64)
    FS_BASE = At(0xC000_0100, LinearAddress)
    GS_BASE = At(0xC000_0101, LinearAddress)
    KERNEL_GS_BASE = At(0xC000_0102, LinearAddress)
    TSC_AUX = At(0xC000_0103, TscAux)
