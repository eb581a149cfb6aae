"""A campaign: guests of known verdicts, while signals reach their QEMU at random times.

`TRAPGATE_SIGNAL_RUNS` is the number of runs for each target: 40 by default.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import RunRecord, Verdict

RUNS = int(os.environ.get("TRAPGATE_SIGNAL_RUNS", "40"))
GUESTS = Path(__file__).parents[1] / "data" / "signals"
EXPECTED = {"fails": Verdict.FAIL, "deviates": Verdict.DEVIATION}
ENDING = [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGSEGV, signal.SIGABRT]
TRUE_OF_A_SIGNAL = ("SIG", "signal", "stopped", "the host did not")
TRUE_OF_A_BUSY_HOST = "the host did not run QEMU"


class Sender:
    """Sends signals to every QEMU that this process has started, until it is closed."""

    def __init__(self, seed: int) -> None:
        self.sent: Counter[str] = Counter()
        self._random = random.Random(seed)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def close(self) -> None:
        self._end.set()
        self._thread.join()

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        while not self._end.wait(self._random.expovariate(1 / 0.05)):
            for pid in list(children()):
                try:
                    self._trouble(pid)
                except ProcessLookupError:
                    continue

    def _trouble(self, pid: int) -> None:
        if self._random.random() < 0.5:
            number = self._random.choice(ENDING)
            self.sent[signal.Signals(number).name] += 1
            os.kill(pid, number)
            return
        self.sent["SIGSTOP"] += 1
        os.kill(pid, signal.SIGSTOP)
        self._end.wait(self._random.choice([0.001, 0.01, 0.05, 0.05, 0.3, 1.5]))
        os.kill(pid, signal.SIGCONT)


def children() -> Iterator[int]:
    """The QEMU processes that this process has started."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            try:
                if Path(f"/proc/{pid}/comm").read_text().startswith("qemu-system"):
                    yield int(pid)
            except OSError:
                continue


@contextmanager
def signals(seed: int) -> Iterator[Sender]:
    sender = Sender(seed)
    sender.start()
    try:
        yield sender
    finally:
        sender.close()


def wrong(case: Case, record: RunRecord, signalled: bool) -> str:
    """What is wrong with a record; empty where nothing is."""
    name = case.id.partition("::")[2]
    expected = EXPECTED.get(name.partition("_")[0], Verdict.PASS)
    if record.verdict is expected:
        return ""
    text = f"{name} on {record.target}: {record.verdict} {record.reason!r}, expected {expected}"
    if record.verdict is not Verdict.ERROR:
        return text
    true = TRUE_OF_A_SIGNAL if signalled else (TRUE_OF_A_BUSY_HOST,)
    return "" if any(words in record.reason for words in true) else text


@pytest.mark.slow
@pytest.mark.parametrize("name", ["q35-tcg", "q35-tcg-rt"])
def test_no_verdict_is_wrong_whatever_signals_come(name: str) -> None:
    cases = [case for probe in load_probes([GUESTS]) for case in probe.cases()]
    weights = [0.1 if "half_a_second" in case.id else 1.0 for case in cases]
    order = random.Random(7)
    found, verdicts = [], Counter[Verdict]()
    with Executor(target(name), RunOptions(cold=False)) as executor, signals(7) as sender:
        for _ in range(RUNS):
            (case,) = order.choices(cases, weights)
            before = sender.sent.total()
            record = executor.run(case)
            verdicts[record.verdict] += 1
            if text := wrong(case, record, sender.sent.total() > before):
                found.append(text)
    summary = f"{RUNS} runs, {dict(sender.sent)}, { ({str(v): n for v, n in verdicts.items()}) }"
    assert not found, f"{len(found)} wrong ({summary}):\n" + "\n".join(found[:20])
    if target(name).deterministic:  # in real time a host that is busy for all of the campaign leaves nothing but errors
        assert verdicts[Verdict.PASS] and verdicts[Verdict.FAIL], summary
    print(summary)
