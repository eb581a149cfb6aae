"""The independent witness: decode bytes with Capstone and compare them with what the statement says.

Nothing here looks at how the bytes were made. The decoder's text is taken apart by its own small patterns and compared
operand by operand with the parsed statement, and the prefixes are compared with those that the statement calls for.
"""

from __future__ import annotations

import re
from typing import Final

import capstone

from harness.assembly.concrete import Concrete, ConcreteMemory, ConcreteOperand, ConcreteValue
from harness.assembly.registers import REGISTERS, Register
from harness.assembly.signatures import CONDITIONS

__all__ = ["LEGACY_PREFIXES", "NO_OPERAND_SIZE", "decode", "decode_as", "decode_run", "disagreement"]

_MODES: Final = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
_DECODERS: Final[dict[int, capstone.Cs]] = {}

_SIZES: Final = {
    "byte": 8,
    "word": 16,
    "dword": 32,
    "fword": 48,
    "qword": 64,
    "xword": 80,
    "tbyte": 80,
    "xmmword": 128,
    "ymmword": 256,
}
_MEMORY = re.compile(r"(?:(?P<size>\w+) )?(?:ptr )?(?:(?P<segment>[c-gs]s):)?\[(?P<address>[^\]]+)\]")
_TERM = re.compile(
    r"(?P<sign> [+-] |-|^)(?:(?P<register>[a-z]\w*)(?:\*(?P<scale>[1248]))?|(?P<number>0x[0-9a-f]+|\d+))"
)
_SPLIT = re.compile(r", (?![^\[]*\])")

LEGACY_PREFIXES: Final = frozenset({0xF0, 0xF2, 0xF3, 0x66, 0x67, 0x2E, 0x36, 0x3E, 0x26, 0x64, 0x65})
_SEGMENT_PREFIX: Final = {0x2E: "cs", 0x36: "ss", 0x3E: "ds", 0x26: "es", 0x64: "fs", 0x65: "gs"}
_REP: Final = {"rep": "rep", "repe": "rep", "repz": "rep", "repne": "repne", "repnz": "repne"}
NO_OPERAND_SIZE: Final = frozenset(
    [
        "adcx",
        "adox",
        "andn",
        "pdep",
        "pext",
        "mulx",
        "bextr",
        "bzhi",
        "sarx",
        "shlx",
        "shrx",
        "blsi",
        "blsr",
        "blsmsk",
        "rorx",
        "movnti",
        "vmread",
        "vmwrite",
    ]
)
"""Instructions in which 66 (or its absence) belongs to the opcode or cannot be, so that it does not tell the size."""

_MISPRINTED: Final = {"comisd": (128, 64)}
"""Memory sizes that Capstone 5 shows wrongly: mnemonic, size shown, true size (SDM: COMISD xmm1, xmm2/m64)."""

_UNKNOWN: Final = {"serialize": b"\x0f\x01\xe8"}
"""Instructions that Capstone 5 does not know, by their bytes (SDM volume 2, "SERIALIZE")."""

_ROTATES: Final = frozenset({"rcl", "rcr", "rol", "ror", "shl", "sal", "shr", "sar"})

_ALIASES: Final = {
    "sal": "shl",
    "movabs": "mov",
    "icebp": "int1",
    "wait": "fwait",
    "fcompi": "fcomip",
    "fucompi": "fucomip",
    "xlat": "xlatb",
    "ljmp": "jmp far",
    "lcall": "call far",
    "repz": "rep",
    "repe": "rep",
    "repnz": "repne",
}


def decode(mode: int, data: bytes, address: int) -> tuple[int, str, str] | None:
    """The size in bytes, mnemonic and operand text of the first instruction in `data`, or None if it is not one."""
    for _, size, mnemonic, operands in _decoder(mode).disasm_lite(data, address, 1):
        return size, mnemonic, operands
    return None


def decode_run(mode: int, data: bytes, address: int) -> list[tuple[int, int, str, str]]:
    """Address, size, mnemonic and operand text of every instruction up to the end or to what is not one."""
    return list(_decoder(mode).disasm_lite(data, address))


def _decoder(mode: int) -> capstone.Cs:
    decoder = _DECODERS.get(mode)
    if decoder is None:
        decoder = _DECODERS[mode] = capstone.Cs(capstone.CS_ARCH_X86, _MODES[mode])
    return decoder


