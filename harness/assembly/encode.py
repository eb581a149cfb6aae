"""Instructions to checked bytes: chooses who encodes, asks in bulk; nothing passes that `check` did not confirm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.addresses import PLACEHOLDER, displacement_problem
from harness.assembly.check import decode, decode_as, decode_run
from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteValue, Encoded, Field
from harness.assembly.direct import DIRECT, Donor, direct
from harness.assembly.errors import Refusal
from harness.assembly.expression import Name, Node, Number, Value, evaluate, has_position, names_of
from harness.assembly.fixed import FIXED, fixed_bytes, fixed_decoded
from harness.assembly.keystone_front import FILLING, propose, propose_joined
from harness.assembly.operands import Far, Immediate, Memory
from harness.assembly.registers import REGISTERS
from harness.assembly.render import keystone_text
from harness.assembly.selection import Selected, check_value, select
from harness.assembly.statement import Instruction
from harness.assembly.witness import Claim, complaints

__all__ = ["Key", "Outcome", "complete", "encode", "field_node"]


class Key(NamedTuple):
    """What an encoding depends on: the mode, the statement's text, and the early values of its names."""

    mode: int
    text: str
    values: tuple[int | None, ...]


Outcome: TypeAlias = Encoded | Refusal

_memo: Final[dict[Key, Outcome]] = {}
_MEMO_LIMIT: Final = 65536


class _Request(NamedTuple):
    key: Key
    text: str
    source: Selected | Donor


def encode(wanted: Mapping[Key, Instruction]) -> Mapping[Key, Outcome]:
    """The encoding or refusal of every instruction asked for; each distinct one is made and checked once."""
    if len(_memo) > _MEMO_LIMIT:
        _memo.clear()
    requests: dict[int, list[_Request]] = {}
    direct_ones: dict[int, dict[Key, Outcome]] = {}
    for key, instruction in wanted.items():
        if key in _memo:
            continue
        try:
            made = _prepare(key, instruction)
        except Refusal as refusal:
            _memo[key] = refusal
            continue
        if isinstance(made, _Request):
            requests.setdefault(key.mode, []).append(made)
        else:
            direct_ones.setdefault(key.mode, {})[key] = made
    for mode, ones in direct_ones.items():
        _memo.update(zip(ones, _checked(mode, list(ones.values())), strict=True))
    for mode, group in requests.items():
        _ask(mode, group)
    return _memo


def _prepare(key: Key, instruction: Instruction) -> Encoded | _Request:
    """The bytes of an instruction, still unchecked, or what to ask Keystone for."""
    mode, mnemonic = key.mode, instruction.mnemonic
    if not instruction.operands and mnemonic in FIXED:
        return _fixed(instruction, mode)
    early = _Early(dict(zip(instruction.names, key.values, strict=True)))
    if mnemonic in DIRECT:
        made = direct(instruction, mode, early)
        if isinstance(made, Donor):
            size = 16 if mode == 16 else 32
            lea = Concrete(mode, (), "lea", (REGISTERS["ax" if mode == 16 else "eax"], made.memory), size)
            return _Request(key, keystone_text(*_without_absolute(_unsized(lea))), made)
        if made is not None:
            return made
    selected = select(instruction, mode, early)
    return _Request(key, keystone_text(*_without_absolute(selected.concrete)), selected)


class _Early:
    """The values of expressions, as far as they are known before layout."""

    __slots__ = ("values",)

    def __init__(self, values: Mapping[str, int | None]) -> None:
        self.values = values

    def __call__(self, node: Node) -> int | None:
        if isinstance(node, Number):
            return node.value
        if isinstance(node, Name):
            return self.values[node.name]
        if has_position(node) or any(self.values[name] is None for name in names_of(node)):
            return None
        return evaluate(node, self._leaf).number

    def _leaf(self, leaf: object) -> Value:
        assert isinstance(leaf, Name)
        return Value(self.values[leaf.name] or 0)


def _fixed(instruction: Instruction, mode: int) -> Encoded:
    mnemonic = instruction.mnemonic
    data = fixed_bytes(mnemonic, instruction.prefixes, mode)
    if instruction.prefixes in (("o32",), ("data32",)):
        mnemonic = f"{mnemonic.removeprefix('l')}d" if mnemonic != "lret" else "retfd"
    name = fixed_decoded(mnemonic, mode)
    prefixes = tuple(prefix for prefix in instruction.prefixes if prefix not in ("o32", "data32"))
    return Encoded(data, Concrete(mode, prefixes, name, ()))


