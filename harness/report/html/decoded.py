"""The fields of a register's value that are not 0, as text."""

from __future__ import annotations

from harness.hardware.register import Register

__all__ = ["set_fields"]

_MOST = 4096
_known: dict[tuple[type[Register], int], str] = {}


def set_fields(register: type[Register], value: int) -> str:
    """`MASK=1 VECTOR=0x40`: highest bit first; empty where all are 0. A report decodes few values, very often."""
    text = _known.get((register, value))
    if text is None:
        if len(_known) >= _MOST:
            _known.clear()
        fields = sorted(register.FIELDS.values(), key=lambda field: -field.high)
        text = " ".join(field.describe(value) for field in fields if value & field.mask)
        _known[register, value] = text
    return text
