"""A byte of guest memory that changes after the guest sealed it is an error wherever the judgement reads it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from textwrap import dedent

import pytest

from harness import abi
from harness.abi import MAILBOX, MAILBOX_STRUCT, SNAPSHOT
from harness.evidence.run import Run
from harness.probes.loader import load_file
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

PROBE = '''
"""A guest with everything that is sealed."""
from harness import Kernel, ProbeBody, probe

@probe(spec="none: the harness itself", cpus=2)
def reads_everything(k: Kernel) -> ProbeBody:
    """Reads snapshots, the counter's rate, buffers and interrupts."""
    small, large, empty = k.buffer("small", 7), k.buffer("large", 5000), k.buffer("empty", 4096)
    k.smp.start()
    with k.smp.on(1):
        k.asm("nop")
    k.smp.join(1)
    k.asm("""
        mov byte ptr [small+6], 0x77
        mov dword ptr [large+4996], 0x12345678
    """)
    k.lapic.self_ipi(0x40)
    k.sti()
    k.wait_for(0x40)
    k.checkpoint("middle")
    run = yield
    run.reached("middle")
    assert run.frozen.lapic.svr == 0x1FF
    run.resume()
    assert run.vectors == [0x40]
    assert run.tsc_khz == 1_000_000
    assert run.interrupts[0].tsc < 1 << 40
    assert run.pit and run.frozen.read("CR0")
    assert run.at("middle").lapic.svr == 0x1FF
    assert run.lapic_of(1).svr == 0x1FF
    assert run.memory(small) == bytes(6) + b"\\x77"
    assert run.memory(large.address + 4996, 4) == b"\\x78\\x56\\x34\\x12"
    assert run.memory(empty) == bytes(4096)
'''


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    file = tmp_path_factory.mktemp("seals") / "sealed.py"
    file.write_text(dedent(PROBE))
    return load_file(file, file.parent)[0].cases()[0]


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as made:
        yield made


def slot(number: int, field: str, *, table: int = abi.SNAPSHOTS) -> int:
    return table + number * SNAPSHOT.size + SNAPSHOT.offset(field)


def mailbox(field: str) -> int:
    return MAILBOX + MAILBOX_STRUCT.offset(field)


AFTER_THE_END = [
    (slot(0, "PIT"), "the snapshot at the end of the run"),
    (slot(0, "HPET") + 24, "the snapshot at the end of the run"),
    (slot(0, "LAPIC") + 4 * 0x28, "the snapshot at the end of the run"),
    (slot(1, "TSC"), "the snapshot at checkpoint 'middle'"),
    (slot(1, "LAPIC") + 4 * 0x0F, "the snapshot at checkpoint 'middle'"),
    (slot(1, "LAPIC", table=abi.CPU_SNAPSHOTS) + 4 * 0x0F, "the snapshot at the end of processor 1's last routine"),
    (mailbox("TSC_KHZ"), "the time-stamp counter's rate"),
    (mailbox("TSC_START") + 6, "the mailbox"),
    (mailbox("SEALS_CRC"), "the mailbox"),
    (mailbox("RANGES"), "the mailbox"),
    (abi.SEALS, "the CRCs of snapshots and buffers"),
    (abi.BUFFERS + 6, "buffer 'small'"),
    (abi.BUFFERS, "buffer 'small'"),
    (abi.BUFFERS + 0x2000 + 4999, "buffer 'large'"),
    (abi.BUFFERS + 0x2000 + 100, "buffer 'large'"),
    (abi.BUFFERS + 0x5000 + 4095, "buffer 'empty'"),
]


def test_an_honest_run_passes(executor: Executor, case: Case) -> None:
    record = executor.run(case)
    assert record.verdict is Verdict.PASS, record.reason


@pytest.mark.parametrize(("address", "what"), AFTER_THE_END)
def test_a_byte_that_changes_after_the_end(
    monkeypatch: pytest.MonkeyPatch, executor: Executor, case: Case, address: int, what: str
) -> None:
    stopped = Run.stopped

    def tamper(self: Run, stop: object) -> None:
        if self._resumed:
            self.machine.ram[address] ^= random.Random(address).randrange(1, 256)
        stopped(self, stop)  # type: ignore[arg-type]

    monkeypatch.setattr(Run, "stopped", tamper)
    record = executor.run(case)
    assert record.verdict is Verdict.ERROR, record.reason
    assert f"witnesses disagree about {what}" in record.reason


@pytest.mark.parametrize(
    ("address", "bit", "words"),
    [
        (abi.RECORDER + abi.RECORD.offset("VECTOR"), 1, "about recorder entry 0: it was vector 41h at 08:1100"),
        (abi.RECORDER + abi.RECORD.offset("RIP"), 1, "about recorder entry 0"),
        (
            abi.COUNTS + 4 * 0x41,
            1,
            "about vector 41h of processor 0: its count was 1 at a",
        ),
    ],
)
def test_an_interrupt_that_was_another_one_at_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, executor: Executor, case: Case, address: int, bit: int, words: str
) -> None:
    stopped, resume = Run.stopped, Run.resume

    def tamper(self: Run, stop: object) -> None:
        if not self._resumed:
            self.machine.ram[address] ^= bit
        stopped(self, stop)  # type: ignore[arg-type]

    def restore(self: Run) -> None:
        assert len(self.interrupts) == 1
        self.machine.ram[address] ^= bit
        resume(self)

    monkeypatch.setattr(Run, "stopped", tamper)
    monkeypatch.setattr(Run, "resume", restore)
    record = executor.run(case)
    assert record.verdict is Verdict.ERROR, record.reason
    assert words in record.reason


def test_a_byte_that_was_another_one_at_the_checkpoint(
    monkeypatch: pytest.MonkeyPatch, executor: Executor, case: Case
) -> None:
    at = slot(1, "LAPIC") + 4 * 0x28  # ESR, which the judgement does not read there
    stopped, resume = Run.stopped, Run.resume

    def tamper(self: Run, stop: object) -> None:
        if not self._resumed:
            self.machine.ram[at] ^= 0x40
        stopped(self, stop)  # type: ignore[arg-type]

    def restore(self: Run) -> None:
        self.machine.ram[at] ^= 0x40
        resume(self)

    monkeypatch.setattr(Run, "stopped", tamper)
    monkeypatch.setattr(Run, "resume", restore)
    record = executor.run(case)
    assert record.verdict is Verdict.ERROR, record.reason
    assert "the snapshot at checkpoint 'middle': the byte at offset 0xa0 was 0x40 at the checkpoint" in record.reason
