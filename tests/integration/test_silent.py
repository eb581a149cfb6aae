"""Guests that fall silent: what keeps them there, with the probe's line; at once where nothing can wake them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

GUESTS = Path(__file__).parents[1] / "data" / "silent"
CASES = {probe.name: probe.cases()[0] for probe in load_probes([GUESTS])}
FILE = "tests/data/silent/silent.py"


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as made:
        yield made


def at(name: str, text: str) -> str:
    """FILE:LINE of a guest's line that holds the text."""
    lines = CASES[name].probe.path.read_text(encoding="utf-8").splitlines()
    first = CASES[name].probe.line
    return f"{FILE}:{next(number for number, line in enumerate(lines, 1) if number >= first and text in line)}"


@pytest.mark.parametrize("name", ["halts_with_interrupts_off", "halts_on_all_processors", "halts_after_a_checkpoint"])
def test_a_halt_that_nothing_ends_is_named_at_once(executor: Executor, name: str) -> None:
    record = executor.run(CASES[name])
    assert record.verdict is Verdict.FAIL
    assert record.reason.startswith(
        f"processor 0 is halted with interrupts off (IF=0) at {at(name, 'hlt')}".rpartition(":")[0]
    )
    assert record.reason.endswith(", and nothing can wake it")
    assert "gave no sign" not in record.reason, "it did not wait for the watchdog"
    assert record.detail.line


def test_a_halt_that_an_nmi_may_end_is_named_at_the_time_out(executor: Executor) -> None:
    reason = executor.run(CASES["halts_where_an_nmi_may_come"]).reason
    place = at("halts_where_an_nmi_may_come", "hlt")
    assert reason.startswith(
        f"the guest gave no sign for 0.7 s: processor 0 is halted with interrupts off (IF=0) at {place}"
    )


@pytest.mark.parametrize("name", ["is_woken_by_an_nmi", "is_woken_after_ten_seconds"])
def test_a_guest_that_wakes_again_passes(executor: Executor, name: str) -> None:
    record = executor.run(CASES[name])
    assert record.verdict is Verdict.PASS, record.reason


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("calls_into_the_void", ["0xc00000, which is outside of the program", f"a return address at {FILE}:"]),
        (
            "writes_over_the_runtime",
            ["wrote over the runtime's code: 2 bytes from 0x", "at wait_vector (guest/runtime"],
        ),
        ("breaks_the_runtime", ["wrote over the runtime's code: 2 bytes", "; unexpected #UD at wait_vector"]),
        ("storms", ["interrupt storm: vector 0x50 came ", f"{FILE}:", "is periodic, with an initial count of 10"]),
        ("another_processor_spins", ["waited for vector 0x50 × 1", "processor 1 executes at round_and_round"]),
        (
            "another_processor_spins_and_this_one_too",
            ["processor 0 executes at to_and_fro", f"processor 1 executes at round_and_round+0x2 ({FILE}:"],
        ),
    ],
)
def test_the_reason_names_what_holds_the_processor(executor: Executor, name: str, words: list[str]) -> None:
    record = executor.run(CASES[name])
    assert record.verdict is Verdict.FAIL
    for word in words:
        assert word in record.reason, record.reason
