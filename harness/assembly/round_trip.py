"""The round trip: Capstone decodes the bytes, and the decoded text must equal the statement with explicit sizes.

The decoder's operands are read with the parser that reads the author's. Nothing here depends on how the bytes were
made.
"""

from __future__ import annotations

from functools import cache, lru_cache
from itertools import repeat
from typing import Final

import capstone

from harness.assembly.expression import ExpressionValue, Node, Number, evaluate
from harness.assembly.mnemonics import CONDITIONS, ROTATES, X87_HIDDEN
from harness.assembly.operands import Far, Immediate, MemoryOperand, Operand, names_in, parse_operands
from harness.assembly.registers import REGISTERS, AsmRegister
from harness.assembly.settled import Settled, SettledOperand, SettledValue
from harness.assembly.source import Refusal
from harness.assembly.tokens import Tokens, tokenize

__all__ = ["check", "decode", "decode_as", "mismatch", "prefix_count", "without_superfluous_prefixes"]

_MODES: Final = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}

_LEGACY_PREFIXES: Final = frozenset({0xF0, 0xF2, 0xF3, 0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65})

_ONLY_IN_32: Final = frozenset(
    {"adcx", "adox", "andn", "pdep", "pext", "mulx", "bextr", "bzhi", "sarx", "shlx", "shrx", "blsi", "blsr", "blsmsk"}
    | {"rorx", "movnti", "vmread", "vmwrite", "invpcid", "invept", "invvpid", "vmclear"}
)
"""Besides SSE, what Capstone 5 decodes wrongly in 16-bit mode (see `decode_as`)."""

_MISPRINTED: Final = {"comisd": (128, 64), "fnsave": (32, 0), "frstor": (32, 0)}
"""Memory sizes that Capstone 5 shows wrongly: mnemonic, size shown, true size (0: 94 or 108 bytes, without a keyword).

SDM, volume 2: COMISD xmm1, xmm2/m64; FNSAVE m94/108byte; FRSTOR m94/108byte.
"""

_CANONICAL: Final = {
    "sal": "shl",
    "movabs": "mov",
    "fcompi": "fcomip",
    "fucompi": "fucomip",
    "ljmp": "jmp far",
    "lcall": "call far",
} | {f"{stem}{name}": f"{stem}{code}" for stem in ("cmov", "set", "j") for name, code in CONDITIONS.items()}
"""One spelling for mnemonics of the same instruction: those of the manuals, and those of Capstone 5's own."""


_EXCHANGES: Final = {
    (64, 64): b"\x48\x90",
    (32, 32): b"\x90",
    (16, 16): b"\x90",
    **dict.fromkeys([(64, 16), (32, 16), (16, 32)], b"\x66\x90"),
}
"""XCHG of the accumulator with itself by mode and size: NOP. In 64-bit mode XCHG EAX, EAX clears the upper half."""


@cache
def _decoder(mode: int) -> capstone.Cs:
    return capstone.Cs(capstone.CS_ARCH_X86, _MODES[mode])


def decode(mode: int, data: bytes, address: int) -> tuple[int, str, str] | None:
    """The size in bytes, mnemonic and operand text of the first instruction in `data`, or None if it is not one."""
    for _, size, mnemonic, operands in _decoder(mode).disasm_lite(data, address, 1):
        return size, mnemonic, operands
    return None


def decode_as(settled: Settled, data: bytes, address: int) -> tuple[int, str, str] | None:
    """Decode bytes that are meant to be `settled`.

    Capstone 5 loses the 66 that belongs to the opcode of SSE instructions in 16-bit mode. They mean the same in 32-bit
    mode, but for the address size, so they are decoded there with the prefix 67 the other way round.
    """
    if settled.mode != 16:
        return decode(settled.mode, data, address)
    kinds = {operand.kind for operand in settled.operands if isinstance(operand, AsmRegister)}
    if settled.mnemonic not in _ONLY_IN_32 and kinds.isdisjoint(("xmm", "ymm", "mmx")):
        return decode(16, data, address)
    if settled.memory is None:
        return decode(32, data, address)
    at = data.find(b"\x67", 0, prefix_count(data))
    changed = b"\x67" + data if at < 0 else data[:at] + data[at + 1 :]
    decoded = decode(32, changed, address)
    return decoded and (decoded[0] + (-1 if at < 0 else 1), decoded[1], decoded[2])


def prefix_count(data: bytes) -> int:
    """The number of legacy prefixes at the start of an instruction."""
    return next((index for index, byte in enumerate(data) if byte not in _LEGACY_PREFIXES), len(data))


def mismatch(settled: Settled, data: bytes, address: int = 0) -> str | None:
    """What `data` at `address` is, if it is not exactly the instruction `settled`, else None."""
    if _decodes_to(settled, data, address):
        if data[0] not in _LEGACY_PREFIXES or without_superfluous_prefixes(settled, data, address) == data:
            return None
        return f"the bytes {data.hex(' ')} carry a prefix without effect"
    size, mnemonic, operands = decode_as(settled, data, address) or (0, "nothing", "")
    return f"the first {size} of the bytes {data.hex(' ')} decode to `{mnemonic} {operands}`"


