"""The two 8259A interrupt controllers of a PC and their edge/level control registers.

Source: Intel 8259A Programmable Interrupt Controller datasheet, "Programming the 8259A": "Initialization Command
Words", "Operation Command Words"; ELCR: Intel 82371AB (PIIX4) datasheet, "ELCR1/ELCR2—Edge/Level Control Register".
Several command words share a port: bits 4 and 3 and the order of the writes distinguish them. The
word classes set those bits themselves in `command()`, so that a forgotten one cannot turn an OCW3 into an OCW2.

Access kinds: the same sections; the reserved bits of the ELCR read as 0, those of the words are not stated.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Self

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, Register

__all__ = [
    "CASCADE_INPUT",
    "ELCR_RESERVED",
    "ElcrMaster",
    "ElcrSlave",
    "EoiCommand",
    "Icw1",
    "Icw2",
    "Icw3Master",
    "Icw3Slave",
    "Icw4",
    "Inputs",
    "Ocw1",
    "Ocw2",
    "Ocw3",
    "Pic8259",
    "PicMaster",
    "PicSlave",
    "PollWord",
    "ReadSelect",
]

CASCADE_INPUT = 2  # the master's input that the slave drives
ELCR_RESERVED = 0x2107  # IRQ 0, 1, 2, 8 and 13 are always edge-triggered


class EoiCommand(IntEnum):
    """OCW2 bits R, SL and EOI (7:5)."""

    ROTATE_IN_AUTOMATIC_EOI_CLEAR = 0b000
    NON_SPECIFIC_EOI = 0b001
    NO_OPERATION = 0b010
    SPECIFIC_EOI = 0b011
    ROTATE_IN_AUTOMATIC_EOI_SET = 0b100
    ROTATE_ON_NON_SPECIFIC_EOI = 0b101
    SET_PRIORITY = 0b110
    ROTATE_ON_SPECIFIC_EOI = 0b111


class ReadSelect(IntEnum):
    """OCW3 bits RR and RIS (1:0): what the next read of the even port returns."""

    NO_ACTION = 0b00
    NO_ACTION_RIS = 0b01
    IRR = 0b10
    ISR = 0b11


class Icw1(Register, width=8, reserved="undefined"):
    """Initialization Command Word 1: starts the sequence; bit 4 must be 1. 11h is the PC's."""

    IC4 = Field(0)  # ICW4 follows
    SNGL = Field(1)  # no slave, no ICW3
    ADI = Field(2)  # call address interval (MCS-80/85)
    LTIM = Field(3)  # level-triggered mode (ignored where the ELCR decides)
    INITIALIZE = Field(4)

    @classmethod
    def command(cls, /, **fields: int) -> Self:
        """The word with its identifying bit set."""
        return cls.of(INITIALIZE=1, **fields)


class Icw2(Register, width=8):
    """Initialization Command Word 2: the vector base; the low 3 bits are ignored in 8086 mode."""

    T7_T3 = Field(7, 3)
    A10_A8 = Field(2, 0)


class Icw3Master(Register, width=8):
    """Initialization Command Word 3 of the master: a bit for each input that has a slave (04h on a PC)."""

    SLAVES = Field(7, 0)


class Icw3Slave(Register, width=8, reserved="undefined"):
    """Initialization Command Word 3 of the slave: the master's input it drives (02h on a PC)."""

    ID = Field(2, 0)


class Icw4(Register, width=8, reserved="undefined"):
    """Initialization Command Word 4; 01h is the PC's."""

    UPM = Field(0)  # 8086 mode
    AEOI = Field(1)  # automatic end of interrupt
    MASTER = Field(2)  # M/S, in buffered mode
    BUF = Field(3)  # buffered mode
    SFNM = Field(4)  # special fully nested mode


class Ocw1(Register, width=8):
    """Operation Command Word 1: the Interrupt Mask Register (IMR); a set bit masks its input."""

    MASK = Field(7, 0)


class Ocw2(Register, width=8):
    """Operation Command Word 2: end of interrupt and priority. 20h is the non-specific EOI."""

    LEVEL = Field(2, 0)
    SELECT = Field(4, 3)  # 00 makes it an OCW2
    COMMAND = Field(7, 5, EoiCommand)


class Ocw3(Register, width=8, reserved="undefined"):
    """Operation Command Word 3: read select, poll, special mask. 0Ah selects the IRR, 0Bh the ISR."""

    READ = Field(1, 0, ReadSelect)
    POLL = Field(2)
    SELECT = Field(4, 3)  # 01 makes it an OCW3
    SMM = Field(5)
    ESMM = Field(6)  # SMM counts only with ESMM set

    @classmethod
    def command(cls, /, **fields: int) -> Self:
        """The word with its identifying bits set."""
        return cls.of(SELECT=0b01, **fields)


class Inputs(Register, width=8):
    """IRR or ISR, whichever OCW3 selected: bit n is input n."""

    BITS = Field(7, 0, access="ro")


class PollWord(Register, width=8, reserved="undefined"):
    """What the read after a poll command returns: 80h + the highest-priority level that requests service."""

    LEVEL = Field(2, 0, access="ro")
    INTERRUPT = Field(7, access="ro")


class ElcrMaster(Register, width=8, reserved="zero"):
    """ELCR1: a set bit makes its input level-triggered: IRQ 3 to 7; IRQ 0, 1 and 2 are reserved and read 0."""

    LEVEL_7_3 = Field(7, 3)


class ElcrSlave(Register, width=8, reserved="zero"):
    """ELCR2: IRQ 9 to 12, 14 and 15; IRQ 8 and 13 are reserved and read 0."""

    LEVEL_12_9 = Field(4, 1)
    LEVEL_15_14 = Field(7, 6)


class Pic8259(Block):
    """The registers that both chips have in common; offset 0 is the port with A0 = 0."""

    SPACE = Space.PORT

    STATUS = At(0, Inputs, access="ro")
    POLL = At(0, PollWord, access="ro", alias=True)
    ICW1 = At(0, Icw1, access="wo")
    OCW2 = At(0, Ocw2, access="wo", alias=True)
    OCW3 = At(0, Ocw3, access="wo", alias=True)
    OCW1 = At(1, Ocw1)
    ICW2 = At(1, Icw2, access="wo", alias=True)
    ICW4 = At(1, Icw4, access="wo", alias=True)


class PicMaster(Pic8259):
    """The master: ports 20h, 21h and 4D0h; IRQ 0 to 7."""

    BASE = 0x20
    NAME = "pic"

    ICW3 = At(1, Icw3Master, access="wo", alias=True)
    ELCR = At(0x4D0 - 0x20, ElcrMaster)


class PicSlave(Pic8259):
    """The slave: ports A0h, A1h and 4D1h; IRQ 8 to 15."""

    BASE = 0xA0
    NAME = "pic_slave"

    ICW3 = At(1, Icw3Slave, access="wo", alias=True)
    ELCR = At(0x4D1 - 0xA0, ElcrSlave)
