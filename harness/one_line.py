"""Shortens texts of several lines for tables and summaries; the cause is not cut off."""

from __future__ import annotations

__all__ = ["one_line"]

_MOST = 500


def one_line(text: str, most: int = _MOST) -> str:
    """The first line that is not blank, and the next one, which often has the cause.

    Of more than `most` characters the middle is left out: the cause is at one of the ends.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()][:2]
    separator = " " if lines and lines[0].endswith((":", ",", ";")) else "; "
    joined = separator.join(lines)
    if len(joined) <= most:
        return joined
    half = (most - 3) // 2
    return f"{joined[:half]} … {joined[-half:]}"