def check(settled: Settled, data: bytes, address: int) -> None:
    """Raise `Refusal` if `data` at `address` is not exactly the instruction `settled`."""
    reason = mismatch(settled, data, address)
    if reason is not None:
        raise Refusal(f"cannot be assembled correctly: {reason}")


def without_superfluous_prefixes(settled: Settled, data: bytes, address: int = 0) -> bytes:
    """The bytes without the prefixes that change nothing in the decoded instruction, which Keystone adds in places."""
    index = 0
    while index < prefix_count(data):
        shorter = data[:index] + data[index + 1 :]
        if shorter and _decodes_to(settled, shorter, address):
            data = shorter
        else:
            index += 1
    return data


@lru_cache(maxsize=16384)
def _read(text: str) -> tuple[Operand, ...] | None:
    """The operands of the decoder's text; None where it cannot be parsed."""
    text = text.replace("xword", "tbyte").removeprefix("ptr ")  # Capstone's name for 80 bits, and for no size
    try:
        operands = parse_operands(Tokens(tokenize(text))) if text else ()
    except Refusal:
        return None
    return None if names_in(operands) else operands


def _decodes_to(settled: Settled, data: bytes, address: int) -> bool:
    size, text, operand_text = decode_as(settled, data, address) or (0, "", "")
    *prefixes, mnemonic = text.split(" ")
    if size != len(data) or mnemonic == "sal":  # which is an undocumented encoding of SHL
        return False
    operands, wanted = _read(operand_text), settled.operands
    if mnemonic == "nop" and settled.mnemonic == "xchg" and wanted[0] == wanted[1]:
        return _EXCHANGES.get((settled.mode, wanted[0].size)) == data
    if operands is None or tuple(prefixes) != settled.prefixes:
        return False
    if settled.wide and 0x66 not in data[: prefix_count(data)]:
        return False
    if settled.mnemonic in ("ljmp", "lcall"):
        mnemonic, operands = _far(mnemonic, operands, data, settled)
    if _CANONICAL.get(mnemonic, mnemonic) != _CANONICAL.get(settled.mnemonic, settled.mnemonic):
        return False
    hidden = X87_HIDDEN.get(settled.mnemonic, len(wanted))
    if len(wanted) == 2 and hidden < 2 and wanted[hidden] == REGISTERS["st(0)"]:
        wanted = (wanted[1 - hidden],)
    if mnemonic in ROTATES and len(operands) == 1:
        operands = (*operands, Immediate(Number(1)))
    if len(operands) != len(wanted):
        return False
    same = all(map(_same, wanted, operands, repeat(mnemonic)))
    return same or (mnemonic in ("xchg", "test") and all(map(_same, wanted[::-1], operands, repeat(mnemonic))))


def _far(
    mnemonic: str, operands: tuple[Operand, ...], data: bytes, settled: Settled
) -> tuple[str, tuple[Operand, ...]]:
    """LJMP or LCALL with its operands; Capstone shows neither far nor the size of the pointer."""
    if len(operands) == 1 and isinstance(operands[0], Far):
        return mnemonic, (Immediate(operands[0].selector), Immediate(operands[0].offset))
    memory = settled.memory
    position = prefix_count(data)
    rex = data[position] if settled.mode == 64 and data[position] & 0xF0 == 0x40 else 0
    position += bool(rex)
    size = 80 if rex & 8 else 32 if (0x66 in data[:position]) != (settled.mode == 16) else 48
    if data[position] != 0xFF or memory is None or size != memory.size or not isinstance(operands[0], MemoryOperand):
        return mnemonic, operands
    name = {3: "lcall", 5: "ljmp"}.get(data[position + 1] >> 3 & 7, mnemonic)
    return name, (operands[0]._replace(size=size),)


def _same(want: SettledOperand, shown: Operand, mnemonic: str) -> bool:
    """Whether the decoder shows the operand that is wanted."""
    if isinstance(want, AsmRegister):
        return want == shown
    if isinstance(want, SettledValue):
        return isinstance(shown, Immediate) and (_number(shown.value) - want.value) % (1 << want.size) == 0
    if not isinstance(shown, MemoryOperand):
        return False
    wrong, right = _MISPRINTED.get(mnemonic, (None, 0))
    size = right if shown.size == wrong else shown.size or 0
    return (
        (size, shown.segment) == (want.size, want.segment)
        and tuple([(register, _number(scale)) for register, scale in shown.terms]) == want.terms
        and (_number(shown.displacement) - want.displacement) % (1 << want.width) == 0
    )


def _number(node: Node) -> int:
    return evaluate(node, lambda _: ExpressionValue(0)).number  # `_read` lets no names through
