"""Encodings that every interrupt message shares: LVT, ICR, redirection entry, MSI, IRTE.

Source: Intel 64 and IA-32 SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": "Local Vector Table",
"Interrupt Command Register (ICR)", "Message Data Register Format".
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["DeliveryMode", "DeliveryStatus", "DestinationMode", "TriggerMode"]


class DeliveryMode(IntEnum):
    """How a message is delivered. Not every value is allowed at every place (no INIT or Start Up in an LVT)."""

    FIXED = 0
    LOWEST_PRIORITY = 1
    SMI = 2
    REMOTE_READ = 3  # reserved on current processors
    NMI = 4
    INIT = 5
    START_UP = 6
    EXTINT = 7


class DeliveryStatus(IntEnum):
    """Whether a message still waits to be sent or accepted."""

    IDLE = 0
    SEND_PENDING = 1


class DestinationMode(IntEnum):
    """What the destination field holds: an APIC ID, or a logical (message) destination address."""

    PHYSICAL = 0
    LOGICAL = 1


class TriggerMode(IntEnum):
    """Edge or level."""

    EDGE = 0
    LEVEL = 1
