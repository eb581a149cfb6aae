"""The items of a unit between parsing and bytes: each has its size and, after layout, its bytes.

Relative transfers are encoded here, by their exact bytes (Intel SDM, volume 2: Jcc, JMP, CALL, LOOP, JCXZ, XBEGIN).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from harness.assembly.encode import complete
from harness.assembly.expression import ExpressionValue, Node
from harness.assembly.mnemonics import CONDITIONS
from harness.assembly.operands import Immediate
from harness.assembly.round_trip import check
from harness.assembly.settled import Encoded, Settled, SettledValue, check_value
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = [
    "Item",
    "ItemPosition",
    "Transfer",
    "align",
    "code",
    "jump",
    "org",
    "space",
    "transfer",
    "values",
]

LIMIT: Final = 64 << 20
"""The most bytes that one directive may make."""

INSTRUCTION, DATA, LABEL, DIRECTIVE = range(4)
"""Kinds of items: indexes into `listing.KINDS`."""


@dataclass(slots=True)
class ItemPosition:
    """The position of an item: its source line, its place among the items, the scope of its labels."""

    line: int
    text: str
    block: int
    mode: int
    index: int
    evaluate: Callable[[Node, ItemPosition], ExpressionValue]
    known: Mapping[tuple[int, str], int]
    """Values, at this point, of symbols that `.set` gives several values."""
    address: int = 0

    def value(self, node: Node) -> ExpressionValue:
        """The value, at this place, of an expression that must be a number or an address."""
        value = self.evaluate(node, self)
        if value.weight not in (0, 1):
            raise Refusal(
                "the expression is neither a number nor an address (the difference of two labels is a number)"
            )
        return value

    def number(self, node: Node) -> int:
        """The number of that value."""
        return self.value(node).number


@dataclass(slots=True)
class Item:
    """A label, directive or instruction. A size that depends on the layout, and bytes that do, are functions."""

    place: ItemPosition
    kind: int
    size: int | Callable[[], int] = 0
    data: bytes | Callable[[], bytes] = b""


def code(place: ItemPosition, encoded: Encoded) -> Item:
    """An instruction of fixed size."""
    if not encoded.fields:
        return Item(place, INSTRUCTION, len(encoded.data), encoded.data)
    return Item(place, INSTRUCTION, len(encoded.data), lambda: complete(encoded, place.address, place.value))


def jump(place: ItemPosition, transfer: Transfer) -> Item:
    """A relative transfer; its size is that of the short form, and layout updates it."""
    return Item(place, INSTRUCTION, transfer.size, lambda: transfer.data(place.address, place.number(transfer.target)))


def values(place: ItemPosition, width: int, nodes: tuple[Node, ...]) -> Item:
    """`.byte`, `.word`, `.long`, `.quad`: values of `width` bits."""

    def data() -> bytes:
        return b"".join([_little_endian(place.number(node), width) for node in nodes])

    return Item(place, DATA, len(nodes) * width // 8, data)


def _little_endian(value: int, width: int) -> bytes:
    check_value(value, width, "immediate")
    return (value & ((1 << width) - 1)).to_bytes(width // 8, "little")


def space(place: ItemPosition, count: Node, width: int, value: Node) -> Item:
    """`.zero`, `.skip`, `.fill`: `count` times a value of `width` bits."""

    def times() -> int:
        found = place.value(count)
        if found.weight:
            raise Refusal("the count is an address", "the difference of two labels is a number")
        if not 0 <= found.number * width // 8 <= LIMIT:
            raise Refusal(f"a count of {found.number}: it must be 0 to {LIMIT * 8 // width}")
        return found.number

    def data() -> bytes:
        return _little_endian(place.number(value), width) * times()

    return Item(place, DATA, lambda: times() * width // 8, data)


def align(place: ItemPosition, boundary: int, fill: int, limit: int | None) -> Item:
    """`.balign`: up to the next multiple of `boundary`, with `fill`, but not by more than `limit` bytes."""

    def missing() -> int:
        count = -place.address % boundary
        return 0 if limit is not None and count > limit else count

    return Item(place, DIRECTIVE, missing, lambda: bytes([fill]) * missing())


def org(place: ItemPosition, target: Node, fill: int) -> Item:
    """`.org`: up to an address, with `fill`."""

    def missing() -> int:
        return place.number(target) - place.address

    def data() -> bytes:
        count = missing()
        if count < 0:
            raise Refusal(
                f".org moves back: {place.address:#x} is {-count:#x} bytes past {place.address + count:#x}",
                "the code before it is too long",
            )
        if count > LIMIT:
            raise Refusal(
                f".org to {place.address + count:#x} would fill {count:#x} bytes", "it takes an address: LABEL + OFFSET"
            )
        return bytes([fill]) * count

    # While layout is past the address the size is 0: `data` refuses that in the end.
    return Item(place, DIRECTIVE, lambda: max(0, min(missing(), LIMIT + 1)), data)


_SHORT_ONLY: Final = {"loopne": 0xE0, "loopnz": 0xE0, "loope": 0xE1, "loopz": 0xE1, "loop": 0xE2}
_COUNTER: Final = {"jcxz": 16, "jecxz": 32, "jrcxz": 64}
_UNCONDITIONAL: Final = {"jmp": (b"\xeb", b"\xe9"), "call": (b"", b"\xe8"), "xbegin": (b"", b"\xc7\xf8")}


@dataclass(slots=True)
class Transfer:
    """A relative transfer. `forms` are its opcodes with the width of the displacement in bits, the short one first.

    It starts with the first form and only ever grows, so that layout comes to an end.
    """

    mnemonic: str
    mode: int
    target: Node
    forms: list[tuple[bytes, int]]
    chosen: int = 0

    @property
    def size(self) -> int:
        """The size in bytes of the chosen form."""
        opcode, width = self.forms[self.chosen]
        return len(opcode) + width // 8

    def _reaches(self, address: int, target: int) -> bool:
        half = 1 << (self.forms[self.chosen][1] - 1)
        return -half <= target - address - self.size < half

    def grow(self, address: int, target: int) -> bool:
        """Take the next form if there is one and this one does not reach; whether that changed anything."""
        if self.chosen + 1 == len(self.forms) or self._reaches(address, target):
            return False
        self.chosen += 1
        return True

    def data(self, address: int, target: int) -> bytes:
        """The bytes at `address`, after a round trip through the decoder; raises `Refusal` if the target is too far."""
        opcode, width = self.forms[self.chosen]
        if not self._reaches(address, target):
            hint = "jump over a plain jmp" if width == 8 else None
            raise Refusal(f"the target is out of reach: {target - address:+#x} bytes away", hint)
        displacement = (target - address - self.size) & ((1 << width) - 1)
        data = opcode + displacement.to_bytes(width // 8, "little")
        check(Settled(self.mode, (), self.mnemonic, (SettledValue(target, self.mode),)), data, address)
        return data


def transfer(instruction: Instruction, mode: int) -> Transfer:
    """The relative transfer that an instruction with one immediate operand means; raises `Refusal`."""
    mnemonic = instruction.mnemonic
    operand = instruction.operands[0]
    assert isinstance(operand, Immediate)
    if instruction.prefixes:
        raise Refusal(f"{instruction.prefixes[0]} is not allowed before {mnemonic}")
    short, near = _opcodes(mnemonic, mode)
    if operand.short and not short:
        raise Refusal(f"{mnemonic} has no short form")
    forms = [(short, 8), (b"" if operand.short else near, 16 if mode == 16 else 32)]
    return Transfer(mnemonic, mode, operand.value, [form for form in forms if form[0]])


def _opcodes(mnemonic: str, mode: int) -> tuple[bytes, bytes]:
    """The opcodes with an 8-bit and with a full displacement; empty where there is none."""
    if mnemonic in _UNCONDITIONAL:
        return _UNCONDITIONAL[mnemonic]
    if mnemonic in _SHORT_ONLY:
        return bytes([_SHORT_ONLY[mnemonic]]), b""
    if mnemonic in _COUNTER:
        width = _COUNTER[mnemonic]
        if (width == 64) != (mode == 64) and width != 32:
            raise Refusal(f"{mnemonic} does not exist in {mode}-bit mode")
        return (b"\xe3" if width == mode else b"\x67\xe3"), b""
    code = CONDITIONS[mnemonic[1:]]
    return bytes([0x70 + code]), bytes([0x0F, 0x80 + code])
