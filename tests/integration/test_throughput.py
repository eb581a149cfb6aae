"""Throughput figures: they come out, and only of work that was really done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.campaign.throughput import figures as module
from harness.campaign.throughput.disks import DiskTransfers, IdeTransfers, VirtioTransfers
from harness.campaign.throughput.figures import BENCHMARKS, Figure, ThroughputError, measure_rate, measure_throughput
from harness.campaign.throughput.interrupts import SelfIpis
from harness.campaign.throughput.moves import E1000eFrames, EduTransfers
from harness.campaign.throughput.sampling import Benchmark, Rate
from harness.cli import app
from harness.evidence.run import Run
from harness.kernel.builder import Kernel
from harness.qemu.target import target

Q35 = target("q35-tcg")
SHORT_S = 0.001


def name(benchmark: Benchmark) -> str:
    return f"{benchmark.device} {benchmark.operation}"


def measured(benchmark: Benchmark) -> Rate | None:
    return measure_rate(benchmark, Q35, at_least_s=SHORT_S, samples=1)


def test_interrupts_and_bytes_and_what_a_target_lacks() -> None:
    made = [SelfIpis, lambda: VirtioTransfers(write=False), lambda: IdeTransfers(write=False)]
    targets = [Q35, target("q35-tcg-rt")]
    status: list[str] = []
    rows = measure_throughput(targets, status.append, made, at_least_s=SHORT_S, samples=1)
    assert [(row.device, row.operation, row.unit) for row in rows] == [
        ("local APIC", "self-IPI", "interrupts"),
        ("virtio-blk", "read", "bytes"),
        ("ide", "read", "bytes"),
    ]
    assert [list(row.rates) for row in rows] == [["q35-tcg", "q35-tcg-rt"]] * 3
    assert status[:2] == ["local APIC, self-IPI on q35-tcg", "local APIC, self-IPI on q35-tcg-rt"]
    for row in rows[:2]:
        virtual, real = row.rates["q35-tcg"], row.rates["q35-tcg-rt"]
        assert virtual is not None and real is not None
        assert virtual.per_second > 0 and virtual.per_guest_second is None
        assert real.per_second > 0 and real.per_guest_second is not None and real.per_guest_second > 0
        assert virtual.amount > 0 and real.amount > 0
    assert set(rows[2].rates.values()) == {None}


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(BENCHMARKS)), ids=lambda n: name(BENCHMARKS[n]()))
def test_every_benchmark_is_right_on_pc(number: int) -> None:
    """The machine type that has all the devices."""
    rate = measure_rate(BENCHMARKS[number](), target("pc-tcg"), at_least_s=SHORT_S, samples=1)
    assert rate is not None and rate.per_second > 0


class _WrongByteOnTheDisk(VirtioTransfers):
    def before(self, run: Run, rounds: int) -> None:
        super().before(run, rounds)
        run.backing("virtio-blk")[70_000] ^= 1


class _LostWrite(VirtioTransfers):
    def after(self, run: Run, rounds: int) -> None:
        run.backing("virtio-blk")[1_000_000] ^= 1
        super().after(run, rounds)


class _HalfOfTheRounds(VirtioTransfers):
    per_round = 2 * DiskTransfers.per_round


class _BadRequests(VirtioTransfers):
    """Requests beyond the end of the disk: the device's status reports an error."""

    def prepare(self, k: Kernel) -> None:
        super().prepare(k)
        header = k.program.buffers["headers"].address
        k.program.step("a sector that is not there", f"mov dword ptr [{header + 8:#x}], 0x10000")


class _UncountedInterrupt(SelfIpis):
    def cause(self, k: Kernel) -> None:
        super().cause(k)
        super().cause(k)


class _WrongByteFromEdu(EduTransfers):
    def after(self, run: Run, rounds: int) -> None:
        run.machine.ram[self._found.address + 99] ^= 0x80
        super().after(run, rounds)


class _WrongByteInAFrame(E1000eFrames):
    def before(self, run: Run, rounds: int) -> None:
        super().before(run, rounds)
        run.machine.ram[self._windows[3].address + 20] ^= 1


@pytest.mark.parametrize(
    ("benchmark_", "message"),
    [
        (_WrongByteOnTheDisk(write=False), "virtio-blk, read on q35-tcg: fail, guest memory: byte 70000 is"),
        (_LostWrite(write=True), "virtio-blk, write on q35-tcg: fail, the disk: byte 1000000 is"),
        (_HalfOfTheRounds(write=False), r"block layer counts \d+ bytes \(read\), not \d+"),
        (_BadRequests(write=True), "the device reported an error"),
        (_UncountedInterrupt(), "interrupts were taken"),
        (_WrongByteFromEdu(to_device=True), "what edu gave: byte 99 is"),
        (_WrongByteInAFrame(), r"frame 3 of \d+: byte 20 is"),
    ],
    ids=["wrong_byte_read", "wrong_byte_written", "half_moved", "status", "uncounted", "edu", "frame"],
)
def test_wrong_work_is_an_error_and_no_figure(benchmark_: Benchmark, message: str) -> None:
    with pytest.raises(ThroughputError, match=message):
        measured(benchmark_)


def test_the_command_prints_the_table_and_writes_the_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names: list[str] = []

    def measure(targets: list[object], progress: object) -> list[Figure]:
        names.extend(str(getattr(one, "name", one)) for one in targets)
        return [Figure("nvme", "read", "bytes", {"q35-tcg": Rate(2.5e9, None, 1 << 24), "q35-kvm": None})]

    monkeypatch.setattr(module, "measure_throughput", measure)
    file = tmp_path / "bench.json"
    done = CliRunner().invoke(app, ["bench", "--only-throughput", "--json", str(file)])
    assert done.exit_code == 0, done.output
    assert "2,500" in done.output
    assert names == ["q35-tcg", "q35-tcg-rt", "pc-tcg", "q35-kvm"]
    document = json.loads(file.read_text())
    assert document["throughput"] == [
        {
            "device": "nvme",
            "operation": "read",
            "unit": "bytes",
            "targets": {"q35-tcg": {"per_second": 2.5e9, "amount": 1 << 24}, "q35-kvm": {}},
        }
    ]
    assert {"schema", "trapgate", "qemu", "host", "target", "seconds"} <= set(document)


def test_the_command_refuses_to_measure_nothing() -> None:
    assert CliRunner().invoke(app, ["bench", "--only-throughput", "--no-throughput"]).exit_code == 2
