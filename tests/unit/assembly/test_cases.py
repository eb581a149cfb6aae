"""Known hazards: the bytes that are right, or a refusal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .helpers import code, refusal

_DATA = json.loads((Path(__file__).parent / "assembly_cases.json").read_text())

_MORE: list[tuple[int, str, str]] = [
    (64, "sysretq", "480f07"),
    (64, "sysret", "0f07"),
    (64, "endbr64", "f30f1efa"),
    (64, "serialize", "0f01e8"),
    (64, "rdpid rcx", "f30fc7f9"),
    (64, "rdpid r9", "f3410fc7f9"),
    (64, "lretq", "48cb"),
    (64, "retf", "cb"),
    (64, "int1", "f1"),
    (64, "icebp", "f1"),
    (64, "int3", "cc"),
    (64, "swapgs", "0f01f8"),
    (64, "lidt [0x1000]", "0f011c2500100000"),
    (64, "lgdt [rbx]", "0f0113"),
    (64, "invlpg byte ptr [rax]", "0f0138"),
    (64, "push -1", "6aff"),
    (64, "push 0x7f", "6a7f"),
    (64, "push 0x80", "6880000000"),
    (64, "push 0xffffffff80000000", "6800000080"),
    (64, "push 0xffffffffffffffff", "6aff"),
    (64, "push 0xffffffff", "refuse"),
    (64, "mov rax, -1", "48c7c0ffffffff"),
    (64, "mov rax, 0xffffffff80000000", "48c7c000000080"),
    (64, "add rax, 0xffffffff", "refuse"),
    (64, "and eax, 0xfffffff0", "83e0f0"),
    (64, "mov dword ptr [rax], 0xffffffff", "c700ffffffff"),
    (64, "mov qword ptr [rax], 0xffffffff", "refuse"),
    (64, "mov eax, dword ptr [0x7fffffff]", "8b0425ffffff7f"),
    (64, "mov ecx, dword ptr [0x80000000]", "refuse"),
    (64, "mov [0x1122334455667788], al", "a28877665544332211"),
    (64, "movabs rax, 5", "48b80500000000000000"),
    (64, "jmp fword ptr [rax]", "ff28"),
    (64, "jmp far ptr [rax]", "ff28"),
    (64, "call tbyte ptr [rax]", "48ff18"),
    (64, "jmp 0x08:0x1234", "refuse"),
    (64, "movzx eax, ah", "0fb6c4"),
    (64, "mov ah, r9b", "refuse"),
    (64, "movzx rax, ah", "refuse"),
    (64, "mov ah, byte ptr [r9]", "refuse"),
    (64, "xchg eax, eax", "87c0"),
    (64, "xchg rax, rax", "4890"),
    (64, "mov rax, [rsp+rsp]", "refuse"),
    (64, "mov rax, [rax+rsp]", "488b0404"),
    (64, "mov rax, [rax*3]", "refuse"),
    (64, "mov rax, [ax]", "refuse"),
    (64, "mov rax, [rax+ecx]", "refuse"),
    (64, "mov cs, ax", "refuse"),
    (64, "lock mov dword ptr [rax], 1", "refuse"),
    (64, "lock add eax, 1", "refuse"),
    (64, "rep nop", "refuse"),
    (64, "rep stosq", "f348ab"),
    (64, "repne scasb", "f2ae"),
    (64, "rep scasb", "refuse"),
    (64, "pusha", "refuse"),
    (64, "movzx eax, [rbx]", "refuse"),
    (64, "shl dword ptr [rax], 256", "refuse"),
    (64, "int 0x80", "cd80"),
    (64, "mov eax, dword ptr ds:[rax]", "refuse"),
    (64, "cvtsi2sd xmm0, [rax]", "refuse"),
    (64, "movsd xmm0, qword ptr [rax]", "f20f1000"),
    (64, "movsd", "a5"),
    (64, "wrong: .byte 256", "refuse"),
    (64, ".byte -129", "refuse"),
    (64, ".byte -128, 255", "80ff"),
    (64, ".word 0x10000", "refuse"),
    (64, ".quad 0x10000000000000000", "refuse"),
    (64, ".quad -1", "ffffffffffffffff"),
    (64, ".macro x", "refuse"),
    (64, ".section .data", "refuse"),
    (64, ".align 4", "refuse"),
    (64, ".fill 3, 2, 0x1234", "341234123412"),
    (64, "nop ; hlt", "refuse"),
    (64, "nop // hlt", "90"),
    (64, '.ascii "a;b#c//d" # e', b"a;b#c//d".hex()),
    (64, ".byte ';', '#', '\\n', '\\''", "3b230a27"),
    (64, '.asciz "\\x41\\102\\0"', "41420000"),
    (64, "mov eax, 1 + 2 << 3", "refuse"),
    (64, "mov eax, (1 + 2) << 3", "b818000000"),
    (64, "mov eax, 1 << 3 | 1 << 4", "b818000000"),
    (64, "mov eax, 6 & 3 | 8", "refuse"),
    (64, "mov eax, 010", "b808000000"),
    (64, "mov eax, 0b101", "b805000000"),
    (64, "mov eax, 08", "refuse"),
    (64, "mov eax, 0ffh", "refuse"),
    (64, "mov eax, ~0", "b8ffffffff"),
    (64, "mov eax, 1/0", "refuse"),
    (64, "mov %eax, 1", "refuse"),
    (64, "mov eax, dword 5", "refuse"),
    (64, "jmp", "refuse"),
    (64, "nop nop", "refuse"),
    (64, "/* c */ nop", "refuse"),
    (32, "iret", "cf"),
    (32, "iretw", "66cf"),
    (32, "lgdt [eax]", "0f0110"),
    (32, "pop ds", "1f"),
    (32, "push ds", "1e"),
    (32, "mov ds, ax", "8ed8"),
    (32, "jmp 0x08:0x12345678", "ea785634120800"),
    (32, "ljmp 0x08, 0x12345678", "ea785634120800"),
    (32, "call 0x08:0x12345678", "9a785634120800"),
    (32, "jmp fword ptr [eax]", "ff28"),
    (32, "mov rax, 1", "refuse"),
    (32, "mov eax, r8d", "refuse"),
    (32, "swapgs", "refuse"),
    (32, "push 0xffffffff", "6aff"),
    (32, "mov eax, [0xfee00020]", "a12000e0fe"),
    (16, "iret", "cf"),
    (16, "iretd", "66cf"),
    (16, "o32 iret", "66cf"),
    (16, "ret", "c3"),
    (16, "retf", "cb"),
    (16, "o32 retf", "66cb"),
    (16, "ret 4", "c20400"),
    (16, "push 0x1234", "683412"),
    (16, "push 5", "6a05"),
    (16, "lgdt [0x1000]", "0f01160010"),
    (16, "lgdtd [0x1000]", "660f01160010"),
    (16, "o32 lgdt [0x1000]", "660f01160010"),
    (16, "data32 lidt cs:[0x1000]", "2e660f011e0010"),
    (16, "jmp 0x08:0x1234", "ea34120800"),
    (16, "o32 jmp 0x08:0x12345678", "66ea785634120800"),
    (16, "jmp far ptr [bx]", "ff2f"),
    (16, "jmp fword ptr [bx]", "66ff2f"),
    (16, "jmp dword ptr [bx]", "refuse"),
    (16, "mov ax, [0x12345]", "refuse"),
    (16, "mov eax, [ebx]", "67668b03"),
    (16, "mov ax, [ax]", "refuse"),
    (16, "mov ax, [bx+bp]", "refuse"),
    (16, "pushad", "6660"),
    (16, "pushf", "9c"),
]


@pytest.mark.parametrize("case", _DATA["cases"], ids=lambda case: f"{case['mode']}-{case['source'][:40]!r}")
def test_stated_case(case: dict[str, Any]) -> None:
    if case["expect"] == "refuse":
        assert "x.asm:" in refusal(case["source"], case["mode"], int(_DATA["address"], 0))
    else:
        assert code(case["source"], case["mode"], int(_DATA["address"], 0)) == case["expect"]


@pytest.mark.parametrize(("mode", "source", "expected"), _MORE, ids=lambda value: str(value)[:40])
def test_more(mode: int, source: str, expected: str) -> None:
    if expected == "refuse":
        assert "x.asm:1" in refusal(source, mode)
    else:
        assert code(source, mode) == expected
