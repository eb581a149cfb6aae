"""Instructions to checked bytes: Keystone proposes, and nothing passes that the round trip does not confirm."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.addresses import displacement_problem
from harness.assembly.errors import Refusal
from harness.assembly.expression import Name, Node, Number, Value, evaluate, has_position, names_of
from harness.assembly.keystone_encoder import FILLING, propose, repair
from harness.assembly.mnemonics import ROTATES
from harness.assembly.no_operands import NO_OPERANDS, no_operand_bytes
from harness.assembly.operands import Far, Immediate, Memory
from harness.assembly.registers import Register
from harness.assembly.round_trip import decode_as, mismatch, shown_size, without_superfluous_prefixes
from harness.assembly.settle import Request, settle, wrong_operands
from harness.assembly.settled import Encoded, Field, Settled, SettledMemory, SettledValue, check_value
from harness.assembly.special_forms import special_form
from harness.assembly.statement import Instruction

__all__ = ["Completed", "Key", "Outcome", "complete", "encode"]


class Key(NamedTuple):
    """What an encoding depends on: the mode, the statement's text, and the early values of its names."""

    mode: int
    text: str
    values: tuple[int | None, ...]


class Completed(NamedTuple):
    """Bytes that layout completed, what they must decode to, and their address."""

    settled: Settled
    data: bytes
    address: int

    def check(self) -> None:
        """Raise `Refusal` if the bytes decode to another instruction."""
        reason = mismatch(self.settled, self.data, self.address)
        if reason is not None:
            raise Refusal(f"cannot be assembled rightly: {reason}")


Outcome: TypeAlias = Encoded | Refusal
ValueOf: TypeAlias = Callable[[Node], Value]

_memo: Final[dict[Key, Outcome]] = {}
_MEMO_LIMIT: Final = 65536
_SIZES: Final = {
    8: "byte ptr",
    16: "word ptr",
    32: "dword ptr",
    64: "qword ptr",
    80: "tbyte ptr",
    128: "xmmword ptr",
    256: "ymmword ptr",
}
_OTHER_SIZE: Final = ROTATES | {"crc32", "movsx", "movzx"}
"""Mnemonics in which a register does not determine the size of the memory operand."""


def encode(wanted: Mapping[Key, Instruction]) -> Mapping[Key, Outcome]:
    """The encoding or refusal of each instruction; each distinct one is made and checked once."""
    if len(_memo) > _MEMO_LIMIT:
        _memo.clear()
    requests: dict[int, list[tuple[Key, Request]]] = {}
    for key, instruction in wanted.items():
        if key in _memo:
            continue
        try:
            prepared = _prepare(key, instruction)
        except Refusal as refusal:
            _memo[key] = refusal
            continue
        if isinstance(prepared, Encoded):
            _memo[key] = prepared
        else:
            requests.setdefault(key.mode, []).append((key, prepared))
    for mode, group in requests.items():
        for (key, request), slot in zip(group, propose(mode, [request.settled for _, request in group]), strict=True):
            try:
                _memo[key] = _judge(key, wanted[key], request, slot)
            except Refusal as refusal:
                _memo[key] = _with_hint(refusal, key, wanted[key])
    return _memo


def _prepare(key: Key, instruction: Instruction) -> Encoded | Request:
    """The bytes of an instruction that has a table of its own, or the request to Keystone."""
    if not instruction.operands and instruction.mnemonic in NO_OPERANDS:
        data = no_operand_bytes(instruction.mnemonic, instruction.prefixes, key.mode)
        return Encoded(data, Settled(key.mode, (), instruction.mnemonic, ()))
    early = _Early(key, instruction)
    made = special_form(instruction, key.mode, early)
    if made is None:
        return settle(instruction, key.mode, early)
    Completed(made.settled, made.data, 0).check()
    return made


class _Early:
    """The values of expressions, as far as they are known before layout."""

    __slots__ = ("values",)

    def __init__(self, key: Key, instruction: Instruction) -> None:
        self.values = dict(zip(instruction.names, key.values, strict=True))

    def __call__(self, node: Node) -> int | None:
        if isinstance(node, Number):
            return node.value
        if has_position(node) or any(self.values[name] is None for name in names_of(node)):
            return None
        return evaluate(node, self._leaf).number

    def _leaf(self, leaf: object) -> Value:
        assert isinstance(leaf, Name)
        return Value(self.values[leaf.name] or 0)


def _judge(key: Key, instruction: Instruction, request: Request, slot: bytes) -> Encoded:
    """The proposal, if it is what the statement says; raises `Refusal`."""
    settled, memory = request.settled, request.settled.memory
    if memory is None or memory.size or settled.mnemonic == "lea":
        return _confirmed(instruction, request, slot)
    size = shown_size(settled, slot) if slot else 0
    if slot and not size:
        return _confirmed(instruction, request, slot)
    registers = {operand.size for operand in settled.operands if isinstance(operand, Register)}
    if size in registers and settled.mnemonic not in _OTHER_SIZE:
        return _confirmed(instruction, _sized(request, size), slot)
    return _only_size(key, instruction)


