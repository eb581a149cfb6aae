"""Repeated runs have the same results, while both cores are busy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from thorough import THOROUGH, scaled

from harness.campaign.repeat import repeat_cases
from harness.campaign.repeat_tally import Repeats
from harness.campaign.sharding import Shard
from harness.probes.loader import load_file, load_probes
from harness.qemu.target import target
from harness.run.options import RunOptions
from harness.run.record import Verdict

Q35 = target("q35-tcg")
SAMPLE = Shard(2, 60)  # of the catalogue, where not all of it is run
ROUNDS = int(os.environ.get("TRAPGATE_ROUNDS", scaled(3, 5)))  # `make soak`: 50


@pytest.fixture
def busy_host() -> Iterator[None]:
    """A process on each of two cores that never rests."""
    hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]
    try:
        yield
    finally:
        for hog in hogs:
            hog.kill()
            hog.wait()


@pytest.mark.slow
@pytest.mark.usefixtures("busy_host")
def test_the_catalogue_again_and_again() -> None:
    cases = [case for found in load_probes() for case in found.cases()]
    if not THOROUGH:
        cases = [case for case in cases if SAMPLE.holds(case.id)]
    runs = [(Q35, case) for case in cases]
    repeats = Repeats(ROUNDS, len(runs))
    records = dict(repeat_cases(runs, RunOptions(cold=False), 2, repeats))
    assert len(records) == len(runs)
    assert {record.probe: record.reason for record in records.values() if not record.ok} == {}
    assert repeats.different == 0
    assert repeats.runs >= ROUNDS * len(runs)


PROBE = '''
from itertools import count

from harness import Kernel, ProbeBody, probe

CALLS = count()


@probe(spec="SDM vol. 2, INT n/INTO/INT3/INT1—Call to Interrupt Procedure")
def odd(k: Kernel) -> ProbeBody:
    """INT n goes through gate n."""
    number = next(CALLS)
    k.expect(0x50)
    {change}
    with k.trigger():
        k.int_n(0x50)
    run = yield
    assert 0x50 in run.vectors{judge}
'''


@pytest.mark.parametrize(
    ("change", "judge", "said"),
    [
        ("", " and number != 3", "in run 4 of 6 the verdict is fail"),
        ("k.expect(0x51)\n    if number == 4: k.int_n(0x51)", "", "in run 5 of 6 interrupt 0 is vector 0x51 on CPU 0"),
        ("if number == 2: k.delay(us=5)", "", "in run 3 of 6 interrupt 0 (vector 0x50 on CPU 0) came at tick"),
    ],
    ids=["verdict", "sequence", "time"],
)
def test_the_first_difference_is_shown(tmp_path: Path, change: str, judge: str, said: str) -> None:
    file = tmp_path / "odd.py"
    file.write_text(dedent(PROBE).format(change=change, judge=judge))
    (found,) = load_file(file, tmp_path)
    repeats = Repeats(6, 1)
    options = RunOptions(cold=True)  # else the runs that decide about time would count as further calls
    ((_, record),) = repeat_cases([(Q35, found.cases()[0])], options, 1, repeats)
    assert record.verdict is Verdict.FAIL
    assert said in record.reason
    assert repeats.different == 1


def test_other_phases_are_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    """The RTC's divider runs on through a reset: warm runs find it elsewhere each time, runs from power-on do not."""
    monkeypatch.setattr("harness.run.execute.reads_clock", lambda texts: False)
    monkeypatch.setattr(
        "harness.run.leftovers.sticky_write", lambda texts, machine: None
    )  # else its machine serves one run
    (found,) = [
        found
        for found in load_probes()
        if found.id == "timers/rtc_periodic.py::periodic_rate_is_that_of_its_select_bits"
    ]
    case = next(case for case in found.cases() if case.label == "hertz1024")
    repeats = Repeats(4, 1)
    ((_, record),) = repeat_cases([(Q35, case)], RunOptions(cold=False), 1, repeats)
    assert record.verdict is Verdict.PASS
    assert (repeats.other_phase, repeats.different) == (1, 0)
    assert "only from power-on" in str(repeats)
