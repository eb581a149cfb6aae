"""Exceptions: vectors, classes, error codes.

Source: Intel 64 and IA-32 SDM vol. 3A, "Interrupt and Exception Handling": table "Protected-Mode Exceptions and
Interrupts", sections "Error Code", "Interrupt 14—Page-Fault Exception (#PF)", and under "Interrupt 8—Double Fault
Exception (#DF)" the tables "Interrupt and Exception Classes" and "Conditions for Generating a Double Fault".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType

from harness.hardware.register import Field, Register

__all__ = [
    "EXCEPTIONS",
    "CetErrorCode",
    "DoubleFaultClass",
    "ExceptionType",
    "ExceptionVector",
    "PageFaultErrorCode",
    "SelectorErrorCode",
    "leads_to_double_fault",
    "vector_name",
]


class ExceptionType(Enum):
    """What the saved RIP points at, and whether the program can go on."""

    FAULT = "fault"  # the faulting instruction
    TRAP = "trap"  # the next instruction
    FAULT_OR_TRAP = "fault/trap"  # #DB: depends on the cause
    INTERRUPT = "interrupt"
    ABORT = "abort"  # undefined


class DoubleFaultClass(Enum):
    """Class of an event for the rules of the double fault."""

    BENIGN = "benign"
    CONTRIBUTORY = "contributory"
    PAGE_FAULT = "page fault"
    DOUBLE_FAULT = "double fault"


@dataclass(frozen=True)
class ExceptionVector:
    """One row of the table."""

    vector: int
    mnemonic: str  # "#PF"; "NMI" for vector 2
    name: str
    type: ExceptionType
    has_error_code: bool
    double_fault_class: DoubleFaultClass = DoubleFaultClass.BENIGN


_CONTRIBUTORY = DoubleFaultClass.CONTRIBUTORY
_FAULT, _TRAP, _ABORT = ExceptionType.FAULT, ExceptionType.TRAP, ExceptionType.ABORT

EXCEPTIONS: Mapping[int, ExceptionVector] = MappingProxyType(
    {
        row.vector: row
        for row in (
            ExceptionVector(0, "#DE", "Divide Error", _FAULT, False, _CONTRIBUTORY),
            ExceptionVector(1, "#DB", "Debug Exception", ExceptionType.FAULT_OR_TRAP, False),
            ExceptionVector(2, "NMI", "Nonmaskable Interrupt", ExceptionType.INTERRUPT, False),
            ExceptionVector(3, "#BP", "Breakpoint", _TRAP, False),
            ExceptionVector(4, "#OF", "Overflow", _TRAP, False),
            ExceptionVector(5, "#BR", "BOUND Range Exceeded", _FAULT, False),
            ExceptionVector(6, "#UD", "Invalid Opcode", _FAULT, False),
            ExceptionVector(7, "#NM", "Device Not Available", _FAULT, False),
            ExceptionVector(8, "#DF", "Double Fault", _ABORT, True, DoubleFaultClass.DOUBLE_FAULT),
            ExceptionVector(9, "CSO", "Coprocessor Segment Overrun", _FAULT, False),
            ExceptionVector(10, "#TS", "Invalid TSS", _FAULT, True, _CONTRIBUTORY),
            ExceptionVector(11, "#NP", "Segment Not Present", _FAULT, True, _CONTRIBUTORY),
            ExceptionVector(12, "#SS", "Stack-Segment Fault", _FAULT, True, _CONTRIBUTORY),
            ExceptionVector(13, "#GP", "General Protection", _FAULT, True, _CONTRIBUTORY),
            ExceptionVector(14, "#PF", "Page Fault", _FAULT, True, DoubleFaultClass.PAGE_FAULT),
            ExceptionVector(16, "#MF", "x87 FPU Floating-Point Error", _FAULT, False),
            ExceptionVector(17, "#AC", "Alignment Check", _FAULT, True),
            ExceptionVector(18, "#MC", "Machine Check", _ABORT, False),
            ExceptionVector(19, "#XM", "SIMD Floating-Point Exception", _FAULT, False),
            ExceptionVector(20, "#VE", "Virtualization Exception", _FAULT, False, DoubleFaultClass.PAGE_FAULT),
            ExceptionVector(21, "#CP", "Control Protection Exception", _FAULT, True, _CONTRIBUTORY),
        )
    }
)


def vector_name(vector: int) -> str:
    """`#PF`, `NMI`, or `40h` for a vector that is no exception; raises `ValueError` outside 0 to 255."""
    if not 0 <= vector <= 255:
        raise ValueError(f"a vector is 0 to 255, not {vector}")
    row = EXCEPTIONS.get(vector)
    return row.mnemonic if row else f"{vector:02X}h"


def leads_to_double_fault(first: int, second: int) -> bool:
    """Whether exception `second`, raised while `first` is being delivered, becomes #DF; otherwise both are handled.

    Raises `KeyError` for a reserved vector. An exception during the delivery of #DF itself is a shutdown, not a #DF.
    """
    a, b = EXCEPTIONS[first].double_fault_class, EXCEPTIONS[second].double_fault_class
    if a is DoubleFaultClass.CONTRIBUTORY:
        return b is DoubleFaultClass.CONTRIBUTORY
    if a is DoubleFaultClass.PAGE_FAULT:
        return b in (DoubleFaultClass.CONTRIBUTORY, DoubleFaultClass.PAGE_FAULT)
    return False


class PageFaultErrorCode(Register, width=64):
    """Error code of #PF, as pushed."""

    P = Field(0)  # 0: not present; 1: protection violation
    WR = Field(1)
    US = Field(2)
    RSVD = Field(3)
    ID = Field(4)  # instruction fetch
    PK = Field(5)
    SS = Field(6)  # shadow-stack access
    HLAT = Field(7)
    SGX = Field(15)


class SelectorErrorCode(Register, width=64):
    """Error code of #TS, #NP, #SS, #GP, as pushed: gate n of the IDT is n * 8 + 2."""

    EXT = Field(0)  # the event came from outside the program
    IDT = Field(1)  # INDEX is a gate of the IDT
    TI = Field(2)  # 1: LDT
    INDEX = Field(15, 3)

    @classmethod
    def gate(cls, vector: int, *, external: bool = False) -> SelectorErrorCode:
        """The code that blames gate `vector`."""
        return cls.of(IDT=1, INDEX=vector, EXT=external)


class CetErrorCode(Register, width=64):
    """Error code of #CP, as pushed."""

    CPEC = Field(14, 0)  # 1 NEAR-RET, 2 FAR-RET/IRET, 3 ENDBRANCH, 4 RSTORSSP, 5 SETSSBSY
    ENCL = Field(15)
