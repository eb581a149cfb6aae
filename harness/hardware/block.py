"""Blocks: registers at places, and the bus that reaches them.

A block (local APIC, HPET …) declares its registers at offsets. Bound to a bus it becomes the typed face that a probe
uses: `k.hpet.TIMER[0].CONFIG.write(INT_ENABLE=1)`. The bus decides what an access means: the kernel builder's bus
emits guest instructions.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, Self, TypeVar, overload

from harness.hardware.register import Access, FieldError, Register

__all__ = ["Array", "At", "AtArray", "Block", "Bound", "Bus", "Place", "PlaceholderError", "Space", "Sub", "Value"]

R = TypeVar("R", bound=Register)
T = TypeVar("T", bound=int)
B = TypeVar("B", bound="Block")


class PlaceholderError(TypeError):
    """A guest value was used above the `yield`, where it does not exist yet."""


class Value(Generic[T]):
    """A 64-bit slot that the guest fills while it runs; `run[value]` reads it below the `yield`.

    Above the `yield` it is a placeholder: comparing it or taking its truth raises `PlaceholderError`.
    """

    __slots__ = ("index", "name", "type")

    def __init__(self, name: str, index: int, type_: type[T]) -> None:
        self.name = name
        self.index = index
        self.type = type_

    def _refuse(self, what: str) -> PlaceholderError:
        return PlaceholderError(
            f"{what} the guest value {self.name!r} itself: above the yield the guest has not run, and below it "
            f"run[…] reads the value. Expected: run[{self.name}] below the yield"
        )

    def __bool__(self) -> bool:
        raise self._refuse("taking the truth of")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        raise self._refuse("comparing")

    def __lt__(self, other: object) -> bool:
        raise self._refuse("comparing")

    __le__ = __gt__ = __ge__ = __lt__

    def __int__(self) -> int:
        raise self._refuse("converting")

    __index__ = __int__

    def __add__(self, other: object) -> int:
        raise self._refuse("calculating with")

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __and__ = __rand__ = __or__ = __ror__ = __add__
    __xor__ = __rxor__ = __lshift__ = __rshift__ = __floordiv__ = __mod__ = __add__

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __repr__(self) -> str:
        return f"<guest value {self.name}>"


class Space(Enum):
    """Which address space a register lives in."""

    MMIO = "mmio"  # memory-mapped; the address is physical, identity-mapped in the guest
    PORT = "port"  # I/O port
    MSR = "msr"  # model-specific register: offset is its number
    IOAPIC = "ioapic"  # behind IOREGSEL/IOWIN of the IO APIC whose base is the place's base
    CMOS = "cmos"  # behind ports 70h/71h
    CONFIG = "config"  # PCI configuration space; the base is the function's ECAM or CF8 address
    CONTROL = "control"  # CR0, CR2 … by number
    DEBUG = "debug"  # DR0 … DR7 by number


@dataclass(frozen=True)
class Place(Generic[R]):
    """Where a register is: a space, a base (an address, or a guest value that holds it) and an offset in bytes.

    For a `Space.IOAPIC` register the offset is the register index; a 64-bit one takes two indices.
    """

    space: Space
    base: int | Value[Any]
    offset: int
    register: type[R]
    name: str
    access: Access = "rw"
    effect: str = ""
    volatile: bool = False

    @property
    def width(self) -> int:
        """Width of one access, in bits."""
        return self.register.WIDTH

    @property
    def address(self) -> int:
        """Absolute address, port or number. Raises `PlaceholderError` where the base is known to the guest only."""
        return int(self.base) + self.offset


class Bus(Protocol):
    """What a block needs of the object that performs its accesses."""

    def read(self, place: Place[R], name: str | None) -> Value[R]:
        """Read the register into a fresh value, named after the register unless `name` is given."""

    def write(self, place: Place[Any], value: int | Value[Any]) -> None:
        """Write the whole register."""

    def update(self, place: Place[Any], clear: int, value: int) -> None:
        """Read, clear the bits in `clear`, set those in `value`, write."""


class Bound(Generic[R]):
    """One register of one block, bound to a bus."""

    __slots__ = ("bus", "place")

    def __init__(self, bus: Bus, place: Place[R]) -> None:
        self.bus = bus
        self.place = place

    def read(self, name: str | None = None) -> Value[R]:
        """Read it in the guest; `run[value]` is the decoded register. Raises `FieldError` for a write-only one."""
        self._refuse_write_only("read")
        return self.bus.read(self.place, name)

    def write(self, value: int | Value[Any] | None = None, /, **fields: int) -> None:
        """Write a whole value, or one made of the named fields (all others 0).

        Raises `FieldError` at build time for an unknown field, a value too large, or a read-only register.
        """
        self.bus.write(self.place, self.encode(value, **fields))

    def update(self, **fields: int) -> None:
        """Read, change the named fields, write back (three guest steps, not atomic).

        Raises `FieldError` for an unknown field, a value too large, or a register that cannot be read or written.
        """
        register = self.place.register
        self._refuse_read_only()
        self._refuse_write_only("update")
        if not fields:
            raise FieldError(f"{self.place.name}.update() needs fields")
        self.bus.update(self.place, register.mask_of(*fields), int(register.of(**fields)))

    def encode(self, value: int | Value[Any] | None = None, /, **fields: int) -> int | Value[Any]:
        """What `write` would write."""
        self._refuse_read_only()
        try:
            if value is None:
                if not fields:
                    raise FieldError(f"{self.place.name}.write() needs a value or fields")
                return self.place.register.of(**fields)
            if isinstance(value, Value):
                if fields:
                    raise FieldError(f"{self.place.name}: a guest value and fields cannot be combined")
                return value
            return self.place.register.of(value, **fields)
        except FieldError as error:
            raise FieldError(f"{self.place.name}: {error}") from None

    def _refuse_read_only(self) -> None:
        if self.place.access in ("ro", "rc"):
            raise FieldError(
                f"{self.place.name} is read-only. To fix: where a probe must try the write, write it with k.asm(…)"
            )

    def _refuse_write_only(self, what: str) -> None:
        if self.place.access == "wo":
            raise FieldError(
                f"{self.place.name} is write-only: no {what}. To fix: where a probe must try it, write it with k.asm(…)"
            )

    def __repr__(self) -> str:
        return f"<{self.place.name}>"


class At(Generic[R]):
    """Declares a register at `offset` of a block.

    `alias` marks a second view of bytes that another register of the block covers in the same direction: a half of a
    64-bit register, or one of several command words that share a port. `access` is that of a register without fields,
    and the whole register's where it is `ro`, `wo` or `rc`. `effect`: what each write starts, or each read. `volatile`:
    the hardware changes the register at any time.
    """

    def __init__(
        self,
        offset: int,
        register: type[R],
        *,
        access: Access = "rw",
        alias: bool = False,
        effect: str = "",
        volatile: bool = False,
    ) -> None:
        self.offset = offset
        self.register = register
        self.access: Access = access
        self.alias = alias
        self.effect = effect
        self.volatile = volatile
        self.name = "?"

    def __set_name__(self, owner: type[Block], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type[Block]) -> Self: ...
    @overload
    def __get__(self, block: Block, owner: type[Block]) -> Bound[R]: ...
    def __get__(self, block: Block | None, owner: type[Block]) -> Self | Bound[R]:
        if block is None:
            return self
        return Bound(block.bus, block.place(self))


class Block:
    """A set of registers with one base. Subclasses give `SPACE`, a default `BASE`, and `At`/`Sub`/`Array` members."""

    SPACE: Space = Space.MMIO
    BASE: int = 0
    NAME: str = ""

    def __init__(self, bus: Bus, base: int | Value[Any] | None = None, *, offset: int = 0, name: str = "") -> None:
        self.bus = bus
        self.base: int | Value[Any] = self.BASE if base is None else base
        self.offset = offset
        self.name = name or self.NAME or type(self).__name__.lower()

    def place(self, at: At[R]) -> Place[R]:
        """The place of one of this block's registers."""
        name = f"{self.name}.{at.name}"
        return Place(
            self.SPACE, self.base, self.offset + at.offset, at.register, name, at.access, at.effect, at.volatile
        )

    @classmethod
    def registers(cls) -> dict[str, At[Any]]:
        """The single registers declared in the block itself, by name, those of its bases first."""
        found: dict[str, At[Any]] = {}
        for base in reversed(cls.__mro__):
            found.update({n: item for n, item in vars(base).items() if isinstance(item, At)})
        return found


