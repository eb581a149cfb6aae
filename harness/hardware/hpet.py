"""The high precision event timer.

Source: IA-PC HPET (High Precision Event Timers) Specification, revision 1.0a, section 2.3 "Register Model". Registers
are 64 bit wide; 32-bit accesses to either half are allowed. Names drop the specification's `Tn_` and `_CNF`.

Access kinds: the same section; reserved bits and VAL_SET read as 0: Intel I/O Controller Hub 9 datasheet, "High
Precision Event Timer Registers".
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import Array, At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "FEMTOSECONDS_PER_SECOND",
    "HPET_DEFAULT_BASE",
    "TIMERS",
    "FsbRoute",
    "Hpet",
    "HpetCapabilities",
    "HpetConfiguration",
    "HpetInterruptStatus",
    "HpetTimer",
    "InterruptType",
    "MainCounter",
    "TimerComparator",
    "TimerConfiguration",
    "TimerType",
]

HPET_DEFAULT_BASE = 0xFED0_0000
TIMERS = 32  # the most a block can have; HpetCapabilities.NUM_TIM_CAP + 1 exist
FEMTOSECONDS_PER_SECOND = 10**15


class InterruptType(IntEnum):
    """Tn_INT_TYPE_CNF."""

    EDGE = 0
    LEVEL = 1


class TimerType(IntEnum):
    """Tn_TYPE_CNF."""

    ONE_SHOT = 0
    PERIODIC = 1


class HpetCapabilities(Register, width=64, reserved="zero"):
    """General Capabilities and ID Register."""

    REV_ID = Field(7, 0, access="ro")
    NUM_TIM_CAP = Field(12, 8, access="ro")  # number of the last timer
    COUNT_SIZE_CAP = Field(13, access="ro")  # 1: the main counter is 64 bit wide
    LEG_RT_CAP = Field(15, access="ro")  # legacy replacement routes
    VENDOR_ID = Field(31, 16, access="ro")
    COUNTER_CLK_PERIOD = Field(63, 32, access="ro")  # femtoseconds per tick


class HpetConfiguration(Register, width=64, reserved="zero"):
    """General Configuration Register."""

    ENABLE = Field(0)  # ENABLE_CNF: main counter runs, interrupts allowed
    LEGACY_ROUTE = Field(1, optional=True)  # LEG_RT_CNF: timer 0 replaces the PIT, timer 1 the RTC


class HpetInterruptStatus(Register, width=64, reserved="zero"):
    """General Interrupt Status Register: bit n is level-triggered timer n; write 1 to clear."""

    STATUS = Field(31, 0, access="w1c")


class MainCounter(Register, width=64):
    """Main Counter Value Register; write it only while the counter is halted."""


class TimerConfiguration(Register, width=64, reserved="zero"):
    """Timer n Configuration and Capability Register."""

    INT_TYPE = Field(1, values=InterruptType)
    INT_ENABLE = Field(2)
    TYPE = Field(3, values=TimerType, optional=True)  # read-only where PERIODIC_CAP is 0
    PERIODIC_CAP = Field(4, access="ro")
    SIZE_CAP = Field(5, access="ro")  # 1: 64-bit comparator
    VAL_SET = Field(6, access="wz")  # the next comparator write sets the accumulator of a periodic timer
    MODE_32 = Field(8, optional=True)  # 32MODE: a 64-bit timer works as a 32-bit one
    ROUTE = Field(13, 9, volatile=True)  # INT_ROUTE: IO APIC pin; keeps those that ROUTE_CAP names
    FSB_ENABLE = Field(14, optional=True)
    FSB_CAP = Field(15, access="ro")  # FSB_INT_DEL_CAP
    ROUTE_CAP = Field(63, 32, access="ro")  # INT_ROUTE_CAP: bit n set: pin n is possible

    def allows(self, pin: int) -> bool:
        """Whether ROUTE_CAP names IO APIC pin `pin`."""
        return bool(self.ROUTE_CAP >> pin & 1)


class TimerComparator(Register, width=64):
    """Timer n Comparator Value Register."""


class FsbRoute(Register, width=64):
    """Timer n FSB Interrupt Route Register: an MSI's address and data."""

    VALUE = Field(31, 0, optional=True)
    ADDRESS = Field(63, 32, optional=True)


class HpetTimer(Block):
    """One comparator."""

    SPACE = Space.MMIO

    CONFIG = At(0x00, TimerConfiguration)
    COMPARATOR = At(0x08, TimerComparator)
    FSB_ROUTE = At(0x10, FsbRoute)


class Hpet(Block):
    """One HPET event timer block."""

    SPACE = Space.MMIO
    BASE = HPET_DEFAULT_BASE
    NAME = "hpet"

    CAPABILITIES = At(0x000, HpetCapabilities, access="ro")
    CONFIG = At(0x010, HpetConfiguration)
    INTERRUPT_STATUS = At(0x020, HpetInterruptStatus)
    MAIN_COUNTER = At(0x0F0, MainCounter)
    TIMER = Array(0x100, HpetTimer, count=TIMERS, stride=0x20)