def decode_as(concrete: Concrete, data: bytes, address: int) -> tuple[int, str, str] | None:
    """Decode bytes that are meant to be `concrete`.

    Capstone 5 loses the 66 that belongs to the opcode of SSE instructions in 16-bit mode. They mean the same in 32-bit
    mode, but for the address size, so they are decoded there with the prefix 67 the other way round.
    """
    if concrete.mode != 16 or not (
        concrete.mnemonic in NO_OPERAND_SIZE
        or concrete.mnemonic in ("invpcid", "invept", "invvpid", "vmclear")
        or any(isinstance(operand, Register) and operand.kind in _VECTOR for operand in concrete.operands)
    ):
        return decode(concrete.mode, data, address)
    if not any(isinstance(operand, ConcreteMemory) for operand in concrete.operands):
        return decode(32, data, address)
    prefixes = 0
    while prefixes < len(data) and data[prefixes] in LEGACY_PREFIXES:
        prefixes += 1
    at = data.find(b"\x67", 0, prefixes)
    changed = b"\x67" + data if at < 0 else data[:at] + data[at + 1 :]
    decoded = decode(32, changed, address)
    return decoded and (decoded[0] + (-1 if at < 0 else 1), decoded[1], decoded[2])


_VECTOR: Final = frozenset({"xmm", "ymm", "mmx"})


def canonical(mnemonic: str) -> str:
    """One spelling for mnemonics that the manuals hold to be the same instruction."""
    known = _ALIASES.get(mnemonic)
    if known is not None:
        return known
    for stem in ("cmov", "set", "j"):
        if mnemonic.startswith(stem) and mnemonic[len(stem) :] in CONDITIONS:
            return f"{stem}{CONDITIONS[mnemonic[len(stem) :]]}"
    return mnemonic


_canonical: Final[dict[str, str]] = {}


def _same_mnemonic(left: str, right: str) -> bool:
    if left == right:
        return True
    for name in (left, right):
        if name not in _canonical:
            _canonical[name] = canonical(name)
    return _canonical[left] == _canonical[right]


def disagreement(
    concrete: Concrete,
    data: bytes,
    address: int,
    decoded: tuple[int, str, str] | None = None,
    *,
    address_size: bool = False,
) -> str | None:
    """Why `data` at `address` is not exactly the instruction that `concrete` describes; None if it is.

    `decoded` may hand in what `decode` said about these very bytes. `address_size` expects the prefix 67 without a
    memory operand, as JCXZ has it.
    """
    decoded = decoded or decode_as(concrete, data, address)
    if decoded is None:
        if _UNKNOWN.get(concrete.mnemonic) == data:
            return None
        return f"the bytes {data.hex(' ')} decode to nothing"
    size, text, operand_text = decoded
    shown = f"{text} {operand_text}".strip()
    if size != len(data):
        return f"the bytes {data.hex(' ')} decode to {shown!r} of {size} bytes"
    words = text.split(" ")
    mnemonic = words[-1]
    if mnemonic == "nop" and _is_exchange_with_itself(concrete, data):
        return None
    if mnemonic == "sal":
        return f"the bytes {data.hex(' ')} are an undocumented encoding of SHL"
    far = _far_opcode(concrete, data) if concrete.mnemonic in ("ljmp", "lcall") and "[" in operand_text else ""
    if not _same_mnemonic(far or mnemonic, concrete.mnemonic):
        return f"the bytes {data.hex(' ')} decode to {shown!r}"
    complaint = _prefix_complaint(concrete, data, words[:-1], address_size)
    if complaint is not None:
        return f"the bytes {data.hex(' ')} ({shown}) {complaint}"
    if not concrete.operands:
        return None
    if concrete.mnemonic in ("ljmp", "lcall") and ":" in operand_text and "[" not in operand_text:
        operands = operand_text.split(":")
    else:
        operands = _SPLIT.split(operand_text) if operand_text else []
    if concrete.mnemonic in _ROTATES and len(operands) == 1:
        operands.append("1")
    if len(operands) != len(concrete.operands):
        return f"the bytes {data.hex(' ')} decode to {shown!r}"
    wanted = concrete.operands
    if _all_same(wanted, operands, concrete):
        return None
    if mnemonic in ("xchg", "test") and _all_same(wanted[::-1], operands, concrete):
        return None
    return f"the bytes {data.hex(' ')} decode to {shown!r}"


def _is_exchange_with_itself(concrete: Concrete, data: bytes) -> bool:
    """XCHG of the accumulator with itself is NOP; but in 64-bit mode XCHG EAX, EAX is not: it clears the upper half."""
    if concrete.mnemonic != "xchg" or len(concrete.operands) != 2 or concrete.operands[0] != concrete.operands[1]:
        return False
    if concrete.prefixes or (concrete.mode == 64 and concrete.size == 32):
        return False
    prefix = b"\x48" if concrete.size == 64 else b"\x66" if concrete.size != min(concrete.mode, 32) else b""
    return data == prefix + b"\x90"