class Sub(Generic[B]):
    """Declares a block inside a block, at `offset`."""

    def __init__(self, offset: int, block: type[B]) -> None:
        self.offset = offset
        self.block = block
        self.name = "?"

    def __set_name__(self, owner: type[Block], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type[Block]) -> Self: ...
    @overload
    def __get__(self, block: Block, owner: type[Block]) -> B: ...
    def __get__(self, block: Block | None, owner: type[Block]) -> Self | B:
        if block is None:
            return self
        return self.block(block.bus, block.base, offset=block.offset + self.offset, name=f"{block.name}.{self.name}")


class _Registers(Generic[R]):
    """The registers of a bound `AtArray`: index it, iterate it."""

    def __init__(self, block: Block, array: AtArray[R]) -> None:
        self._block = block
        self._array = array

    def __len__(self) -> int:
        return self._array.count

    def __getitem__(self, index: int) -> Bound[R]:
        array, block = self._array, self._block
        name = f"{block.name}.{array.name}[{index}]"
        if not 0 <= index < array.count:
            raise FieldError(f"{name}: there are {array.count}, from 0")
        offset = block.offset + array.offset + index * array.stride
        place = Place(block.SPACE, block.base, offset, array.register, name, array.access, array.effect, array.volatile)
        return Bound(block.bus, place)

    def __iter__(self) -> Iterator[Bound[R]]:
        return (self[index] for index in range(len(self)))


