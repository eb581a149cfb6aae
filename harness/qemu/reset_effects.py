"""Which commands of the monitor leave a machine changed after its next reset."""

from __future__ import annotations

__all__ = ["undone_by_reset"]

_LEAVES_NOTHING = ("query-", "inject-nmi", "ringbuf-read", "info ", "x ", "x/", "xp ", "xp/", "print ")


def undone_by_reset(command: str) -> bool:
    """Whether a QMP command, or a line of the human monitor, only reads, or does what a reset takes back.

    What the host set stays otherwise: a link that it took down is down for the next guest too.
    """
    return command.startswith(_LEAVES_NOTHING)
