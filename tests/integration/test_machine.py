"""Machines for real: how guests stop, what can be read from them, warm runs."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from dataclasses import replace
from pathlib import Path

import machine_guests as guests
import pytest

from harness.qemu.devices import DEVICES, devices_named
from harness.qemu.errors import (
    QemuDied,
    QemuError,
    QemuNotFound,
    QemuStartError,
    QmpCommandError,
    TargetError,
    Unsupported,
)
from harness.qemu.features import cpu_vendor, unsupported
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.stop import StopKind
from harness.qemu.target import builtin_targets, target

TARGETS = sorted(builtin_targets())
Q35 = MachineConfig(target("q35-tcg"))


def shape_of(name: str, **changes: object) -> MachineConfig:
    config = replace(MachineConfig(target(name)), **changes)  # type: ignore[arg-type]
    if (reason := unsupported(config)) is not None:
        pytest.skip(reason)
    return config


@pytest.mark.parametrize("name", TARGETS)
def test_signal_cold_and_warm(name: str) -> None:
    """Cold, warm and prepared runs end alike, and memory goes both ways in each."""
    with Machine.launch(shape_of(name), guests.COPIES, [(0x8000, b"A\0\0\0\0\0\0\0")]) as machine:
        assert not machine.running
        assert machine.memory(0x8000, 8) == b"A" + bytes(7), "nothing has run yet"
        assert machine.run_once().check().signalled
        assert machine.memory(0x8000, 8) == b"AA\0\0\1\0\0\0"
        for count, byte in enumerate((b"B", b"C", b"D"), start=2):
            if byte == b"C":
                machine.prepare()
            assert machine.run_once([(0x8000, byte)]).check().signalled
            assert machine.memory(0x8000, 2) == byte * 2
            assert machine.ram[0x8004] == count, "one boot, one count: the reset does not touch RAM"


def test_many_warm_runs_each_execute_once() -> None:
    with Machine.launch(Q35, guests.COPIES) as machine:
        for count in range(1, 201):
            assert machine.run_once().signalled
            assert int.from_bytes(machine.ram[0x8004:0x8008], "little") == count


@pytest.mark.parametrize("rom", [guests.RESETS_BY_CF9, guests.TRIPLE_FAULTS], ids=["cf9", "triple-fault"])
@pytest.mark.parametrize("name", TARGETS)
def test_a_guest_that_resets_itself_is_held(name: str, rom: bytes) -> None:
    if name == "microvm-tcg" and rom is guests.RESETS_BY_CF9:
        rom = guests.TRIPLE_FAULTS  # no port CF9h without a PCI host bridge
    with Machine.launch(shape_of(name), rom) as machine:
        for _ in range(2):
            stop = machine.run_once()
            assert stop.frozen and not machine.running
            if name.endswith("kvm") and stop.kind is StopKind.INTERNAL_ERROR:
                # A KVM without unrestricted guest emulates real mode, and some give up at a fault in it: told at
                # once as well, by its own name.
                with pytest.raises(QemuError, match="internal error"):
                    stop.check()
                continue
            assert (stop.kind, stop.reason) == (StopKind.RESET, "guest-reset")
            rip = machine.registers()[0].rip
            assert 0 < rip < 0x100, f"held where it happened, not at the reset vector: {rip:#x}"
            with pytest.raises(QemuError, match="triple fault"):
                stop.check()


def test_a_guest_may_boot_again() -> None:
    with Machine.launch(Q35, guests.BOOTS_THREE_TIMES) as machine:
        for _ in range(2):
            stop = machine.run_once([(0x8000, b"\0")], guest_reset="continue")
            assert stop.signalled
            assert machine.ram[0x8000] == 3
            assert machine.guest_resets == ("guest-reset", "guest-reset")
        assert machine.run_once([(0x8000, b"\0")]).kind is StopKind.RESET, "and the next run is held again"
        for _ in range(2):
            assert machine.run_once([(0x8000, b"\0")], guest_reset="unexpected").signalled
            assert machine.guest_resets == ("guest-reset", "guest-reset")
        assert machine.run_once([(0x8000, b"\0")]).kind is StopKind.RESET


def test_power_off() -> None:
    with Machine.launch(Q35, guests.POWERS_OFF) as machine:
        for _ in range(2):
            stop = machine.run_once()
            assert (stop.kind, stop.reason) == (StopKind.SHUTDOWN, "guest-shutdown")
            assert machine.registers()[0].rax & 0xFFFF == 0x2000


@pytest.mark.parametrize("name", ["q35-tcg", "q35-tcg-rt"])
def test_silence_is_a_timeout_and_the_machine_can_be_held(name: str) -> None:
    with Machine.launch(MachineConfig(target(name)), guests.SILENT) as machine:
        stop = machine.run_once(timeout=0.05)
        assert stop.kind is StopKind.TIMEOUT and machine.running and not stop.frozen
        machine.stop()
        assert not machine.running
        held = machine.wait_stop()
        assert (held.kind, held.reason) == (StopKind.PAUSED, "paused")
        assert machine.registers()[0].halted
        assert machine.run_once(timeout=0.05).kind is StopKind.TIMEOUT
        machine.reset()  # of a running guest
        assert machine.registers()[0].pc == 0xFFFFFFF0


def test_checkpoints() -> None:
    with Machine.launch(Q35, guests.TWO_CHECKPOINTS) as machine:
        assert machine.run_once().signalled
        assert machine.registers()[0].rbx & 0xFFFF == 1
        machine.resume()
        assert machine.wait_stop().signalled
        assert machine.registers()[0].rbx & 0xFFFF == 2
        assert [event["event"] for event in machine.events] == ["RESUME", "GUEST_PANICKED", "STOP"] * 2


def test_reset_state_is_that_of_the_manual() -> None:
    """SDM vol. 3A, table "IA-32 and Intel 64 Processor States Following Power-up, Reset, or INIT"."""
    with Machine.launch(Q35, guests.SIGNALLER) as machine:
        for _ in range(2):
            (cpu,) = machine.registers()
            assert (cpu.cs.selector, cpu.cs.base, cpu.rip) == (0xF000, 0xFFFF0000, 0xFFF0)
            assert cpu.cr0 == 0x60000010 and cpu.rflags == 2 and cpu.idt.limit == 0xFFFF
            machine.run_once()
            machine.reset()


def test_exit_of_qemu_is_reported_with_its_status() -> None:
    config = replace(Q35, devices=devices_named(["isa-debug-exit"]))
    with Machine.launch(config, guests.EXITS_WITH_7) as machine:
        stop = machine.run_once()
        assert stop.kind is StopKind.DIED and stop.returncode == 7
        assert not machine.alive
        with pytest.raises(QemuDied, match="status 7"):
            machine.qmp("query-status")
        with pytest.raises(QemuDied):
            machine.run_once()
        with pytest.raises(QemuDied):
            stop.check()
        assert machine.memory(0, 4) == bytes(4), "memory outlives the process"


def test_death_of_qemu_is_reported_with_its_signal() -> None:
    with Machine.launch(Q35, guests.SILENT) as machine:
        machine.resume()
        os.kill(machine.pid, signal.SIGABRT)
        stop = machine.wait_stop()
        assert stop.kind is StopKind.DIED and stop.returncode == -signal.SIGABRT
        assert "SIGABRT" in str(stop)
        machine.kill()
        machine.kill()


def test_a_start_that_fails_shows_the_output_of_qemu_and_the_command_line() -> None:
    config = replace(Q35, extra_args=("-device", "no-such-device"))
    with pytest.raises(QemuStartError) as caught:
        Machine.launch(config, guests.SILENT)
    assert "'no-such-device' is not a valid device model name" in caught.value.stderr
    line = str(caught.value).splitlines()[-1]
    assert "-bios rom.bin" in line and "/proc/self/fd" not in line and "-device no-such-device" in line


def test_what_cannot_be_is_refused_with_the_reason() -> None:
    with pytest.raises(Unsupported, match="microvm cannot have nvme"):
        Machine.launch(MachineConfig(target("microvm-tcg"), devices=devices_named(["nvme"])), guests.SILENT)
    with pytest.raises(QemuNotFound, match="no-such-qemu"):
        Machine.launch(MachineConfig(replace(target("q35-tcg"), binary="no-such-qemu")), guests.SILENT)
    with pytest.raises(TargetError, match="multiple of 64 KiB"):
        Machine.launch(Q35, b"\xf4")
    with pytest.raises(TargetError, match="guest RAM ends at 0x4000000"):
        Machine.launch(Q35, guests.SILENT, [(0x3FFFFFF, b"ab")])


@pytest.mark.parametrize("name", ["q35-tcg", "pc-tcg", "microvm-tcg"])
def test_every_device_starts(name: str) -> None:
    """Alone and all together (but those that want to be alone), each under the name of its command-line id."""
    machine_type = target(name).machine
    possible = [device for device in DEVICES.values() if device.template(machine_type) is not None]
    for devices in [*((device,) for device in possible), devices_named(device.name for device in possible)]:
        config = shape_of(name, devices=tuple(devices))
        with Machine.launch(config, guests.SIGNALLER) as machine:
            assert machine.run_once().signalled, devices
            if config.reusable:
                assert machine.run_once().signalled, devices
            else:
                with pytest.raises(QemuError, match=r"(edu|e1000e|virtio-console) keeps state of the last run"):
                    machine.run_once()
            if machine_type != "microvm":
                ids = {function.qdev_id for function in machine.pci()}
                assert {"edu", "nvme", "e1000e"} & {device.name for device in devices} <= ids


def test_disks_are_shared_with_the_host() -> None:
    """The guest finds what the host wrote, and the host what the guest wrote, run after run."""
    with Machine.launch(
        MachineConfig(target("pc-tcg"), devices=devices_named(["ide"])), guests.COPIES_A_SECTOR
    ) as machine:
        disk = machine.backings["ide"]
        for run in range(3):
            content = bytes((run + number) % 251 for number in range(512))
            disk[:512] = content
            assert machine.run_once().signalled
            assert machine.memory(0x9000, 512) == content
            assert bytes(disk[512:1024]) == content


@pytest.mark.parametrize("name", ["q35-tcg", "q35-kvm"])
def test_dumps_of_a_busy_guest(name: str) -> None:
    with Machine.launch(shape_of(name, cpus=2), guests.BUSY) as machine:
        for _ in range(2):
            assert machine.run_once(guests.long_mode_tables()).check().signalled
            cpu, other = machine.registers()
            assert cpu.bits64 and cpu.rip == 0xF1807 and not other.bits64
            assert machine.lapic(0).irr == {0x41, 0x51}
            ioapic, master, slave = machine.pics()
            assert ioapic[4].remote_irr == 1 and master.imr == 0xFB and slave.elcr == 0x0C
            assert machine.lapic(1).svr == 0xFF


def test_physical_reads_access_the_device() -> None:
    with Machine.launch(Q35, guests.SIGNALLER, [(0x3000, b"RAM!")]) as machine:
        assert machine.physical(0x3000, 4) == b"RAM!"
        capabilities = machine.physical(0xFED00000, 8)
        assert int.from_bytes(capabilities[4:], "little") == 10_000_000, "femtoseconds per tick"
        assert machine.physical(0xFFFFFFF0, 4) == guests.SIGNALLER[0xFFF0:0xFFF4]
        with pytest.raises(QemuError, match="nothing answers"):
            machine.physical(0xF000_0000_0000, 4)
        with pytest.raises(QemuError, match="guest RAM ends"):
            machine.memory(64 << 20, 1)


def test_errors_of_qmp_are_named() -> None:
    with Machine.launch(Q35, guests.SILENT) as machine:
        with pytest.raises(QmpCommandError, match="no-such-command: CommandNotFound"):
            machine.qmp("no-such-command")
        assert machine.qmp("query-status")["status"] == "prelaunch"
        assert machine.qmp("device-list-properties", typename="edu")


def test_the_command_line_can_be_pasted(tmp_path: Path) -> None:
    """What `export` writes and prints really runs, with the memory that was placed."""
    config = replace(Q35, devices=devices_named(["isa-debug-exit", "nvme", "e1000e"]))
    with Machine.launch(config, guests.EXITS_WITH_7, [(0x100000, b"placed")]) as machine:
        line = machine.export(tmp_path / "run")
        assert shlex.split(line.replace(f"{tmp_path / 'run'}/", "")) == shlex.split(machine.command_line)
    assert (tmp_path / "run" / "ram-100000.bin").read_bytes() == b"placed"
    done = subprocess.run(shlex.split(line), stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False)
    assert done.returncode == 7, done.stderr


def test_icount_gives_the_same_time_every_cold_run() -> None:
    rom = guests.rom("mov cx, 1000\nspin: loop spin\n rdtsc\n mov ebx, eax\n" + guests.SIGNAL + guests.HALT)
    seen = []
    for _ in range(3):
        with Machine.launch(Q35, rom) as machine:
            assert machine.run_once().signalled
            seen.append(machine.registers()[0].rbx)
    assert seen[0] >= 1000 * 8 and seen == seen[:1] * 3


def test_the_witnesses_are_read_again_after_a_reset() -> None:
    with Machine.launch(MachineConfig(target("q35-tcg")), guests.SAYS_HELLO) as machine:
        assert machine.run_once().signalled
        output, (ran,) = machine.stop_evidence()
        assert output
        machine.reset()
        output, (fresh,) = machine.stop_evidence()
        assert (output, fresh.rip) == (b"", 0xFFF0)
        assert fresh != ran


@pytest.mark.parametrize("name", TARGETS)
def test_a_command_that_was_only_begun_is_not_carried_out(name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Most of the bytes of a likely command are with QEMU already: of `cont` after a reset, of a reset after a run."""
    # Without icount the stop comes some instructions after the write.
    signal = guests.SIGNAL + "xor cx, cx\nwait_here: loop wait_here\n"
    no_cf9 = "lidt cs:[idtr]\n int3\nidtr: .byte 0,0,0,0,0,0\n"
    resets = no_cf9 if name == "microvm-tcg" else "mov dx, 0xcf9\n mov al, 6\n out dx, al\n" + guests.HALT
    with Machine.launch(shape_of(name), guests.rom(signal + resets)) as machine:
        assert machine.run_once().signalled
        for _ in range(3):
            machine.reset()
            assert "paused" in machine.hmp("info status")
            assert machine.registers()[0].rip == 0xFFF0
            assert machine.run_once().signalled
            machine.stop_evidence()
            machine.resume()
            assert machine.wait_stop().kind is StopKind.RESET, "the reset action was changed without a reset"
            assert machine.registers()[0].rip != 0xFFF0
            machine.stop_evidence()
            assert "shutdown" in machine.hmp("info status")
            assert machine.registers()[0].rip != 0xFFF0
    assert not caplog.records


def test_the_vendor_of_a_cpu_model_is_that_of_the_model() -> None:
    """A record with `vendor=` matches on it, whatever the target is called."""
    mine = replace(target("q35-tcg"), name="mine")
    assert cpu_vendor(mine) == "AuthenticAMD"
    assert cpu_vendor(replace(mine, cpu="max,vendor=GenuineIntel")) == "GenuineIntel"
