"""Instructions with operands that Keystone lacks or encodes wrongly, by their exact bytes (Intel SDM, volume 2)."""

from __future__ import annotations

from harness.assembly.operands import Far, Immediate
from harness.assembly.registers import AsmRegister
from harness.assembly.settle import Early, o32, refuse_prefixes
from harness.assembly.settled import Encoded, Fixup, Settled, SettledValue, check_value
from harness.assembly.source import Refusal
from harness.assembly.statement import Instruction

__all__ = ["special_form"]


def special_form(instruction: Instruction, mode: int, early: Early) -> Encoded | None:
    """The bytes of an instruction that is not left to Keystone, not checked yet; None if it is. Raises `Refusal`."""
    mnemonic, operands = instruction.mnemonic, instruction.operands
    if mnemonic == "push" and len(operands) == 1 and isinstance(operands[0], Immediate):
        return _push(instruction, operands[0], mode, early)
    if mnemonic in ("jmp", "call") and len(operands) == 1 and isinstance(operands[0], Far):
        return _far(instruction, operands[0], mode, early)
    if mnemonic in ("ljmp", "lcall") and len(operands) == 2:
        first, second = operands
        if isinstance(first, Immediate) and isinstance(second, Immediate):
            return _far(instruction, Far(first.value, second.value), mode, early)
    if mnemonic == "rdpid":
        return _rdpid(instruction, mode)
    return None


def _push(instruction: Instruction, operand: Immediate, mode: int, early: Early) -> Encoded:
    """PUSH imm8 (6A) and imm16/32 (68). Keystone takes the wrong size outside 32-bit mode."""
    refuse_prefixes(instruction)
    value = early(operand.value)
    width = 16 if mode == 16 else 32
    kind = "signed" if mode == 64 else "immediate"
    fields: tuple[Fixup, ...] = ()
    if value is None:
        value = 0
        data = b"\x68" + bytes(width // 8)
        fields = (Fixup(0, 1, width, kind, operand.value),)
    else:
        check_value(value, width, kind)
        low = value & ((1 << width) - 1)
        signed = low - (1 << width) if low >> (width - 1) else low
        if -128 <= signed <= 127:
            data = b"\x6a" + signed.to_bytes(1, "little", signed=True)
        else:
            data = b"\x68" + low.to_bytes(width // 8, "little")
    return Encoded(data, Settled(mode, (), "push", (SettledValue(value, mode),)), fields)


def _far(instruction: Instruction, far: Far, mode: int, early: Early) -> Encoded:
    """JMP ptr16:16/32 (EA) and CALL ptr16:16/32 (9A). Keystone takes only one of the sizes."""
    if mode == 64:
        raise Refusal(
            "a far jump or call to selector:offset does not exist in 64-bit mode",
            "push the selector and the address, then retfq; or go through far ptr [m]",
        )
    wide = o32(instruction, mode)
    width = 32 if wide else mode
    name = f"l{instruction.mnemonic.removeprefix('l')}"
    data = (b"\x66" if wide else b"") + (b"\xea" if name == "ljmp" else b"\x9a")
    fields: list[Fixup] = []
    values: list[int] = []
    for position, node, bits in ((1, far.offset, width), (0, far.selector, 16)):
        value = early(node)
        if value is None:
            fields.append(Fixup(position, len(data), bits, "unsigned", node))
        else:
            check_value(value, bits, "unsigned")
        values.append(value or 0)
        data += (value or 0).to_bytes(bits // 8, "little")
    operands = (SettledValue(values[1], 16), SettledValue(values[0], width))
    return Encoded(data, Settled(mode, ("o32",) if wide else (), name, operands), tuple(fields))


def _rdpid(instruction: Instruction, mode: int) -> Encoded:
    """RDPID (F3 0F C7 /7), which Keystone does not support."""
    refuse_prefixes(instruction)
    operand = instruction.operands[0] if len(instruction.operands) == 1 else None
    size = 64 if mode == 64 else 32
    if not isinstance(operand, AsmRegister) or operand.kind != "general" or operand.size != size:
        raise Refusal(f"rdpid takes a {size}-bit register")
    data = b"\xf3" + (b"\x41" if operand.number > 7 else b"") + b"\x0f\xc7" + bytes([0xF8 | operand.number & 7])
    return Encoded(data, Settled(mode, (), "rdpid", (operand,)))
