"""Messages have the place, the statement, the reason, and what to write instead."""

from __future__ import annotations

import pickle

import pytest

from harness.assembly import AssemblyError, AssemblyProblem, Origin, SourceLine, assemble, source_from_text

from .helpers import refusal

SUGGESTIONS = [
    ("iret", "x.asm:1: `iret`: iret in 64-bit mode is not clear about its size (write iretq, or iretd)"),
    ("mov dword ptr [0xfee000b0], 0", "load the base into a register: mov rbx, 0xfee000b0; then use [rbx]"),
    ("mvo eax, 1", "unknown mnemonic 'mvo' (near: mov"),
    ("x: nop\njmp xx", "undefined symbol 'xx'"),
    ("handler: nop\ncall hander", "undefined symbol 'hander' (near: handler)"),
    ("mov eax, rbx", "eax has 32 bits, rbx has 64"),
    ("mov eax, word ptr [rbx]", "eax has 32 bits, the memory operand 16"),
    ("mov [rax], [rbx]", "only one operand can be memory"),
    ("mov [rax], 5", "the size of the memory operand is unknown (write one of byte ptr"),
    ("add eax, 300000000000", "does not fit into 32 bits"),
    ("mov eax, 0ffh", "'0ffh' is not a number (write 0xff)"),
    ("mov eax, 09", "a leading 0 means octal: write 9"),
    ("mov eax, %ebx", "registers are written without %"),
    ("shl eax", "write the count: a number or cl"),
    ("jmp 0x08:x\nx:", "push the selector and the address, then retfq"),
    ("mov eax, [fs:0]", "a segment inside the brackets (write it before them: fs:[...])"),
    ("mov eax, x[rip]\nx:", "write it inside the brackets"),
    (".loop: jmp .loop", "local labels start with .L: .Lloop"),
    ("rax: nop", "'rax' is a register and cannot be a label"),
    ("movsb byte ptr [rdi], [rsi]", "movsb is written without operands"),
    (".align 16", "write .balign BYTES"),
    (".macro m", "macros are not supported"),
    ("movzx eax, ebx", "mov r32, r32 clears the upper half"),
    ("lock", "the prefix lock has no instruction (write it on the line of its instruction)"),
    ("push word ptr [rax], ds", "push takes one operand"),
    ("push eax", "in 64-bit mode it takes 64-bit operands"),
    ("mov ah, r8b", "ah cannot be used together with r8b"),
    ("a: nop\na: nop", "x.asm:2: `a:`: the label 'a' is defined twice (first at x.asm:1)"),
    (".byte 'ab'", "a quote is not closed, or holds more than one character"),
    ("mov eax, 1 + 2 & 3", "write the parentheses"),
    (
        "mov eax, 1; mov ebx, 2",
        "x.asm:1:11: `mov eax, 1; mov ebx, 2`: ; begins a comment, but the text after it",
    ),
    ("nop ; .byte 3", "is a statement: .byte 3 (give it a line of its own, or begin the comment with #)"),
    ("back: nop\njmp back ; call back", "is a statement: call back"),
    ("sti;hlt # wait", "is a statement: hlt"),
]


@pytest.mark.parametrize(
    "text",
    [
        "nop ; loop back, it says",
        "nop ; call nobody",
        "; push rax",
        "  ; mov eax, 1",
        "nop # mov eax, 1; mov ebx, 2",
        "nop // ret",
        "nop ; in the end",
        "nop ;",
        "nop ; end:",
    ],
)
def test_a_comment_is_a_comment(text: str) -> None:
    assert assemble(source_from_text(text, "x.asm", 1), address=0).code in (b"\x90", b"")


@pytest.mark.parametrize(("source", "told"), SUGGESTIONS, ids=[source for source, _ in SUGGESTIONS])
def test_reason_and_suggestion(source: str, told: str) -> None:
    assert told in refusal(source)


def test_several_at_once_in_source_order() -> None:
    text = "nop\nmov eax,\nbogus\nmov al, 300\njmp nowhere\n.byte 999\na: nop\na: nop\n.set q, nowhere\n"
    with pytest.raises(AssemblyError) as caught:
        assemble(source_from_text(text, "f.asm", 10), address=0)
    lines = [problem.origin.line for problem in caught.value.problems]
    assert lines == [11, 12, 13, 14, 15, 17, 18]
    assert str(caught.value).splitlines() == [str(problem) for problem in caught.value.problems]


def test_a_refused_line_does_not_hide_its_labels() -> None:
    told = refusal("jmp x\nx: bogus\n")
    assert "undefined" not in told and "bogus" in told


def test_column() -> None:
    with pytest.raises(AssemblyError) as caught:
        assemble(source_from_text("  mov eax, 0ffh", "f"), address=0)
    assert str(caught.value.problems[0].origin) == "f:1:12"
    shifted = [SourceLine("nop $ 1", Origin("f.py", 3, 20))]
    with pytest.raises(AssemblyError) as caught:
        assemble(shifted, address=0)
    assert str(caught.value.problems[0].origin).startswith("f.py:3:2")
    within = [SourceLine("mov eax, 0ffh", Origin("f.py", 3, None, 7))]
    with pytest.raises(AssemblyError) as caught:
        assemble(within, address=0)
    assert str(caught.value.problems[0].origin) == "f.py:3 (line 7 of the text)"


def test_origin_reads_well() -> None:
    assert str(Origin("a.py", 12)) == "a.py:12"
    assert str(Origin("a.py", 12, 5)) == "a.py:12:5"
    assert str(Origin("a.py", 12, None, 3)) == "a.py:12 (line 3 of the text)"


def test_error_travels_between_processes() -> None:
    error = AssemblyError([AssemblyProblem(Origin("f", 1), "nop", "because")])
    copy = pickle.loads(pickle.dumps(error))
    assert copy.problems == error.problems and str(copy) == "f:1: `nop`: because"


def test_names_from_outside_must_be_names() -> None:
    for name in ("eax", "CS", "byte", "1x", "a b", "é"):
        with pytest.raises(ValueError, match="cannot name"):
            assemble([], address=0, constants={name: 1})
    with pytest.raises(ValueError, match="both"):
        assemble([], address=0, constants={"a": 1}, symbols={"a": 1})
    with pytest.raises(ValueError, match="address"):
        assemble([], address=-1)
    with pytest.raises(ValueError, match="mode"):
        assemble([], address=0, mode=8)  # type: ignore[arg-type]


def test_labels_do_not_shadow_names_from_outside() -> None:
    assert "a constant already" in refusal("a: nop", constants={"a": 1})
    assert "a symbol from outside already" in refusal("a: nop", symbols={"a": 1})
    assert "given from outside already" in refusal("a = 1", constants={"a": 1})
    assert "is a label already" in refusal("a: nop\na = 1")
    assert "has a value by .set already" in refusal("a = 1\na: nop")
