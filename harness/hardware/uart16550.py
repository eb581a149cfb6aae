"""The 16550A UART (COM1 at 3F8h, IRQ 4; COM2 at 2F8h, IRQ 3).

Source: National Semiconductor PC16550D datasheet, "Registers".

Access kinds: the same section: the unused bits of IER, IIR and MCR are 0.
"""

from __future__ import annotations

from enum import IntEnum

from harness.hardware.block import At, Block, Space
from harness.hardware.register import Field, FieldError, Register

__all__ = [
    "CLOCK_HZ",
    "COM1",
    "COM2",
    "FifoControl",
    "InterruptEnable",
    "InterruptId",
    "InterruptIdentification",
    "LineControl",
    "LineStatus",
    "ModemControl",
    "ModemStatus",
    "Uart16550",
    "UartByte",
    "WordLength",
    "divisor_for",
]

COM1 = 0x3F8
COM2 = 0x2F8
CLOCK_HZ = 1_843_200


class InterruptId(IntEnum):
    """IIR bits 3:1, by falling priority: line status, received data, character timeout, THR empty, modem status."""

    MODEM_STATUS = 0
    THR_EMPTY = 1
    RECEIVED_DATA_AVAILABLE = 2
    RECEIVER_LINE_STATUS = 3
    CHARACTER_TIMEOUT = 6


class WordLength(IntEnum):
    """LCR bits 1:0."""

    BITS_5 = 0
    BITS_6 = 1
    BITS_7 = 2
    BITS_8 = 3


class UartByte(Register, width=8):
    """Data, divisor half or scratch byte."""


class InterruptEnable(Register, width=8, reserved="zero"):
    """Interrupt Enable Register."""

    ERBFI = Field(0)  # received data available
    ETBEI = Field(1)  # transmitter holding register empty
    ELSI = Field(2)  # receiver line status
    EDSSI = Field(3)  # modem status


class InterruptIdentification(Register, width=8, reserved="zero"):
    """Interrupt Identification Register; 01h: none pending."""

    NO_INTERRUPT = Field(0, access="ro")
    ID = Field(3, 1, InterruptId, access="ro")
    FIFOS_ENABLED = Field(7, 6, access="ro")


class FifoControl(Register, width=8, reserved="undefined"):
    """FIFO Control Register."""

    FIFO_ENABLE = Field(0)
    RCVR_FIFO_RESET = Field(1)
    XMIT_FIFO_RESET = Field(2)
    DMA_MODE_SELECT = Field(3)
    RCVR_TRIGGER = Field(7, 6)  # 1, 4, 8, 14 bytes


class LineControl(Register, width=8):
    """Line Control Register; 03h is 8N1."""

    WLS = Field(1, 0, WordLength)
    STB = Field(2)
    PEN = Field(3)
    EPS = Field(4)
    STICK_PARITY = Field(5)
    SET_BREAK = Field(6)
    DLAB = Field(7)


class ModemControl(Register, width=8, reserved="zero"):
    """Modem Control Register; OUT2 gates the interrupt on a PC."""

    DTR = Field(0)
    RTS = Field(1)
    OUT1 = Field(2)
    OUT2 = Field(3)
    LOOP = Field(4)


class LineStatus(Register, width=8):
    """Line Status Register."""

    DR = Field(0, access="ro")
    OE = Field(1, access="rc")
    PE = Field(2, access="rc")
    FE = Field(3, access="rc")
    BI = Field(4, access="rc")
    THRE = Field(5, access="ro")
    TEMT = Field(6, access="ro")
    FIFO_ERROR = Field(7, access="ro")


class ModemStatus(Register, width=8):
    """Modem Status Register."""

    DCTS = Field(0, access="rc")
    DDSR = Field(1, access="rc")
    TERI = Field(2, access="rc")
    DDCD = Field(3, access="rc")
    CTS = Field(4, access="ro")
    DSR = Field(5, access="ro")
    RI = Field(6, access="ro")
    DCD = Field(7, access="ro")


class Uart16550(Block):
    """One port; DLL and DLM are there while LCR.DLAB is 1."""

    SPACE = Space.PORT
    BASE = COM1
    NAME = "com1"

    RBR = At(0, UartByte, access="ro")
    THR = At(0, UartByte, access="wo")
    DLL = At(0, UartByte, alias=True)
    IER = At(1, InterruptEnable)
    DLM = At(1, UartByte, alias=True)
    IIR = At(2, InterruptIdentification, access="ro")
    FCR = At(2, FifoControl, access="wo")
    LCR = At(3, LineControl)
    MCR = At(4, ModemControl)
    LSR = At(5, LineStatus, access="rc")
    MSR = At(6, ModemStatus, access="rc")
    SCR = At(7, UartByte)


def divisor_for(baud: int) -> int:
    """The divisor latch for `baud` (1 for 115200); raises `FieldError` where the clock does not divide evenly."""
    if baud <= 0 or (CLOCK_HZ // 16) % baud:
        raise FieldError(f"115200 is not a multiple of {baud} baud")
    return CLOCK_HZ // 16 // baud