class AtArray(Generic[R]):
    """Declares `count` equal registers, `stride` apart, from `offset` on; the other arguments are those of `At`."""

    def __init__(
        self,
        offset: int,
        register: type[R],
        *,
        count: int,
        stride: int,
        access: Access = "rw",
        alias: bool = False,
        effect: str = "",
        volatile: bool = False,
    ) -> None:
        self.offset = offset
        self.register = register
        self.count = count
        self.stride = stride
        self.access: Access = access
        self.alias = alias
        self.effect = effect
        self.volatile = volatile
        self.name = "?"

    def __set_name__(self, owner: type[Block], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type[Block]) -> Self: ...
    @overload
    def __get__(self, block: Block, owner: type[Block]) -> _Registers[R]: ...
    def __get__(self, block: Block | None, owner: type[Block]) -> Self | _Registers[R]:
        if block is None:
            return self
        return _Registers(block, self)


class _Elements(Generic[B]):
    """The elements of a bound `Array`: index it, iterate it."""

    def __init__(self, block: Block, array: Array[B]) -> None:
        self._block = block
        self._array = array

    def __len__(self) -> int:
        return self._array.count

    def __getitem__(self, index: int) -> B:
        array, block = self._array, self._block
        if not 0 <= index < array.count:
            raise FieldError(f"{block.name}.{array.name}[{index}]: there are {array.count}, from 0")
        offset = block.offset + array.offset + index * array.stride
        return array.block(block.bus, block.base, offset=offset, name=f"{block.name}.{array.name}[{index}]")

    def __iter__(self) -> Iterator[B]:
        return (self[index] for index in range(len(self)))


class Array(Generic[B]):
    """Declares `count` equal blocks, `stride` apart, from `offset` on."""

    def __init__(self, offset: int, block: type[B], *, count: int, stride: int) -> None:
        self.offset = offset
        self.block = block
        self.count = count
        self.stride = stride
        self.name = "?"

    def __set_name__(self, owner: type[Block], name: str) -> None:
        self.name = name

    @overload
    def __get__(self, block: None, owner: type[Block]) -> Self: ...
    @overload
    def __get__(self, block: Block, owner: type[Block]) -> _Elements[B]: ...
    def __get__(self, block: Block | None, owner: type[Block]) -> Self | _Elements[B]:
        if block is None:
            return self
        return _Elements(block, self)