def _sized(request: Request, size: int) -> Request:
    operands = [o._replace(size=size) if isinstance(o, SettledMemory) else o for o in request.settled.operands]
    return request._replace(settled=request.settled._replace(operands=tuple(operands)))


def _only_size(key: Key, instruction: Instruction) -> Encoded:
    """The encoding with the one size that a memory operand without a size can have; raises `Refusal`."""
    found: dict[int, Encoded] = {}
    early = _Early(key, instruction)
    for size in _SIZES:
        operands = [o._replace(size=size) if isinstance(o, Memory) else o for o in instruction.operands]
        sized = instruction._replace(operands=tuple(operands))
        try:
            request = settle(sized, key.mode, early)
            found[size] = _confirmed(sized, request, propose(key.mode, [request.settled])[0])
        except Refusal:
            continue
    if not found:
        raise wrong_operands(instruction, key.mode)
    if len(found) > 1:
        names = ", ".join(_SIZES[size] for size in found)
        raise Refusal("the size of the memory operand is unknown", f"write one of {names}")
    return next(iter(found.values()))


def _with_hint(refusal: Refusal, key: Key, instruction: Instruction) -> Refusal:
    """The refusal; it says so where the same address without a size is accepted."""
    if refusal.suggestion is None and [*map(type, instruction.operands)] == [Memory]:
        (memory,) = instruction.operands
        assert isinstance(memory, Memory)
        bare = instruction._replace(operands=(memory._replace(size=None),))
        try:
            request = settle(bare, key.mode, _Early(key, bare))
            _judge(key, bare, request, propose(key.mode, [request.settled])[0])
        except Refusal:
            return refusal
        return Refusal(refusal.reason, "write the address without a size")
    return refusal


def _confirmed(instruction: Instruction, request: Request, slot: bytes) -> Encoded:
    """The instruction in a slot after its round trip; raises `Refusal`."""
    settled = request.settled
    decoded = decode_as(settled, slot, 0) if slot else None
    if decoded is None or slot[decoded[0] :].strip(FILLING):
        raise wrong_operands(instruction, settled.mode)
    data = without_superfluous_prefixes(settled, repair(settled, slot[: decoded[0]]))
    if mismatch(settled, data) is not None:
        raise wrong_operands(instruction, settled.mode)
    return Encoded(data, settled, _located(data, settled, request.fields))


def _located(data: bytes, settled: Settled, fields: Sequence[Field]) -> tuple[Field, ...]:
    """The fields with their offsets, found by the placeholders that stand in them."""
    located: list[Field] = []
    for field in fields:
        operand = settled.operands[field.operand]
        if isinstance(operand, SettledValue):
            placeholder = operand.value.to_bytes(field.width // 8, "little")
            offset = len(data) - len(placeholder) if data.endswith(placeholder) else -1
        else:
            assert isinstance(operand, SettledMemory)
            placeholder = operand.displacement.to_bytes(field.width // 8, "little")
            offset = data.find(placeholder)  # the first: what could look the same is an immediate, which comes later
        if offset < 1:
            raise Refusal(f"cannot be assembled: no field for the value in {data.hex(' ')}")
        located.append(field._replace(offset=offset))
    return tuple(located)


def _node(instruction: Instruction, encoded: Encoded, field: Field) -> Node:
    """The expression whose value goes into a field."""
    operands = instruction.operands
    if len(operands) == 1 and isinstance(operands[0], Far):
        return operands[0].selector if field.operand == 0 else operands[0].offset
    position = field.operand
    if len(encoded.settled.operands) > len(operands):  # IMUL with two operands is one with three
        position -= 1
    operand = operands[position]
    if isinstance(operand, Memory):
        return operand.displacement
    assert isinstance(operand, Immediate)
    return operand.value


def complete(instruction: Instruction, encoded: Encoded, address: int, value_of: ValueOf) -> Completed:
    """The bytes at `address` with their fields filled in; raises `Refusal`."""
    data = bytearray(encoded.data)
    operands = list(encoded.settled.operands)
    for field in encoded.fields:
        value = value_of(_node(instruction, encoded, field))
        number = value.number
        operand = operands[field.operand]
        if isinstance(operand, SettledMemory):
            if field.kind == "relative":
                if value.weight != 1:
                    raise Refusal(
                        "RIP-relative to a number instead of a label",
                        "use a label, or leave out rip for an absolute address",
                    )
                number -= address + len(data)
                if not -(1 << 31) <= number < (1 << 31):
                    raise Refusal(f"the label is out of reach: {number:#x} bytes away")
            elif field.kind == "address":
                problem = displacement_problem(number, operand)
                if problem is not None:
                    raise problem
            operands[field.operand] = operand._replace(displacement=number)
        else:
            assert isinstance(operand, SettledValue)
            check_value(number, field.width, field.kind)
            operands[field.operand] = operand._replace(value=number)
        mask = (1 << field.width) - 1
        data[field.offset : field.offset + field.width // 8] = (number & mask).to_bytes(field.width // 8, "little")
    return Completed(encoded.settled._replace(operands=tuple(operands)), bytes(data), address)
