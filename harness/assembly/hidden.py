"""Statements behind a `;`: GNU as separates statements with it, NASM begins a comment, and so do we."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from harness.assembly.errors import Refusal
from harness.assembly.fixed import FIXED
from harness.assembly.signatures import FORMS
from harness.assembly.statement import Assignment, Directive, Instruction, parse_line, strip_comment
from harness.assembly.transfers import TRANSFERS

__all__ = ["refuse_hidden"]

_MNEMONICS: Final = frozenset({*FORMS, *FIXED, *TRANSFERS})


def refuse_hidden(text: str, names: Container[str]) -> None:
    """Refuse a line whose comment would be a second statement to GNU as: one of the two readings is not meant.

    `names`: what a statement can refer to. A `;` at the beginning of the line is no doubt meant as a comment.
    """
    at = len(strip_comment(text))
    if not text[:at].strip() or text[at : at + 1] != ";":
        return
    comment = text[at + 1 :]
    try:
        hidden = parse_line(comment).body
    except Refusal:
        return
    match hidden:
        case Instruction(mnemonic=mnemonic, names=used) if mnemonic in _MNEMONICS and all(n in names for n in used):
            pass
        case Directive() | Assignment():
            pass
        case _:
            return
    reason = f"; begins a comment, but what stands behind it is a statement: {strip_comment(comment).strip()}"
    raise Refusal(reason, "give it a line of its own; # begins a comment that may say anything", at + 1)
