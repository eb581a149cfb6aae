"""Instructions with operands that Keystone encodes wrongly, by their exact bytes (Intel SDM, volume 2)."""

from __future__ import annotations

from harness.assembly.expression import Node
from harness.assembly.operands import Far, Immediate
from harness.assembly.settle import Early, o32, refuse_prefixes
from harness.assembly.settled import Encoded, Fixup, Settled, SettledValue, check_value, fits, little_endian
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = ["special_form"]


def special_form(instruction: Instruction, mode: int, early: Early) -> Encoded | None:
    """The bytes of an instruction that is not left to Keystone, not checked yet; None if it is. Raises `Refusal`."""
    match instruction.mnemonic, instruction.operands:
        case "push", (Immediate(value),):
            return _push(instruction, value, mode, early)
        case ("jmp" | "call", (Far(selector, offset),)) | ("ljmp" | "lcall", (Immediate(selector), Immediate(offset))):
            return _far(instruction, selector, offset, mode, early)
    return None


def _push(instruction: Instruction, node: Node, mode: int, early: Early) -> Encoded:
    """PUSH imm8 (6A) and imm16/32 (68). Keystone takes the wrong size outside 32-bit mode."""
    refuse_prefixes(instruction)
    value = early(node)
    width, kind = 16 if mode == 16 else 32, "signed" if mode == 64 else "immediate"
    settled = Settled(mode, (), "push", (SettledValue(value or 0, mode),))
    if value is None:
        return Encoded(b"\x68" + bytes(width // 8), settled, (Fixup(0, 1, width, kind, node),))
    check_value(value, width, kind)
    data = little_endian(value, width)
    short = fits(int.from_bytes(data, "little", signed=True), 8, "relative")
    return Encoded(b"\x6a" + data[:1] if short else b"\x68" + data, settled)


def _far(instruction: Instruction, selector: Node, offset: Node, mode: int, early: Early) -> Encoded:
    """JMP ptr16:16/32 (EA) and CALL ptr16:16/32 (9A). Keystone takes only one of the sizes."""
    if mode == 64:
        raise Refusal(
            "a far jump or call to selector:offset does not exist in 64-bit mode",
            "push the selector and the address, then retfq; or go through far ptr [m]",
        )
    wide = o32(instruction, mode)
    name = f"l{instruction.mnemonic.removeprefix('l')}"
    data = (b"\x66" if wide else b"") + (b"\xea" if name == "ljmp" else b"\x9a")
    fields: list[Fixup] = []
    values: list[SettledValue] = []
    for operand, node, bits in ((1, offset, 32 if wide else mode), (0, selector, 16)):
        value = early(node)
        if value is None:
            fields.append(Fixup(operand, len(data), bits, "unsigned", node))
            value = 0
        check_value(value, bits, "unsigned")
        values.insert(0, SettledValue(value, bits))
        data += little_endian(value, bits)
    return Encoded(data, Settled(mode, (), name, tuple(values), wide), tuple(fields))
