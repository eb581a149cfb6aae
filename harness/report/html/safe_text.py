"""Text for pages: what a guest or a file of somebody else holds, made visible and bounded."""

from __future__ import annotations

import re

from harness.report.text import printable

__all__ = ["visible"]

# Separators and marks of direction: they are not seen, and can show a text in another order than it has.
_UNSEEN = re.compile("[\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")


def visible(text: str, limit: int) -> str:
    """The text with what cannot be seen as escapes; of a longer one the first `limit` characters, and how many follow.

    It still has `<` and `&`: templates escape them.
    """
    left_out = len(text) - limit
    if left_out > 0:
        text = text[:limit]
    shown = _UNSEEN.sub(lambda match: f"\\u{ord(match[0]):04x}", printable(text))
    return f"{shown}… ({left_out} more characters)" if left_out > 0 else shown
