"""Registers and their fields: the one declaration that encodes, decodes and prints.

A register is a subclass of `int`, a field is a descriptor on it::

    class LvtTimer(Register, width=32):
        VECTOR = Field(7, 0)
        MASK = Field(16)

    LvtTimer.of(VECTOR=0x40, MASK=1)     # LvtTimer 0x00010040: MASK=1 VECTOR=0x40
    LvtTimer(0x10040).VECTOR             # 0x40

Nothing is ever masked silently: a value that does not fit is a `FieldError`.
"""

from __future__ import annotations

import difflib
from enum import IntEnum
from typing import ClassVar, Literal, Self, overload

__all__ = ["Access", "Field", "FieldError", "Register", "Reserved"]

Access = Literal["rw", "ro", "wo", "wz", "w1c", "w1s", "rc"]
Reserved = Literal["zero", "ones", "preserve", "undefined", "fault"]


class FieldError(ValueError):
    """A field that the register does not have, or a value that does not fit."""


class Field:
    """Bits `high`:`low` of a register (both inclusive; one bit where `low` is left out).

    `values` names the encodings that the manual names. `access` is the manual's: `rw`, `ro` (writes ignored),
    `wo` (what it reads is not stated), `wz` (written, but reads as 0), `w1c` (write 1 to clear), `w1s` (write 1 to
    set), `rc` (cleared by reading). `optional`: an implementation may leave the field out, which then is read-only.
    `volatile`: what it reads after a write is not known from the map, because the hardware changes it or keeps only
    values that it supports. `effect`: what a write that changes the field starts; a proof of the access kinds never
    changes such a field.
    """

    def __init__(
        self,
        high: int,
        low: int | None = None,
        values: type[IntEnum] | None = None,
        *,
        access: Access = "rw",
        optional: bool = False,
        volatile: bool = False,
        effect: str = "",
    ) -> None:
        self.high = high
        self.low = high if low is None else low
        self.values = values
        self.access: Access = access
        self.optional = optional
        self.volatile = volatile
        self.effect = effect
        self.name = "?"
        if not 0 <= self.low <= self.high:
            raise FieldError(f"field bits {high}:{low} are not a range")

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @property
    def width(self) -> int:
        """Width in bits."""
        return self.high - self.low + 1

    @property
    def mask(self) -> int:
        """The field's bits, in place."""
        return ((1 << self.width) - 1) << self.low

    @overload
    def __get__(self, instance: None, owner: type[Register]) -> Self: ...
    @overload
    def __get__(self, instance: Register, owner: type[Register]) -> int: ...
    def __get__(self, instance: Register | None, owner: type[Register]) -> Self | int:
        if instance is None:
            return self
        return self.extract(int(instance))

    def extract(self, value: int) -> int:
        """The field's value inside the register value `value`; an enum member where the manual names it."""
        raw = (value & self.mask) >> self.low
        if self.values is not None:
            try:
                return self.values(raw)
            except ValueError:
                return raw
        return raw

    def describe(self, value: int) -> str:
        """`MASK=1`, or `DELIVERY_MODE=NMI` where the manual names the encoding."""
        content = self.extract(value)
        if isinstance(content, IntEnum):
            return f"{self.name}={content.name}"
        return f"{self.name}={content:#x}" if self.width > 3 else f"{self.name}={content}"


class Register(int):
    """A register's value; subclasses declare its `Field`s. The width is in bits.

    `reserved` is what the manual states of the bits that no field covers: `zero` or `ones` (read so whatever is
    written), `preserve` (software writes back what it read), `undefined` (nothing is stated of a read), `fault`
    (setting one is an exception). A register of a block that has such bits states it.
    """

    WIDTH: ClassVar[int] = 32
    FIELDS: ClassVar[dict[str, Field]] = {}
    RESERVED: ClassVar[Reserved | None] = None

    def __init_subclass__(cls, *, width: int | None = None, reserved: Reserved | None = None) -> None:
        if width is not None:
            cls.WIDTH = width
        if reserved is not None:
            cls.RESERVED = reserved
        own = {name: item for name, item in vars(cls).items() if isinstance(item, Field)}
        cls.FIELDS = {**cls.FIELDS, **own}
        used = 0
        for field in cls.FIELDS.values():
            if field.high >= cls.WIDTH:
                raise FieldError(f"{cls.__name__}.{field.name}: bit {field.high} is outside {cls.WIDTH} bits")
            if field.name in own and used & field.mask:
                raise FieldError(f"{cls.__name__}.{field.name}: overlaps another field")
            used |= field.mask

    def __new__(cls, value: int = 0) -> Self:  # noqa: D102
        if not 0 <= value < 1 << cls.WIDTH:
            raise FieldError(f"{cls.__name__}: {value:#x} does not fit {cls.WIDTH} bits")
        return super().__new__(cls, value)

    @classmethod
    def field(cls, name: str) -> Field:
        """The field called `name`; `FieldError` names the register's fields if there is none."""
        found = cls.FIELDS.get(name)
        if found is None:
            near = difflib.get_close_matches(name, cls.FIELDS, n=1)
            hint = f"; did you mean {near[0]}?" if near else "."
            known = ", ".join(cls.FIELDS) or "none (it is one plain number)"
            raise FieldError(f"{cls.__name__} has no field {name}{hint} Its fields are: {known}")
        return found

    @classmethod
    def of(cls, base: int = 0, /, **fields: int) -> Self:
        """`base` with the named fields set. Raises `FieldError` for an unknown field or a value too large."""
        value = int(cls(base))
        for name, content in fields.items():
            field = cls.field(name)
            if not 0 <= content < 1 << field.width:
                top = (1 << field.width) - 1
                raise FieldError(f"{cls.__name__}.{name} is {field.width} bit wide (0 to {top:#x}), got {content:#x}")
            value = value & ~field.mask | int(content) << field.low
        return cls(value)

    @classmethod
    def mask_of(cls, *names: str) -> int:
        """The bits of the named fields, in place."""
        mask = 0
        for name in names:
            mask |= cls.field(name).mask
        return mask

    def __str__(self) -> str:
        digits = self.WIDTH // 4
        parts = [f.describe(int(self)) for f in sorted(self.FIELDS.values(), key=lambda f: -f.high)]
        head = f"{type(self).__name__} {int(self):#0{digits + 2}x}"
        return f"{head}: {' '.join(parts)}" if parts else head

    def __repr__(self) -> str:
        return f"<{self}>"

    def __format__(self, spec: str) -> str:
        return format(int(self), spec) if spec else str(self)
