"""Triple faults, resets and stack overflows: what happened, to which processor, where; in a short report."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from harness.evidence.failures import Section
from harness.probes.loader import load_probes
from harness.qemu.target import target
from harness.report.failure import explain
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

GUESTS = Path(__file__).parents[1] / "data" / "fatal"
CASES = {probe.name: probe.cases()[0] for probe in load_probes([GUESTS])}
FILE = "tests/data/fatal/fatal.py"


def text_of(sections: Sequence[Section], title: str) -> str:
    return next(section.text for section in sections if section.title == title)


@pytest.fixture(scope="module", params=["cold", "warm"])
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=request.param == "cold")) as made:
        yield made


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "nests",
            "the stack of processor 0 overflowed by 256 nested interrupts at {nest}:16; the last one is vector 0x80",
        ),
        ("nests_with_page_tables_of_its_own", "the stack of processor 0 overflowed by 256 nested interrupts at {nest}"),
        ("nests_on_another_processor", "the stack of processor 1 overflowed by "),
        ("line_that_nobody_silences", "the stack of processor 0 overflowed by 256 nested interrupts at " + FILE),
        ("recurses", "the stack of processor 0 overflowed at program (" + FILE),
        ("uses_up_its_stack_with_page_tables_of_its_own", "the stack of processor 0 overflowed: the page at 0x510000"),
        (
            "triple_fault_of_another_processor",
            "the guest reset the machine (guest-reset): triple fault of processor 2: #UD at broken (" + FILE,
        ),
        (
            "page_fault_without_a_stack",
            "the guest reset the machine (guest-reset): triple fault of processor 0: #PF(0x0) at lost (" + FILE,
        ),
        (
            "port_of_another_processor",
            "the guest reset the machine (guest-reset): no triple fault, but port CF9h, port 92h or the keyboard "
            "controller; the processor is not known; processor 0 waits at " + FILE,
        ),
    ],
)
def test_the_reason_describes_the_event(executor: Executor, name: str, reason: str) -> None:
    record = executor.run(CASES[name])
    assert record.verdict is Verdict.FAIL, record.reason
    lines = GUESTS.joinpath("fatal.py").read_text(encoding="utf-8").splitlines()
    nest = next(number for number, line in enumerate(lines, 1) if 'k.asm("deeper' in line)
    assert record.reason.startswith(reason.format(nest=f"{FILE}:{nest}")), record.reason
    for section in explain(record):
        if section.title not in ("QEMU command line", "Rule"):
            assert len(section.text.splitlines()) <= 60, section.title
        if section.title == "Interrupts":
            assert max(map(len, section.text.splitlines())) <= 100


def test_the_rest_of_the_chain_is_reported(executor: Executor) -> None:
    record = executor.run(CASES["triple_fault_of_another_processor"])
    assert record.reason.endswith(" could not be delivered, nor #GP(0x62), nor #DF(0x0)")
    assert text_of(record.detail.sections, "Registers").startswith("CPU 2:")
    assert (record.cpu, record.ended_by_reset) == (2, True)
    assert record.detail.line


def test_a_nested_storm_takes_three_lines(executor: Executor) -> None:
    table = text_of(explain(executor.run(CASES["nests"])), "Interrupts").splitlines()
    assert "more like it, nested 256 deep" in "".join(table)
    assert len(table) <= 6


def test_most_of_a_stack_may_be_used(executor: Executor) -> None:
    assert executor.run(CASES["uses_most_of_its_stack"]).verdict is Verdict.PASS
