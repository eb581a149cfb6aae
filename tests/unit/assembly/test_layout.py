"""Labels, layout, symbols from outside, and directives; whole units are compared with GNU as."""

from __future__ import annotations

import random

import pytest

from harness.assembly import AssemblyError, Origin, SourceLine, assemble

from .gnu import gnu_image
from .helpers import code, refusal, unit


def test_branches_are_as_short_as_gnu_makes_them() -> None:
    for seed in range(12):
        chance = random.Random(seed)
        lines: list[str] = []
        for index in range(60):
            lines.append(f"l{index}:")
            target = f"l{chance.randrange(60)}"
            lines.append(
                chance.choice([f"jmp {target}", f"jne {target}", f"call {target}", f"lea rax, [rip+{target}]"])
            )
            lines.append(
                chance.choice(["nop", f".zero {chance.randrange(40)}", ".balign 8", "mov eax, 1", "1: jmp 1b"])
            )
        text = "\n".join(lines)
        done = unit(text, address=0x1000)
        reference = gnu_image(text, 64, 0x1000)
        assert len(done.code) == len(reference)
        for line in done.lines:
            offset = line.address - 0x1000
            if line.kind != "directive":  # the filling is free
                assert line.data == reference[offset : offset + len(line.data)], line


def test_numeric_labels() -> None:
    assert code("1: jmp 1b\n1: jmp 1f\n1: jmp 1b") == "ebfeeb00ebfe"
    assert code("01: jmp 1b\n1: jmp 01b\n00: jmp 0b") == "ebfe" * 3
    assert "no local label 1: before" in refusal("jmp 1b\n1: nop")
    assert "no local label 2: after" in refusal("2: jmp 2f")


def test_local_labels_belong_to_their_block() -> None:
    def lines(text: str, block: int) -> list[SourceLine]:
        return [SourceLine(line, Origin("f", n), block) for n, line in enumerate(text.splitlines(), 1)]

    both = lines(".La: jmp .La\n1: jmp 1b", 1) + lines(".La: jmp .La\n1: jmp 1b", 2)
    assert assemble(both, address=0).code.hex() == "ebfe" * 4
    assert assemble(both, address=0).symbols == {}
    with pytest.raises(AssemblyError, match="local to another block"):
        assemble(lines(".La: nop", 1) + lines("jmp .La", 2), address=0)


def test_symbols_from_outside() -> None:
    names = {"AWAY": 0x200000, "CLOSE": 0x1010}
    assert code("call AWAY", symbols=names) == "e8fbef1f00"
    assert code("jmp CLOSE", symbols=names) == "eb0e"
    assert code("lea rax, [rip+AWAY]", symbols=names) == "488d05f9ef1f00"
    assert code("mov rax, [rip+AWAY+8]", symbols=names) == "488b0501f01f00"
    assert code("mov dword ptr [rip+AWAY], 5", symbols=names) == "c705f6ef1f0005000000"
    assert code("mov edi, AWAY", symbols=names) == code("mov edi, offset AWAY", symbols=names) == "bf00002000"
    assert code("mov rax, AWAY", symbols=names) == "48c7c000002000"
    assert code("movabs rax, AWAY", symbols=names) == "48b80000200000000000"
    assert code(".quad AWAY, AWAY-CLOSE", symbols=names) == "0000200000000000f0ef1f0000000000"
    assert code("mov eax, [AWAY+4]", symbols=names) == "8b042504002000"
    assert code("mov dword ptr [AWAY], 0x11", symbols=names) == "c704250000200011000000"
    assert code("add qword ptr [rbx+AWAY], AWAY", symbols=names) == "4881830000200000002000"
    assert code("imul eax, ebx, AWAY", symbols=names) == "69c300002000"
    assert code("imul eax, AWAY", symbols=names) == "69c000002000"
    assert code("push AWAY", symbols=names) == "6800002000"
    assert code("mov ax, (AWAY >> 16) & 0xffff", symbols=names) == "66b82000"
    assert code("jmp 0x08:AWAY", 32, symbols=names) == "ea000020000800"
    assert code("lgdt [AWAY]", 32, symbols=names) == "0f011500002000"
    assert "is a keyword" in refusal("call FAR")
    high = {"HIGH": 0xFFFF_8000_0000_0000}
    assert "does not fit" in refusal("mov eax, HIGH", symbols=high)
    assert "does not fit" in refusal("mov rax, HIGH", symbols=high)
    assert "does not fit" in refusal("mov eax, [HIGH]", symbols=high)
    assert "out of reach" in refusal("call HIGH", symbols=high)
    assert "out of reach" in refusal("lea rax, [rip+HIGH]", symbols=high)
    assert code("movabs rax, HIGH", symbols=high) == "48b8000000000080ffff"
    assert code("movabs al, [HIGH]", symbols=high) == "a0000000000080ffff"


