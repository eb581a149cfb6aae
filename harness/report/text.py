"""Text that came from a guest, made safe for terminals and XML."""

from __future__ import annotations

import re

__all__ = ["plural", "printable", "seconds"]

# C0 and C1 controls but for tab and newline, surrogates and the two non-characters that XML 1.0 forbids
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def printable(text: str) -> str:
    r"""The text with control characters as escapes (`\x1b`), so that a guest cannot drive a terminal or break XML."""
    return _UNPRINTABLE.sub(lambda match: _escape(match[0]), text.replace("\r\n", "\n"))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def plural(number: int, noun: str) -> str:
    """`1 probe`, `2 probes`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def seconds(milliseconds: float) -> str:
    """A time as people read it: `0.8 ms`, `34 ms`, `1.2 s`, `2 min 5 s`."""
    if milliseconds < 10:
        return f"{milliseconds:.1f} ms"
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 99_950:
        return f"{milliseconds / 1000:.1f} s"
    minutes, rest = divmod(round(milliseconds / 1000), 60)
    return f"{minutes} min {rest} s"
