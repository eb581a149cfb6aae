"""Encodes instructions: Keystone proposes bytes, and the round trip must confirm them."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import Number, early_value
from harness.assembly.items import Item
from harness.assembly.keystone_encoder import FILLING, propose, repair
from harness.assembly.no_operands import NO_OPERANDS, no_operand_bytes
from harness.assembly.operands import SIZE_NAMES, Immediate, MemoryOperand
from harness.assembly.round_trip import check, decode_as, mismatch, without_superfluous_prefixes
from harness.assembly.settle import Early, settle, wrong_operands
from harness.assembly.settled import Encoded, Settled, SettledMemory, SettledValue, check_value, little_endian, located
from harness.assembly.source import Refusal
from harness.assembly.special_forms import special_form
from harness.assembly.statement import Instruction

__all__ = ["EncodingKey", "Outcome", "complete", "encode"]


class EncodingKey(NamedTuple):
    """What an encoding depends on: the mode, the statement's text, and the early values of its names."""

    mode: int
    text: str
    values: tuple[int | None, ...]


Outcome: TypeAlias = Encoded | Refusal

_memo: Final[dict[EncodingKey, Outcome]] = {}
_MEMO_LIMIT: Final = 65536


def encode(wanted: Mapping[EncodingKey, Instruction]) -> Mapping[EncodingKey, Outcome]:
    """The encoding or refusal of each instruction; each distinct one is made and checked once."""
    if len(_memo) > _MEMO_LIMIT:
        _memo.clear()
    requests: dict[int, list[tuple[EncodingKey, Encoded]]] = {}
    for key, instruction in wanted.items():
        if key in _memo:
            continue
        try:
            prepared = _prepare(key, instruction)
        except Refusal as refusal:
            _memo[key] = refusal
            continue
        if prepared.data:
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


def _prepare(key: EncodingKey, instruction: Instruction) -> Encoded:
    """The bytes of an instruction that has a table of its own, or the request to Keystone, which has none."""
    if not instruction.operands and instruction.mnemonic in NO_OPERANDS:
        data = no_operand_bytes(instruction.mnemonic, instruction.prefixes, key.mode)
        return Encoded(data, Settled(key.mode, (), instruction.mnemonic, ()))
    early = _early(key, instruction)
    made = special_form(instruction, key.mode, early)
    if made is None:
        return settle(instruction, key.mode, early)
    check(made.settled, made.data, 0)
    return made


def _early(key: EncodingKey, instruction: Instruction) -> Early:
    values = dict(zip(instruction.names, key.values, strict=True))
    return lambda node: early_value(node, values.get)


def _judge(key: EncodingKey, instruction: Instruction, request: Encoded, slot: bytes) -> Encoded:
    """The proposal, if the decoder confirms the statement, if need be with another size; raises `Refusal`."""
    try:
        return _confirmed(instruction, request, slot)
    except Refusal:
        unsized = [item for item in instruction.operands if isinstance(item, MemoryOperand) and item.size is None]
        if not unsized or instruction.mnemonic == "lea":
            raise
    return _sized(key, instruction)


def _attempt(key: EncodingKey, instruction: Instruction, size: int | None) -> Encoded:
    """The instruction with another size of its memory operand; raises `Refusal`."""
    operands = [
        operand._replace(size=size) if isinstance(operand, MemoryOperand) else operand
        for operand in instruction.operands
    ]
    changed = instruction._replace(operands=tuple(operands))
    request = settle(changed, key.mode, _early(key, changed))
    return _judge(key, changed, request, propose(key.mode, [request.settled])[0])


def _sized(key: EncodingKey, instruction: Instruction) -> Encoded:
    """The encoding with the one size that a memory operand without a size can have; raises `Refusal`."""
    with contextlib.suppress(Refusal):
        return _attempt(key, instruction, 0)  # the mnemonic implies the size
    operands = [Immediate(Number(1)) if isinstance(operand, Immediate) else operand for operand in instruction.operands]
    small = instruction._replace(operands=tuple(operands))  # the size must not follow from a value that fits only one
    sizes: list[int] = []
    for size in SIZE_NAMES:
        with contextlib.suppress(Refusal):
            if _attempt(key, small, size).settled.mnemonic not in ("ljmp", "lcall"):  # those are written with a size
                sizes.append(size)
    if not sizes:
        raise wrong_operands(instruction, key.mode)
    if len(sizes) > 1 or instruction.mnemonic in ("movzx", "movsx"):
        names = ", ".join(SIZE_NAMES[size] for size in sizes)
        raise Refusal("the size of the memory operand is unknown", f"write one of {names}")
    return _attempt(key, instruction, sizes[0])


def _with_hint(refusal: Refusal, key: EncodingKey, instruction: Instruction) -> Refusal:
    """The refusal, with a hint where the same address without a size is accepted."""
    if refusal.suggestion is None and [type(operand) for operand in instruction.operands] == [MemoryOperand]:
        with contextlib.suppress(Refusal):
            _attempt(key, instruction, None)
            return Refusal(refusal.reason, "write the address without a size")
    return refusal


def _confirmed(instruction: Instruction, request: Encoded, slot: bytes) -> Encoded:
    """The instruction in a slot after its round trip; raises `Refusal`."""
    settled = request.settled
    decoded = decode_as(settled, slot, 0) if slot else None
    data = b""
    if decoded is not None and not slot[decoded[0] :].strip(FILLING):
        data = without_superfluous_prefixes(settled, repair(settled, slot[: decoded[0]]))
    if not data or mismatch(settled, data) is not None:
        raise wrong_operands(instruction, settled.mode)
    return Encoded(data, settled, tuple([located(data, settled, field) for field in request.fields]))


def complete(encoded: Encoded, item: Item) -> bytes:
    """The bytes of an item, at its address, with their fields filled in, after a round trip; raises `Refusal`."""
    data = bytearray(encoded.data)
    operands = list(encoded.settled.operands)
    for field in encoded.fields:
        value, operand = item.value(field.node), operands[field.operand]
        relative = field.kind == "relative"
        number = value.number - (item.address + len(data)) * relative
        if isinstance(operand, SettledMemory):
            if relative and value.weight != 1:
                raise Refusal(
                    "RIP-relative to a number instead of a label",
                    "use a label, or leave out rip for an absolute address",
                )
            if field.kind == "address":
                operand.check(number)
            operands[field.operand] = operand._replace(displacement=number)
        elif isinstance(operand, SettledValue):
            operands[field.operand] = SettledValue(value.number, operand.size)
        if field.kind != "address":
            check_value(number, field.width, field.kind)
        data[field.offset : field.offset + field.width // 8] = little_endian(number, field.width)
    mode, prefixes, mnemonic, _, wide = encoded.settled
    check(Settled(mode, prefixes, mnemonic, tuple(operands), wide), bytes(data), item.address)
    return bytes(data)