def _unsized(concrete: Concrete) -> Concrete:
    register, memory = concrete.operands
    assert isinstance(memory, ConcreteMemory)
    return concrete._replace(operands=(register, replace(memory, size=0)))


def _without_absolute(concrete: Concrete) -> tuple[Concrete, bool]:
    """With a placeholder for a 64-bit absolute address, which Keystone would make RIP-relative on its own."""
    for operand in concrete.operands:
        if isinstance(operand, ConcreteMemory) and operand.absolute:
            moved = operand.at(PLACEHOLDER[64])
            return concrete._replace(
                operands=tuple([moved if other is operand else other for other in concrete.operands])
            ), True
    return concrete, False


def _ask(mode: int, group: Sequence[_Request]) -> None:
    """Ask Keystone: for all in one go, and if that is not right in every point, for each in a slot of its own."""
    texts = [request.text for request in group]
    joined = propose_joined(mode, texts)
    starts = [address for address, *_ in decode_run(mode, joined, 0)]
    if len(starts) == len(group):
        ends = [*starts[1:], len(joined)]
        pieces: list[bytes | str] = [joined[start:end] for start, end in zip(starts, ends, strict=True)]
        outcomes = _checked(mode, [_complete(*pair) for pair in zip(group, pieces, strict=True)])
        if all(isinstance(outcome, Encoded) for outcome in outcomes):
            _memo.update(zip([request.key for request in group], outcomes, strict=True))
            return
    made = [
        _complete(request, _first(mode, request, slot))
        for request, slot in zip(group, propose(mode, texts), strict=True)
    ]
    _memo.update(zip([request.key for request in group], _checked(mode, made), strict=True))


def _first(mode: int, request: _Request, slot: bytes | str) -> bytes | str:
    """The instruction at the start of a slot, if nothing but filling follows it."""
    if isinstance(slot, str):
        return slot
    source = request.source
    decoded = decode(mode, slot, 0) if isinstance(source, Donor) else decode_as(source.concrete, slot, 0)
    return slot if decoded is None or slot[decoded[0] :].strip(FILLING) else slot[: decoded[0]]


def _complete(request: _Request, proposal: bytes | str) -> Outcome:
    """What was asked for, made of the proposal, with its fields found; still unchecked."""
    source = request.source
    concrete = source.concrete
    if isinstance(proposal, str):
        return Refusal(f"{concrete.mnemonic} does not take these operands in {concrete.mode}-bit mode")
    try:
        if isinstance(source, Donor):
            data, late = _transplant(concrete.mode, proposal, source), _donor_fields(source)
        else:
            data, late = proposal, source.late
        memory = next((item for item in concrete.operands if isinstance(item, ConcreteMemory)), None)
        if memory is not None and memory.absolute:
            data = _to_absolute(data, memory.displacement)
        return Encoded(data, concrete, _locate(data, concrete, late) if late else ())
    except Refusal as refusal:
        return refusal


def _checked(mode: int, outcomes: Sequence[Outcome]) -> list[Outcome]:
    """The outcomes, with a refusal in place of what the decoder does not confirm."""
    claims = [_claim(outcome) for outcome in outcomes if isinstance(outcome, Encoded)]
    told = iter(complaints(mode, claims))
    checked: list[Outcome] = []
    for outcome in outcomes:
        complaint = next(told) if isinstance(outcome, Encoded) else None
        checked.append(outcome if complaint is None else Refusal(f"cannot be assembled rightly: {complaint}"))
    return checked


def _claim(encoded: Encoded) -> Claim:
    if encoded.data[0] == 0x9B and len(encoded.data) > 1:  # FINIT is FWAIT and FNINIT, and so on
        name = f"fn{encoded.concrete.mnemonic[1:]}"
        return Claim(encoded.concrete._replace(mnemonic=name), encoded.data[1:])
    return Claim(encoded.concrete, encoded.data)


