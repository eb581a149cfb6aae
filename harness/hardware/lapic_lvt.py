"""The local vector table of the local APIC, and its timer.

Source: Intel 64 and IA-32 SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": sections "Local Vector
Table" and "APIC Timer". `harness.hardware.lapic` has the offsets.

Access kinds: the figures of the same sections; what reserved bits read is not stated.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.message import DeliveryMode, DeliveryStatus, TriggerMode
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "CurrentCount",
    "DivideConfiguration",
    "DivideValue",
    "InitialCount",
    "LvtCmci",
    "LvtError",
    "LvtLint",
    "LvtMonitor",
    "LvtPerformance",
    "LvtThermal",
    "LvtTimer",
    "TimerMode",
]


class TimerMode(IntEnum):
    """Mode of the APIC timer (LVT timer register bits 18:17)."""

    ONE_SHOT = 0
    PERIODIC = 1
    TSC_DEADLINE = 2


class DivideValue(IntEnum):
    """Divide Configuration Register bits 3, 1 and 0; bit 2 is always 0."""

    BY_2 = 0b0000
    BY_4 = 0b0001
    BY_8 = 0b0010
    BY_16 = 0b0011
    BY_32 = 0b1000
    BY_64 = 0b1001
    BY_128 = 0b1010
    BY_1 = 0b1011

    @classmethod
    def by(cls, divisor: int) -> DivideValue:
        """The encoding that divides the timer's clock by `divisor`.

        Raises `FieldError` unless it is a power of two from 1 to 128.
        """
        for value in cls:
            if value.divisor == divisor:
                return value
        raise FieldError(f"the APIC timer divides by 1, 2, 4, 8, 16, 32, 64 or 128, not by {divisor}")

    @property
    def divisor(self) -> int:
        """1 to 128."""
        return int(self.name.removeprefix("BY_"))


class LvtTimer(Register, width=32, reserved="undefined"):
    """LVT Timer Register."""

    VECTOR = Field(7, 0)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    MASK = Field(16)
    TIMER_MODE = Field(18, 17, TimerMode, optional=True)  # bit 18: where CPUID names the TSC deadline


class LvtMonitor(Register, width=32, reserved="undefined"):
    """The common form of the LVT registers for CMCI, thermal monitor and performance counters."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    MASK = Field(16)


class LvtCmci(LvtMonitor):
    """LVT CMCI Register (corrected machine-check errors); present if the maximum LVT entry is 6."""


class LvtThermal(LvtMonitor):
    """LVT Thermal Monitor Register."""


class LvtPerformance(LvtMonitor):
    """LVT Performance Counter Register."""


class LvtLint(Register, width=32, reserved="undefined"):
    """LVT LINT0 and LINT1 Registers; 8700h is ExtINT as firmware leaves LINT0 (level bit set, not masked)."""

    VECTOR = Field(7, 0)
    DELIVERY_MODE = Field(10, 8, DeliveryMode)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    POLARITY = Field(13)  # interrupt input pin polarity: 0 active high, 1 active low
    REMOTE_IRR = Field(14, access="ro")
    TRIGGER_MODE = Field(15, values=TriggerMode)
    MASK = Field(16)


class LvtError(Register, width=32, reserved="undefined"):
    """LVT Error Register."""

    VECTOR = Field(7, 0)
    DELIVERY_STATUS = Field(12, values=DeliveryStatus, access="ro")
    MASK = Field(16)


class InitialCount(Register, width=32):
    """Timer Initial Count Register: a write starts the timer, 0 stops it."""


class CurrentCount(Register, width=32):
    """Timer Current Count Register."""


class DivideConfiguration(Register, width=32, reserved="undefined"):
    """Divide Configuration Register (timer); `DivideValue.by(16)` returns the encoding."""

    DIVIDE_VALUE = Field(3, 0, DivideValue)