def test_rip_takes_addresses_only() -> None:
    assert code("x: lea rax, [rip+x]") == "488d05f9ffffff"
    assert code("lea rax, [rip]") == "488d0500000000"
    assert code("x: nop\ny: lea rax, [rip+y+(y-x)]") == "90488d05faffffff"
    for text in (
        "lea rax, [rip+8]",
        "lea rax, [rip+C]",
        "x: nop\ny: lea rax, [rip+y-x]",
        ".set s, 5\nlea rax, [rip+s]",
    ):
        assert "RIP-relative to a number" in refusal(text, constants={"C": 0x200000})


def test_constants() -> None:
    names = {"LAPIC_EOI": 0xB0, "BIG": 0xFEE00000, "NEGATIVE": -16}
    assert code("mov dword ptr [rbx+LAPIC_EOI], 0", constants=names) == "c783b000000000000000"
    assert code("mov ebx, BIG+0x80", constants=names) == "bb8000e0fe"
    assert code("and rsp, NEGATIVE", constants=names) == "4883e4f0"
    assert code("mov [rbp+NEGATIVE], al", constants=names) == "8845f0"
    assert "load the base into a register" in refusal("mov dword ptr [BIG+0xb0], 0", constants=names)
    assert "near: LAPIC_EOI" in refusal("mov eax, LAPIC_EOl", constants=names)


def test_set() -> None:
    assert code(".set f, 0x200000\ncall f") == "e8fbef1f00"
    assert code("mov eax, late\nlate = 5") == "b805000000"
    assert code("n = 0\n.rept 3\n.byte n\nn = n + 1\n.endr") == "000102"
    assert code("n = 0\n.rept 3\npush n\nn = n + 1\n.endr") == "6a006a016a02"
    assert "used before its first value" in refusal(".byte n\nn = 1\nn = 2")
    assert "defined in terms of itself" in refusal("a = b\nb = a\n.byte a")
    assert code("x: nop\nlength = . - x\n.byte length") == "9001"
    assert unit("x: nop\ny = x + 4").symbols == {"x": 0x1000, "y": 0x1004}


def test_here() -> None:
    assert code("jmp .") == code("jmp $") == "ebfe"
    assert code("nop\n.long .") == "9001100000"
    assert "not clear" in refusal(".long ., .")


def test_padding() -> None:
    assert code("nop\n.balign 4\nhlt") == "90909090f4"
    assert code("nop\n.balign 4, 0\nhlt") == "90000000f4"
    assert code("nop\n.balign 16, 0, 4\nhlt") == "90f4"
    assert code("nop\n.p2align 2, 0xcc") == "90cccccc"
    assert code("start: nop\n.org start+4\nhlt") == "90000000f4"
    assert code("nop\n.org 0x1004, 0xff\nhlt") == "90fffffff4"
    assert ".org moves back" in refusal("nop\nnop\n.org 0x1001")
    assert ".org to 0x80000000 would fill" in refusal("nop\n.org 0x80000000")
    assert code(".skip 2, 1") == "0101"
    assert "power of two" in refusal(".balign 3")
    boot = unit("cli\nhlt\n.org 0x7dfe\n.word 0xaa55", 16, 0x7C00).code
    assert len(boot) == 512 and boot[-2:] == b"\x55\xaa"