def _transplant(mode: int, lea: bytes, donor: Donor) -> bytes:
    """The opcode of `donor` with the memory operand of a LEA."""
    position = 0
    prefixes = bytearray()
    while lea[position] in (0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65, 0x66, 0x67):
        if lea[position] != 0x66:
            prefixes.append(lea[position])
        position += 1
    rex = 0
    if mode == 64 and lea[position] & 0xF0 == 0x40:
        rex = lea[position]
        position += 1
    if lea[position] != 0x8D:
        raise Refusal(f"cannot be assembled: {lea.hex(' ')} is not the expected LEA")
    if donor.rex_w:
        rex |= 0x48
    if donor.digit > 7:
        rex |= 0x44
    modrm = (lea[position + 1] & 0xC7) | (donor.digit & 7) << 3
    head = bytes(prefixes) + donor.prefix + (bytes([rex]) if rex else b"")
    return head + donor.opcode + bytes([modrm]) + lea[position + 2 :]


def _donor_fields(donor: Donor) -> tuple[Field, ...]:
    if not donor.late:
        return ()
    position = donor.concrete.operands.index(donor.memory)
    kind = "relative" if donor.memory.relative else "address"
    return (Field(position, 0, min(donor.memory.width, 32), kind, donor.memory.width),)


def _to_absolute(data: bytes, displacement: int) -> bytes:
    """Turn `[rip+placeholder]` into `[displacement]`: ModRM with a SIB byte without base and index (SDM 2.2.1.6)."""
    placeholder = PLACEHOLDER[64].to_bytes(4, "little")
    offset = data.find(placeholder)
    if offset < 2 or data[offset - 1] & 0xC7 != 0x05:
        raise Refusal(f"cannot be assembled: no absolute address found in {data.hex(' ')}")
    address = (displacement & 0xFFFF_FFFF).to_bytes(4, "little")
    return data[: offset - 1] + bytes([data[offset - 1] & 0xF8 | 4, 0x25]) + address + data[offset + 4 :]


def _locate(data: bytes, concrete: Concrete, late: tuple[Field, ...]) -> tuple[Field, ...]:
    """Find the fields by the placeholders that stand in them."""
    located: list[Field] = []
    for field in late:
        operand = concrete.operands[field.operand]
        if isinstance(operand, ConcreteValue):
            placeholder = operand.value.to_bytes(field.width // 8, "little")
            offset = len(data) - len(placeholder)
            if not data.endswith(placeholder):
                raise Refusal(f"cannot be assembled: no field for the value in {data.hex(' ')}")
        else:
            assert isinstance(operand, ConcreteMemory)
            placeholder = operand.displacement.to_bytes(field.width // 8, "little")
            offset = data.find(placeholder)  # the first: what could look the same is an immediate, which comes later
            if offset < 1:
                raise Refusal(f"cannot be assembled: no field for the address in {data.hex(' ')}")
        located.append(field._replace(offset=offset))
    return tuple(located)


def field_node(instruction: Instruction, encoded: Encoded, field: Field) -> Node:
    """The expression whose value goes into a field."""
    operands = instruction.operands
    if len(operands) == 1 and isinstance(operands[0], Far):
        return operands[0].selector if field.operand == 0 else operands[0].offset
    position = field.operand
    if len(encoded.concrete.operands) > len(operands):  # IMUL with two operands is one with three
        position -= 1
    operand = operands[position]
    if isinstance(operand, Memory):
        return operand.displacement
    assert isinstance(operand, Immediate)
    return operand.value


def complete(encoded: Encoded, address: int, values: Sequence[Value]) -> Claim:
    """The bytes at `address` with `values` in the fields, and what they must decode to; raises `Refusal`."""
    data = bytearray(encoded.data)
    operands = list(encoded.concrete.operands)
    for field, value in zip(encoded.fields, values, strict=True):
        number = value.number
        operand = operands[field.operand]
        if field.kind in ("relative", "address") or isinstance(operand, ConcreteMemory):
            assert isinstance(operand, ConcreteMemory)
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
            operands[field.operand] = operand.at(number)
        else:
            assert isinstance(operand, ConcreteValue)
            check_value(number, field.width, field.kind)
            operands[field.operand] = operand._replace(value=number)
        mask = (1 << field.width) - 1
        data[field.offset : field.offset + field.width // 8] = (number & mask).to_bytes(field.width // 8, "little")
    return Claim(encoded.concrete._replace(operands=tuple(operands)), bytes(data), address)
