"""The finder of leaks finds what a guest leaves behind, and what is done about it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.campaign import leaks
from harness.campaign.hostile import Attack
from harness.campaign.leaks import find_leaks
from harness.cli import app
from harness.qemu.device_state import device_state
from harness.qemu.devices import devices_named
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import target
from harness.qemu.vmstate import VmStateError

ATTACKS = (
    Attack("MSR", (("MCi_CTL", "mov ecx, 0x404\nxor eax, eax\nxor edx, edx\nwrmsr"),)),
    Attack("port", (("refresh page", "mov al, 0x5A\nout 0x8F, al"),)),
    Attack("port", (("a reset", "mov edx, 0xCF9\nmov al, 6\nout dx, al"), ("page", "mov al, 1\nout 0x83, al"))),
)


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "attacks", lambda platform, devices, ports: iter(ATTACKS))


def test_what_is_left_behind_is_found_and_its_machine_serves_no_further_run() -> None:
    found = find_leaks(target("q35-tcg"))
    assert [(finding.path, finding.leak) for finding in found.findings] == [("cpu/env.mce_banks[4]", False)]
    assert found.findings[0].reason == "WRMSR to MSR 0x404, which a reset does not restore"
    assert found.leaks == []
    assert found.broken == ["a reset"]
    assert found.fields > 1000


def test_without_the_check_of_the_program_it_is_a_leak(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("harness.run.leftovers.sticky_write", lambda texts, machine: None)
    file = tmp_path / "leaks.json"
    done = CliRunner().invoke(app, ["leaks", "--target", "q35-tcg", "--kind", "MSR", "--json", str(file)])
    assert done.exit_code == 1
    assert "cpu/env.mce_banks" in done.output
    (machine,) = json.loads(file.read_text())["machines"]
    (finding,) = machine["findings"]
    assert (finding["field"], finding["guest"], finding["leak"]) == ("cpu/env.mce_banks[4]", "MCi_CTL", True)
    assert (finding["fresh"], finding["left"]) == ("f" * 16, "0" * 16)


@pytest.mark.parametrize("on", ["q35-tcg", "pc-tcg", "microvm-tcg"])
def test_the_state_of_the_devices_has_every_register(on: str) -> None:
    with Machine.launch(MachineConfig(target(on)), bytes(65536)) as machine:
        state = device_state(machine)
    assert len(state["apic/lvt[0]"]) == 4
    assert {path.partition("/")[0] for path in state} >= {"cpu", "apic", "ioapic", "i8254", "i8259", "mc146818rtc"}


def test_a_device_that_qemu_does_not_send_is_named() -> None:
    config = MachineConfig(target("q35-tcg"), devices=devices_named(["nvme"]))
    with Machine.launch(config, bytes(65536)) as machine, pytest.raises(VmStateError, match="nvme"):
        device_state(machine)


def test_a_machine_that_never_sends_its_state_does_not_hold_us_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.qemu.device_state._PATIENCE_S", 0.05)
    with Machine.launch(MachineConfig(target("q35-tcg")), bytes(65536)) as machine:
        answer = machine.qmp
        monkeypatch.setattr(
            machine,
            "qmp",
            lambda command, **words: {"status": "active"} if command == "query-migrate" else answer(command, **words),
        )
        with pytest.raises(VmStateError, match=r"did not send the state of this machine within 0\.05 s"):
            device_state(machine)
        assert not machine.alive
