"""QEMU's interrupt log: what is whole is read, what is damaged is refused, and it takes no longer than its length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.abi import IDT
from harness.evidence.second_source import gates_written
from harness.qemu.errors import DumpError
from harness.qemu.interrupt_log import LogParser


def entry(number: int, vector: int = 0x50, *, tail: str = "env->regs[R_EAX]=0000000000000001", tr: int = 0x40) -> str:
    return (
        f"{number:6d}: v={vector:02x} e=0000 i=0 cpl=0 IP=0008:0000000000110042 pc=0000000000110042 "
        f"SP=0010:000000000050fff8 {tail}\nRAX=0000000000000001 RBX=0000000000000000\n"
        f"TR ={tr:04x} 0000000000206800 00000067 00008b00 DPL=0 TSS64-busy\nCR0=80010033\n"
    )


def parse(text: str, *, piece: int = 1 << 20) -> LogParser:
    parser = LogParser()
    data = text.encode("latin-1")
    for at in range(0, len(data), piece):
        parser.feed(data[at : at + piece])
    return parser


TEXT = "Servicing hardware INT=0x50\n" + entry(7) + entry(8, 14, tail="CR2=0000000000001000", tr=0x50)


@given(st.integers(1, 300))
def test_a_whole_log(piece: int) -> None:
    first, second = parse(TEXT, piece=piece).complete()
    assert (first.number, first.vector, first.cs, first.rip, first.ss, first.tr) == (7, 0x50, 8, 0x110042, 0x10, 0x40)
    assert (second.vector, second.cr2, second.tr) == (14, 0x1000, 0x50)
    assert not first.software
    assert first.cr2 is None


@pytest.mark.parametrize(
    "text",
    [
        entry(7) + entry(9),
        entry(7).replace("v=50", "v=5"),
        entry(7).replace("cpl=0", "cpl=4"),
        entry(7).replace("TR =", "XX ="),
        entry(7).partition("TR")[0],
        entry(7).replace("IP=0008:", "IP=0008;"),
        entry(7).partition("RAX")[0] + entry(8),
    ],
)
def test_a_damaged_log_is_refused(text: str) -> None:
    with pytest.raises(DumpError, match="interrupt log"):
        parse(text).complete()


@given(st.binary(max_size=2000), st.integers(1, 100))
def test_noise_gives_deliveries_or_a_dump_error(noise: bytes, piece: int) -> None:
    parser = LogParser()
    for at in range(0, len(noise), piece):
        parser.feed(noise[at : at + piece])
    try:
        parser.complete()
    except DumpError:
        pass


def test_a_line_without_end_is_bounded() -> None:
    parser = LogParser()
    for _ in range(1000):
        parser.feed(b"x" * 10_000)
    assert len(parser._rest) <= 4096
    parser.feed(b"\n" + entry(1).encode())
    assert len(parser.complete()) == 1


def test_gates_that_a_program_names() -> None:
    assert gates_written(["mov rax, 1", "int 0x50"]) == frozenset()
    assert gates_written([f"mov word ptr [{IDT + 16 * 0x50 + 6:#x}], ax"]) == {0x50}
    assert gates_written([f"mov byte ptr [{IDT + 16 * 254}], 1"]) == {254}
    assert len(gates_written([f"mov edi, {IDT:#x}"])) == 256
    assert len(gates_written(["mov esi, IDT+0x30"])) == 256
    assert len(gates_written(["lidt [rsp+6]"])) == 256
