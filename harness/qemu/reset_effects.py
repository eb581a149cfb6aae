"""Finds monitor commands whose effect survives the next reset of the machine."""

from __future__ import annotations

__all__ = ["undone_by_reset"]

_LEAVES_NOTHING = ("query-", "inject-nmi", "ringbuf-read", "info ", "x ", "x/", "xp ", "xp/", "print ")


def undone_by_reset(command: str) -> bool:
    """Whether a QMP command, or a line of the human monitor, only reads, or has effects that a reset undoes.

    Other effects persist: a link that the host took down is down for the next guest too.
    """
    return command.startswith(_LEAVES_NOTHING)
