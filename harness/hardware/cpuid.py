"""CPUID: the leaves that report whether a probe's subject exists.

Source: Intel 64 and IA-32 SDM vol. 2A, "CPUID—CPU Identification": tables "Feature Information Returned in the ECX
Register" and "More on Feature Information Returned in the EDX Register", "Information Returned by CPUID Instruction".
"""

from __future__ import annotations

from harness.hardware.register import Field, Register

__all__ = [
    "ExtendedFeaturesEdx",
    "FeaturesEbx",
    "FeaturesEcx",
    "FeaturesEdx",
    "PowerManagementEdx",
    "ProcessorSignature",
    "StructuredFeaturesEbx",
    "StructuredFeaturesEcx",
    "StructuredFeaturesEdx",
    "ThermalEax",
]


class ProcessorSignature(Register, width=32):
    """Leaf 01h, EAX; also what EDX holds at reset."""

    STEPPING_ID = Field(3, 0, access="ro")
    MODEL = Field(7, 4, access="ro")
    FAMILY_ID = Field(11, 8, access="ro")
    PROCESSOR_TYPE = Field(13, 12, access="ro")
    EXTENDED_MODEL_ID = Field(19, 16, access="ro")
    EXTENDED_FAMILY_ID = Field(27, 20, access="ro")


class FeaturesEbx(Register, width=32):
    """Leaf 01h, EBX."""

    BRAND_INDEX = Field(7, 0, access="ro")
    CLFLUSH_LINE_SIZE = Field(15, 8, access="ro")  # in units of 8 bytes
    MAXIMUM_LOGICAL_PROCESSORS = Field(23, 16, access="ro")
    INITIAL_APIC_ID = Field(31, 24, access="ro")


class FeaturesEcx(Register, width=32):
    """Leaf 01h, ECX."""

    SSE3 = Field(0, access="ro")
    PCLMULQDQ = Field(1, access="ro")
    MONITOR = Field(3, access="ro")
    VMX = Field(5, access="ro")
    SSSE3 = Field(9, access="ro")
    PDCM = Field(15, access="ro")
    PCID = Field(17, access="ro")
    X2APIC = Field(21, access="ro")
    POPCNT = Field(23, access="ro")
    TSC_DEADLINE = Field(24, access="ro")
    XSAVE = Field(26, access="ro")
    OSXSAVE = Field(27, access="ro")
    AVX = Field(28, access="ro")
    RDRAND = Field(30, access="ro")
    HYPERVISOR = Field(31, access="ro")  # reserved by the SDM; every hypervisor sets it


class FeaturesEdx(Register, width=32):
    """Leaf 01h, EDX."""

    FPU = Field(0, access="ro")
    VME = Field(1, access="ro")
    DE = Field(2, access="ro")
    PSE = Field(3, access="ro")
    TSC = Field(4, access="ro")
    MSR = Field(5, access="ro")
    PAE = Field(6, access="ro")
    MCE = Field(7, access="ro")
    CX8 = Field(8, access="ro")
    APIC = Field(9, access="ro")
    SEP = Field(11, access="ro")
    MTRR = Field(12, access="ro")
    PGE = Field(13, access="ro")
    MCA = Field(14, access="ro")
    CMOV = Field(15, access="ro")
    PAT = Field(16, access="ro")
    CLFSH = Field(19, access="ro")
    DS = Field(21, access="ro")
    ACPI = Field(22, access="ro")
    FXSR = Field(24, access="ro")
    SSE = Field(25, access="ro")
    SSE2 = Field(26, access="ro")
    HTT = Field(28, access="ro")
    TM = Field(29, access="ro")


class ThermalEax(Register, width=32):
    """Leaf 06h, EAX."""

    DIGITAL_TEMPERATURE_SENSOR = Field(0, access="ro")
    ARAT = Field(2, access="ro")  # the APIC timer always runs


class StructuredFeaturesEbx(Register, width=32):
    """Leaf 07h, subleaf 0, EBX."""

    FSGSBASE = Field(0, access="ro")
    TSC_ADJUST = Field(1, access="ro")
    SMEP = Field(7, access="ro")
    INVPCID = Field(10, access="ro")
    RTM = Field(11, access="ro")
    MPX = Field(14, access="ro")
    SMAP = Field(20, access="ro")


class StructuredFeaturesEcx(Register, width=32):
    """Leaf 07h, subleaf 0, ECX."""

    UMIP = Field(2, access="ro")
    PKU = Field(3, access="ro")
    OSPKE = Field(4, access="ro")
    CET_SS = Field(7, access="ro")
    LA57 = Field(16, access="ro")
    RDPID = Field(22, access="ro")
    BUS_LOCK_DETECT = Field(24, access="ro")
    PKS = Field(31, access="ro")


class StructuredFeaturesEdx(Register, width=32):
    """Leaf 07h, subleaf 0, EDX."""

    UINTR = Field(5, access="ro")
    SERIALIZE = Field(14, access="ro")
    CET_IBT = Field(20, access="ro")


class ExtendedFeaturesEdx(Register, width=32):
    """Leaf 80000001h, EDX."""

    SYSCALL = Field(11, access="ro")
    NX = Field(20, access="ro")
    PAGE_1GB = Field(26, access="ro")
    RDTSCP = Field(27, access="ro")
    LM = Field(29, access="ro")


class PowerManagementEdx(Register, width=32):
    """Leaf 80000007h, EDX."""

    INVARIANT_TSC = Field(8, access="ro")