def test_layout_that_cannot_rest_is_refused() -> None:
    assert "circle" in refusal("a: .zero 1 + ((b - a) & 1)\nb:")


def test_modes_mix() -> None:
    text = """
    .code16
        cli
        lgdtd [pointer - base + 0x8000]
        mov eax, cr0
        or al, 1
        mov cr0, eax
        o32 jmp 0x08:protected
    base:
    .code32
    protected:
        mov ax, 0x10
        mov ds, ax
        lgdt [pointer]
        jmp 0x18:long
    .code64
    long:
        lgdt [rip+pointer]
        jmp long
    pointer: .word 23
        .quad 0x1000
    """
    done = unit(text, 16, 0x8000)
    modes = {line.text: line.mode for line in done.lines if line.kind == "instruction"}
    assert (modes["cli"], modes["mov ds, ax"], modes["jmp long"]) == (16, 32, 64)
    assert [line.decoded() for line in done.lines if line.text == "jmp 0x18:long"] == [
        f"ljmp 0x18:{done.symbols['long']:#x}"
    ]
    assert done.code.count(b"\x66\xea") == 1


def test_listing() -> None:
    done = unit("start: mov eax, 1 # one\n .byte 1, 2\n.balign 8\nx: jmp start")
    assert [(line.kind, line.text, line.address, line.data.hex()) for line in done.lines] == [
        ("label", "start:", 0x1000, ""),
        ("instruction", "mov eax, 1", 0x1000, "b801000000"),
        ("data", ".byte 1, 2", 0x1005, "0102"),
        ("directive", ".balign 8", 0x1007, "90"),
        ("label", "x:", 0x1008, ""),
        ("instruction", "jmp start", 0x1008, "ebf6"),
    ]
    assert [line.decoded() for line in done.lines] == ["", "mov eax, 1", "", "", "", "jmp 0x1000"]
    assert done.symbols == {"start": 0x1000, "x": 0x1008}
    found = done.line_at(0x1009)
    assert found is not None and str(found.origin) == "x.asm:4"
    assert done.line_at(0x100A) is None


@pytest.mark.parametrize("mode", [16, 32, 64])
def test_short_only_branches(mode: int) -> None:
    assert "out of reach" in refusal("loop x\n.zero 128\nx:", mode)
    assert "out of reach" in refusal("jmp short x\n.zero 128\nx:", mode)
    assert code("jmp short x\n.zero 127\nx:", mode).startswith("eb7f")
    assert code("x: loop x", mode) == "e2fe"
    counter = {16: ("jcxz", "jecxz"), 32: ("jecxz", "jcxz"), 64: ("jrcxz", "jecxz")}[mode]
    assert code(f"x: {counter[0]} x", mode) == "e3fe"
    assert code(f"x: {counter[1]} x", mode) == "67e3fd"


def test_high_addresses() -> None:
    top = 0xFFFF_FFFF_8000_0000
    done = unit("x: mov rax, x\nlea rbx, [rip+x]\nmov ecx, [x]\njmp x\n.quad x", address=top)
    assert done.symbols["x"] == top
    assert done.code[:7].hex() == "48c7c000000080"
    assert unit("x: jmp x", 32, 0xFFFF_FFF0).code.hex() == "ebfe"
    assert unit("x: jmp x", 16, 0xFFFF_FFF0).code.hex() == "ebfe"


def test_values_equal_to_placeholders() -> None:
    names = {"AWAY": 0x2000}
    assert code("mov word ptr [AWAY], 0x5152", 16, symbols=names) == "c70600205251"
    assert code("mov dword ptr [AWAY], 0x51525354", symbols=names) == "c70425" + "00200000" + "54535251"
    assert code("mov dword ptr [0x51525354], 0x51525354") == "c70425" + "54535251" * 2
    assert code("mov dword ptr [rip+AWAY], 0x51525354", symbols=names) == "c705f60f0000" + "54535251"
    assert code("cmp byte ptr [rbx+AWAY], 0x61", symbols=names) == "80bb0020000061"
    assert code("add dword ptr [rbx+0x61626364], AWAY", symbols=names) == "81836463626100200000"
