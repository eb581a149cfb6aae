"""Keystone reads its default radix from memory that it never initialises: no text given to it may depend on that."""

from __future__ import annotations

import ctypes

import keystone
import pytest

from harness.assembly import SourceLine, assemble
from harness.assembly.encode import _memo
from harness.assembly.source import Origin

_LIBC = ctypes.CDLL(None)
_LIBC.malloc.restype = ctypes.c_void_p
_LIBC.malloc.argtypes = [ctypes.c_size_t]
_LIBC.free.argtypes = [ctypes.c_void_p]


def fill_free_memory(word: int) -> None:
    """Fill the blocks that malloc gives next with a 32-bit number."""
    blocks = []
    for size in range(64, 2048, 16):
        for _ in range(7):
            block = _LIBC.malloc(size)
            ctypes.memmove(block, word.to_bytes(4, "little") * (size // 4), size)
            blocks.append(block)
    for block in blocks:
        _LIBC.free(block)


def test_keystone_depends_on_it() -> None:
    fill_free_memory(16)
    engine = keystone.Ks(keystone.KS_ARCH_X86, keystone.KS_MODE_16)
    with pytest.raises(keystone.KsError):  # 16 is read as 16h, which is no power of two
        engine.asm("nop\n.balign 16, 0xcc\n")


@pytest.mark.parametrize("word", [10, 16])
def test_the_assembler_does_not(word: int) -> None:
    _memo.clear()
    fill_free_memory(word)
    lines = [
        SourceLine("psllw xmm7, xmmword ptr [0x7c00]", Origin("t", 1)),
        SourceLine("mov ax, [bx + 20]", Origin("t", 2)),
    ]
    assert assemble(lines, address=0, mode=16).code == bytes.fromhex("66 0f f1 3e 00 7c 8b 47 14")
