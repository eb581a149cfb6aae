"""The builder: what it refuses, and that steps can be left out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import abi
from harness.assembly import AssemblyError
from harness.hardware.block import PlaceholderError
from harness.hardware.platform import PLATFORMS
from harness.hardware.register import FieldError
from harness.kernel.builder import Kernel
from harness.kernel.program import Program, ProgramError


def builder(omit: frozenset[int] = frozenset()) -> Kernel:
    return Kernel(Program("test", omit), PLATFORMS["q35"])


def test_a_value_is_no_number_above_the_yield() -> None:
    k = builder()
    value = k.value("seen_at")
    with pytest.raises(PlaceholderError, match=r"seen_at.*above the yield"):
        bool(value)
    with pytest.raises(PlaceholderError):
        _ = value > 5
    with pytest.raises(PlaceholderError):
        int(value)


def test_unknown_fields_and_large_values_are_refused_by_name() -> None:
    k = builder()
    with pytest.raises(FieldError, match=r"hpet\.CONFIG.*ENABEL.*did you mean ENABLE"):
        k.hpet.CONFIG.write(ENABEL=1)  # type: ignore[call-arg]
    with pytest.raises(FieldError, match=r"8 bit wide"):
        k.lapic.LVT_TIMER.write(VECTOR=256)
    with pytest.raises(FieldError, match="there are 24"):
        k.ioapic.redirect(pin=24, vector=0x40)


@pytest.mark.parametrize("name", ["two words", "9lives", "", "a-b"])
def test_a_value_needs_an_identifier(name: str) -> None:
    with pytest.raises(ProgramError, match="identifier"):
        builder().value(name)


def test_names_are_unique_and_not_the_harness_own() -> None:
    k = builder()
    k.value("seen")
    with pytest.raises(ProgramError, match="already"):
        k.value("seen")
    k.value("MAILBOX")
    with pytest.raises(ProgramError, match="belongs to a constant"):
        k.program.finish()


def test_an_error_in_assembly_names_the_probe_line() -> None:
    k = builder()
    k.asm("""
        nop
        mov eax, nowhere
    """)
    with pytest.raises(AssemblyError, match=r"test_program\.py:\d+.*nowhere"):
        k.program.finish()


def test_a_step_left_out_leaves_its_bytes_out() -> None:
    def write(omit: frozenset[int]) -> tuple[bytes, int]:
        k = builder(omit)
        k.asm("mov ebx, 0x11111111")
        with k.trigger():
            k.asm("mov ebx, 0x22222222")
        assert [step.trigger for step in k.program.steps] == [False, True]
        return k.program.finish().code, len(k.program.steps)

    whole, _ = write(frozenset())
    without, steps = write(frozenset({1}))
    assert steps == 2
    assert b"\x22\x22\x22\x22" in whole
    assert b"\x22\x22\x22\x22" not in without
    assert b"\x11\x11\x11\x11" in without


@given(st.lists(st.tuples(st.integers(1, 100_000), st.sampled_from([1, 16, 64, 4096])), max_size=20))
def test_buffers_never_touch(wanted: list[tuple[int, int]]) -> None:
    program = Program("test")
    found = [program.add_buffer(f"b{i}", size, align) for i, (size, align) in enumerate(wanted)]
    for buffer, (size, align) in zip(found, wanted, strict=True):
        assert buffer.address % align == 0
        assert buffer.size == size
        assert buffer.address >= abi.BUFFERS
        assert buffer.address + size <= abi.BUFFERS_END
    for left, right in pairwise(found):
        assert left.address + left.size + 0x1000 <= right.address


def test_a_buffer_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ProgramError, match="do not fit"):
        Program("test").add_buffer("huge", abi.BUFFERS_END, 16)


def test_layout_regions_do_not_overlap() -> None:
    regions = [
        (abi.TRAMPOLINE, 0x1000),
        (abi.RUNTIME, abi.PARAMETERS - abi.RUNTIME),
        (abi.PARAMETERS, abi.PARAMETERS_STRUCT.size),
        (abi.PROGRAM, abi.PROGRAM_END - abi.PROGRAM),
        (abi.MAILBOX, abi.MAILBOX_STRUCT.size),
        (abi.VALUES, 8 * abi.VALUES_MAX),
        (abi.COUNTS, 1024 * abi.CPUS),
        (abi.HANDLERS, 2048),
        (abi.PER_CPU, abi.PERCPU.size * abi.CPUS),
        (abi.GDT, abi.GDT_SIZE),
        (abi.TSS, 128 * abi.CPUS),
        (abi.NO_EOI, 256),
        (abi.IDT, 4096),
        (abi.SNAPSHOTS, abi.SNAPSHOT.size * abi.SNAPSHOTS_MAX),
        (abi.CPU_SNAPSHOTS, abi.SNAPSHOT.size * abi.CPUS),
        (abi.PANIC, abi.PANIC_STRUCT.size),
        (abi.RECORDER, abi.RECORD.size * (abi.RECORDS + abi.TAIL)),
        (abi.PAGE_TABLES, 0x8000),
        (abi.STACKS, abi.STACK_SIZE * abi.CPUS),
        (abi.PAGE_WINDOW, abi.PAGE_WINDOW_SIZE),
        (abi.BUFFERS, abi.BUFFERS_END - abi.BUFFERS),
        (abi.STAGING, 0x20_0000),
    ]
    for (start, size), (following, _) in pairwise(regions):
        assert start + size <= following, f"{start:#x} runs into {following:#x}"
