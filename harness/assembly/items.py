"""What a unit is made of between parsing and bytes: each item knows its size and, at the end, its bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from harness.assembly.encode import Completed, complete
from harness.assembly.errors import Refusal
from harness.assembly.expression import Node, Value
from harness.assembly.settled import Encoded, Settled, SettledValue, check_value
from harness.assembly.statement import Instruction
from harness.assembly.transfers import Transfer

__all__ = ["Align", "Bytes", "Code", "Data", "Item", "Jump", "Marker", "Org", "Place", "Space"]

LIMIT = 64 << 20
"""The most bytes that one directive may make."""


@dataclass(slots=True)
class Place:
    """Where an item stands: its source line, its place among the items, the scope of its labels."""

    line: int
    text: str
    block: int
    mode: int
    index: int = 0
    address: int = 0
    known: Mapping[str, int] = field(default_factory=dict)
    """Values, at this point, of symbols that `.set` gives several values."""


Evaluate: TypeAlias = Callable[[Node, Place], Value]


def number(evaluate: Evaluate, node: Node, place: Place) -> Value:
    """The value of an expression that must be a number or an address."""
    value = evaluate(node, place)
    if value.weight not in (0, 1):
        raise Refusal("the expression is neither a number nor an address (the difference of two labels is a number)")
    return value


@dataclass(slots=True)
class Marker:
    """A label or a directive without bytes."""

    place: Place
    kind: int

    def size(self, evaluate: Evaluate) -> int:
        """No bytes."""
        return 0

    def data(self, evaluate: Evaluate) -> bytes:
        """No bytes."""
        return b""


@dataclass(slots=True)
class Code:
    """An instruction of fixed size."""

    place: Place
    instruction: Instruction
    encoded: Encoded
    kind: int = 0

    def size(self, evaluate: Evaluate) -> int:
        """The size of the instruction in bytes."""
        return len(self.encoded.data)

    def data(self, evaluate: Evaluate) -> bytes:
        """The bytes, checked again where fields were filled in."""
        if not self.encoded.fields:
            return self.encoded.data
        place = self.place
        done = complete(self.instruction, self.encoded, place.address, lambda node: number(evaluate, node, place))
        done.check()
        return done.data


@dataclass(slots=True)
class Jump:
    """A relative transfer: short while the target is in reach; never shrinks again, so that layout comes to an end."""

    place: Place
    transfer: Transfer
    near: bool = False
    kind: int = 0

    def size(self, evaluate: Evaluate) -> int:
        """The size in bytes of the form chosen so far."""
        transfer = self.transfer
        if self.near or not transfer.short:
            return len(transfer.near) + transfer.near_width // 8
        return len(transfer.short) + 1

    def grow(self, evaluate: Evaluate) -> bool:
        """Take the near form if there is one and the short one does not reach; whether that changed anything."""
        transfer = self.transfer
        if self.near or not transfer.near:
            return False
        target = number(evaluate, transfer.target, self.place).number
        self.near = not transfer.short or transfer.encode(False, self.place.address, target) is None
        return self.near and bool(transfer.short)

    def data(self, evaluate: Evaluate) -> bytes:
        """The bytes, after a round trip through the decoder."""
        target = number(evaluate, self.transfer.target, self.place).number
        address = self.place.address
        data = self.transfer.encode(self.near, address, target)
        if data is None:
            distance = target - address
            hint = "jump over a plain jmp" if not self.near else None
            raise Refusal(f"the target is out of reach: {distance:+#x} bytes away", hint)
        width = 16 if self.transfer.mode == 16 else self.transfer.mode
        settled = Settled(self.transfer.mode, (), self.transfer.mnemonic, (SettledValue(target, width),))
        Completed(settled, data, address).check()
        return data


@dataclass(slots=True)
class Bytes:
    """Bytes that are known as written."""

    place: Place
    content: bytes
    kind: int = 1

    def size(self, evaluate: Evaluate) -> int:
        """The number of bytes."""
        return len(self.content)

    def data(self, evaluate: Evaluate) -> bytes:
        """The bytes."""
        return self.content


@dataclass(slots=True)
class Data:
    """`.byte`, `.word`, `.long`, `.quad`: values of `width` bits."""

    place: Place
    width: int
    nodes: tuple[Node, ...]
    kind: int = 1

    def size(self, evaluate: Evaluate) -> int:
        """The number of bytes."""
        return len(self.nodes) * self.width // 8

    def data(self, evaluate: Evaluate) -> bytes:
        """The values, little-endian; raises `Refusal` for one that does not fit."""
        result = bytearray()
        mask = (1 << self.width) - 1
        for node in self.nodes:
            value = number(evaluate, node, self.place).number
            check_value(value, self.width, "immediate")
            result += (value & mask).to_bytes(self.width // 8, "little")
        return bytes(result)


@dataclass(slots=True)
class Space:
    """`.zero`, `.skip`, `.fill`: `count` times a value of `width` bits."""

    place: Place
    count: Node
    width: int
    value: Node
    kind: int = 1
    last: int = 0

    def size(self, evaluate: Evaluate) -> int:
        """The number of bytes; raises `Refusal` for a count that is negative or absurd."""
        value = number(evaluate, self.count, self.place)
        if value.weight:
            raise Refusal("the count is an address", "the difference of two labels is a number")
        self.last = value.number * self.width // 8
        if not 0 <= self.last <= LIMIT:
            raise Refusal(f"a count of {value.number}: it must be 0 to {LIMIT * 8 // self.width}")
        return self.last

    def data(self, evaluate: Evaluate) -> bytes:
        """The bytes."""
        value = number(evaluate, self.value, self.place).number
        check_value(value, self.width, "immediate")
        one = (value & ((1 << self.width) - 1)).to_bytes(self.width // 8, "little")
        return one * (self.last // len(one))


@dataclass(slots=True)
class Align:
    """`.balign`: up to the next multiple of `boundary`, with `fill`, but not by more than `limit` bytes."""

    place: Place
    boundary: int
    fill: int
    limit: int | None
    kind: int = 3

    def size(self, evaluate: Evaluate) -> int:
        """The number of bytes to the boundary."""
        missing = -self.place.address % self.boundary
        return 0 if self.limit is not None and missing > self.limit else missing

    def data(self, evaluate: Evaluate) -> bytes:
        """The filling."""
        return bytes([self.fill]) * self.size(evaluate)


@dataclass(slots=True)
class Org:
    """`.org`: up to an address, with `fill`."""

    place: Place
    target: Node
    fill: int
    kind: int = 3

    def size(self, evaluate: Evaluate) -> int:
        """The number of bytes to the address (0 for now if layout is past it: `data` refuses that)."""
        missing = number(evaluate, self.target, self.place).number - self.place.address
        return max(0, min(missing, LIMIT + 1))

    def data(self, evaluate: Evaluate) -> bytes:
        """The filling; raises `Refusal` if the address is already passed."""
        target = number(evaluate, self.target, self.place).number
        missing = target - self.place.address
        if missing < 0:
            raise Refusal(
                f".org goes back: it stands at {self.place.address:#x}, {-missing:#x} bytes past {target:#x}",
                "the code before it is too long",
            )
        if missing > LIMIT:
            raise Refusal(f".org to {target:#x} would fill {missing:#x} bytes", "it takes an address: LABEL + OFFSET")
        return bytes([self.fill]) * missing


Item: TypeAlias = Marker | Code | Jump | Bytes | Data | Space | Align | Org
