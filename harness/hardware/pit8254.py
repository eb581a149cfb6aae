"""The 8254 programmable interval timer of a PC, and port 61h that gates its channel 2.

Source: Intel 8254 Programmable Interval Timer datasheet, "Programming the 8254": "Control Word Format", "Read-Back
Command", "Status Byte"; port 61h: Intel I/O Controller Hub datasheet, "NMI_SC—NMI Status and Control Register".

Access kinds: the same sections.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from harness.hardware.block import At, AtArray, Block, Space
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "PIT_FREQUENCY_HZ",
    "AccessMode",
    "CounterByte",
    "CounterMode",
    "LatchCommand",
    "NmiStatusControl",
    "Pit8254",
    "PitControlWord",
    "ReadBackCommand",
    "SelectCounter",
    "StatusByte",
    "SystemControl",
    "count_for",
]

PIT_FREQUENCY_HZ = 1_193_182  # 14.31818 MHz / 12, rounded to 1 Hz


class SelectCounter(IntEnum):
    """SC1:SC0."""

    COUNTER_0 = 0
    COUNTER_1 = 1
    COUNTER_2 = 2
    READ_BACK = 3


class AccessMode(IntEnum):
    """RW1:RW0."""

    COUNTER_LATCH = 0
    LSB = 1
    MSB = 2
    LSB_THEN_MSB = 3


class CounterMode(IntEnum):
    """M2:M0. Modes 2 and 3 have a don't-care M2 and may read back as 6 and 7."""

    INTERRUPT_ON_TERMINAL_COUNT = 0
    HARDWARE_RETRIGGERABLE_ONE_SHOT = 1
    RATE_GENERATOR = 2
    SQUARE_WAVE_MODE = 3
    SOFTWARE_TRIGGERED_STROBE = 4
    HARDWARE_TRIGGERED_STROBE = 5


class PitControlWord(Register, width=8):
    """Control Word: counter, access, mode. 34h is counter 0, LSB then MSB, mode 2, binary."""

    BCD = Field(0)
    M = Field(3, 1, CounterMode)
    RW = Field(5, 4, AccessMode)
    SC = Field(7, 6, SelectCounter)


class LatchCommand(Register, width=8, reserved="undefined"):
    """Counter Latch Command: RW = 00."""

    SC = Field(7, 6, SelectCounter)


class ReadBackCommand(Register, width=8, reserved="undefined"):
    """Read-Back Command: SC = 11. COUNT and STATUS are active low: 0 latches. E2h is the status of counter 0 alone."""

    COUNTER_0 = Field(1)
    COUNTER_1 = Field(2)
    COUNTER_2 = Field(3)
    STATUS = Field(4)  # 0 latches the status
    COUNT = Field(5)  # 0 latches the count
    SC = Field(7, 6, SelectCounter)

    @classmethod
    def latch(cls, *counters: int, count: bool = True, status: bool = True) -> Self:
        """The command that latches count and/or status of the given counters (0 to 2)."""
        bits = cls.of(SC=SelectCounter.READ_BACK, COUNT=not count, STATUS=not status)
        for counter in counters:
            bits = cls.of(bits, **{f"COUNTER_{counter}": 1})
        return bits


class StatusByte(Register, width=8):
    """Status Byte of one counter."""

    BCD = Field(0, access="ro")
    M = Field(3, 1, CounterMode, access="ro")
    RW = Field(5, 4, AccessMode, access="ro")
    NULL_COUNT = Field(6, access="ro")  # 1: the written count is not in the counting element yet
    OUTPUT = Field(7, access="ro")  # level of the OUT pin


class CounterByte(Register, width=8):
    """One byte of a count, according to the access mode."""


class NmiStatusControl(Register, width=8):
    """Port 61h: gate and output of channel 2, speaker, board NMI sources."""

    TIM_CNT2_EN = Field(0)  # gate of channel 2
    SPKR_DAT_EN = Field(1)
    PCI_SERR_EN = Field(2)  # 0 enables
    IOCHK_NMI_EN = Field(3)  # 0 enables
    REF_TOGGLE = Field(4, access="ro", volatile=True)
    TMR2_OUT_STS = Field(5, access="ro", volatile=True)  # OUT of channel 2
    IOCHK_NMI_STS = Field(6, access="ro")
    SERR_NMI_STS = Field(7, access="ro")


class Pit8254(Block):
    """Ports 40h to 43h. On a PC channel 0 is IRQ 0, channel 2 the speaker."""

    SPACE = Space.PORT
    BASE = 0x40
    NAME = "pit"

    COUNTER = AtArray(0, CounterByte, count=3, stride=1, effect="loads the counter; the byte follows the access mode")
    STATUS = AtArray(0, StatusByte, count=3, stride=1, access="ro", alias=True)
    CONTROL_WORD = At(3, PitControlWord, access="wo")
    COUNTER_LATCH = At(3, LatchCommand, access="wo", alias=True)
    READ_BACK = At(3, ReadBackCommand, access="wo", alias=True)


class SystemControl(Block):
    """Port 61h."""

    SPACE = Space.PORT
    BASE = 0x61
    NAME = "system_control"

    NMI_SC = At(0, NmiStatusControl)


def count_for(microseconds: float) -> int:
    """The count whose period is nearest to `microseconds`; raises `FieldError` outside 2 to 65536 ticks.

    65536 is written as 0; a count of 1 is illegal in modes 2 and 3.
    """
    count = round(microseconds * PIT_FREQUENCY_HZ / 1e6)
    if not 2 <= count <= 0x1_0000:
        raise FieldError(f"{microseconds} us is {count} ticks of {PIT_FREQUENCY_HZ} Hz; the 8254 counts 2 to 65536")
    return count
