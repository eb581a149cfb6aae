"""The log of a triple fault, as QEMU 7.2 prints it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from harness.qemu.dumps import parse_registers, parse_triple_fault

DATA = Path(__file__).parent / "data"
LOG = (DATA / "triple-fault-7.2-tcg.txt").read_text(encoding="ascii")


def test_the_deliveries_that_failed_in_order() -> None:
    fault = parse_triple_fault(LOG)
    assert fault is not None
    assert [(d.vector, d.error_code, d.pc) for d in fault.deliveries] == [
        (6, 0, 0x11005F),
        (13, 0x62, 0x11005F),
        (8, 0, 0x11005F),
    ]
    assert fault.deliveries[-1].registers["TR"] == 0x40


def test_the_processor_is_the_one_whose_registers_are_logged() -> None:
    fault = parse_triple_fault(LOG)
    assert fault is not None
    block = LOG.split("v=08")[1].partition("\n")[2].partition("CCS=")[0]
    text = f"CPU#0\n{block}EFER=0000000000000d00\nFCW=037f FSW=0000 [ST=0] FTW=00 MXCSR=00001f80\n"
    (cpu,) = parse_registers(text)
    other = replace(cpu, cpu=1, tr=replace(cpu.tr, selector=0x50))
    assert fault.processor([replace(cpu, cpu=1), replace(other, cpu=0)]) == 1
    assert fault.processor([other]) is None
    assert fault.processor([cpu, replace(cpu, cpu=1)]) is None, "two that are equal: it cannot be known"


def test_no_triple_fault_or_no_deliveries_of_one() -> None:
    assert parse_triple_fault("") is None
    assert parse_triple_fault("Triple fault\n") is None
    assert parse_triple_fault(LOG.replace("Triple fault", "")) is None
    assert parse_triple_fault(LOG.replace("v=08", "v=0b")) is None


def test_an_earlier_fault_elsewhere_is_not_part_of_it() -> None:
    earlier = LOG.partition("     1:")[0].replace("11005f", "110000")
    fault = parse_triple_fault(earlier + LOG)
    assert fault is not None and len(fault.deliveries) == 3


@given(st.integers(0, len(LOG)), st.characters())
def test_damage_never_raises(position: int, character: str) -> None:
    parse_triple_fault(LOG[:position] + character + LOG[position + 1 :])
