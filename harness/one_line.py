"""Texts of several lines, as tables and summaries show them: without a cut before the cause."""

from __future__ import annotations

__all__ = ["one_line"]

_MOST = 500


def one_line(text: str, most: int = _MOST) -> str:
    """The first line that is not blank, and the next one, which often has the cause.

    Of more than `most` characters the middle is left out: a cause stands at an end.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()][:2]
    separator = " " if lines and lines[0].endswith((":", ",", ";")) else "; "
    joined = separator.join(lines)
    if len(joined) <= most:
        return joined
    half = (most - 3) // 2
    return f"{joined[:half]} … {joined[-half:]}"