def _far_opcode(concrete: Concrete, data: bytes) -> str:
    """What FF /3 or FF /5 with the prefixes of the wanted pointer size is called; Capstone does not show the size."""
    (memory,) = concrete.operands
    assert isinstance(memory, ConcreteMemory)
    position = 0
    while data[position] in LEGACY_PREFIXES:
        position += 1
    rex = data[position] if concrete.mode == 64 and data[position] & 0xF0 == 0x40 else 0
    position += bool(rex)
    size = 80 if rex & 8 else 32 if (0x66 in data[:position]) != (concrete.mode == 16) else 48
    if data[position] != 0xFF or size != memory.size:
        return "another"
    return {3: "lcall", 5: "ljmp"}.get(data[position + 1] >> 3 & 7, "another")


def _all_same(wanted: tuple[ConcreteOperand, ...], operands: list[str], concrete: Concrete) -> bool:
    for position, (want, operand) in enumerate(zip(wanted, operands, strict=True)):
        if isinstance(want, Register):
            if want.name != operand and not _same_register(want, operand, concrete, position):
                return False
        elif isinstance(want, ConcreteValue):
            try:
                value = int(operand, 0)
            except ValueError:
                return False
            if (value - want.value) & ((1 << want.width) - 1):
                return False
        elif not _same_memory(want, operand, concrete.mnemonic):
            return False
    return True


def _same_register(want: Register, operand: str, concrete: Concrete, position: int) -> bool:
    """Registers whose written size does not matter to the instruction: MOV to and from segments, LAR, LSL."""
    shown = REGISTERS.get(operand)
    if shown is None or shown.kind != want.kind or shown.number != want.number:
        return False
    if concrete.mnemonic in ("lar", "lsl") and position == 1:
        return True
    if concrete.mnemonic == "mov" and position == 1:
        first = concrete.operands[0]
        return isinstance(first, Register) and first.kind == "segment" and shown.size < 64
    return False


def _same_memory(want: ConcreteMemory, operand: str, mnemonic: str) -> bool:
    match = _MEMORY.fullmatch(operand)
    if match is None:
        return False
    shown = _SIZES.get(match.group("size") or "", 0)
    if mnemonic in _MISPRINTED and shown == _MISPRINTED[mnemonic][0]:
        shown = _MISPRINTED[mnemonic][1]
    if want.size and shown != want.size and mnemonic not in ("ljmp", "lcall"):
        return False
    if match.group("segment") != want.segment:
        return False
    registers: list[tuple[str, int]] = []
    displacement = 0
    position = 0
    address = match.group("address")
    while position < len(address):
        term = _TERM.match(address, position)
        if term is None or term.end() == position:
            return False
        position = term.end()
        negative = "-" in term.group("sign")
        if term.group("register"):
            if negative:
                return False
            registers.append((term.group("register"), int(term.group("scale") or 1)))
        else:
            value = int(term.group("number"), 0)
            displacement += -value if negative else value
    expected: list[tuple[str, int]] = []
    if want.base is not None:
        expected.append((want.base.name, 1))
    if want.index is not None:
        expected.append((want.index.name, want.scale))
    if registers != expected:
        return False
    return not (displacement - want.displacement) & ((1 << want.width) - 1)


def _prefix_complaint(concrete: Concrete, data: bytes, words: list[str], address_size: bool) -> str | None:
    """What is wrong with the prefixes, as the end of a sentence."""
    prefixes: list[int] = []
    for byte in data[:-1]:
        if byte not in LEGACY_PREFIXES:
            break
        prefixes.append(byte)
    if len(set(prefixes)) != len(prefixes):
        return "repeat a prefix"
    if data[len(prefixes)] in (0xC4, 0xC5) and {0xF0, 0x66, 0xF2, 0xF3} & set(prefixes):
        return "carry a prefix that VEX forbids"
    if (0xF0 in prefixes) != ("lock" in concrete.prefixes):
        return "differ in LOCK"
    wanted = sorted(_REP[prefix] for prefix in concrete.prefixes if prefix in _REP)
    shown = sorted(_ALIASES.get(word, word) for word in words if word != "lock")
    if wanted != shown:
        return "differ in their repeat prefix"
    memory = next((operand for operand in concrete.operands if isinstance(operand, ConcreteMemory)), None)
    segments = [_SEGMENT_PREFIX[prefix] for prefix in prefixes if prefix in _SEGMENT_PREFIX]
    segment = memory.segment if memory is not None else None
    if segments != ([segment] if segment else []):
        return "differ in their segment prefix"
    if memory is not None and (0x67 in prefixes) != (memory.width != concrete.mode):
        return "differ in their address size"
    if memory is None and (0x67 in prefixes) != address_size:
        return "differ in their address size"
    if concrete.mnemonic in NO_OPERAND_SIZE:
        if (0x66 in prefixes) != (concrete.mnemonic == "adcx"):
            return "differ in the prefix that belongs to the opcode"
    elif concrete.size:
        needed = concrete.size == (32 if concrete.mode == 16 else 16)
        if (0x66 in prefixes) != needed:
            return "differ in their operand size"
    return None
