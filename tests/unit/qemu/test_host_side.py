"""The parts that need no QEMU: stops, the console log, what is remembered, firmware descriptors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.qemu import firmware as firmware_module
from harness.qemu.answer_cache import AnswerCache
from harness.qemu.console import _HEAD, _TAIL, ConsoleLog
from harness.qemu.devices import devices_named
from harness.qemu.errors import GuestTimeout, QemuDied, QemuError, TargetError, describe_exit
from harness.qemu.features import trial
from harness.qemu.firmware import find_uefi
from harness.qemu.machine_config import MachineConfig
from harness.qemu.resources import Resources
from harness.qemu.stop import Stop, StopKind
from harness.qemu.target import target


@pytest.mark.parametrize(
    ("stop", "error", "says"),
    [
        (Stop(StopKind.TIMEOUT, seconds=2.5), GuestTimeout, "within 2.5 s"),
        (Stop(StopKind.DIED, returncode=-6, stderr="assertion"), QemuDied, "ended by SIGABRT\nassertion"),
        (Stop(StopKind.RESET, "guest-reset"), QemuError, "triple fault"),
        (Stop(StopKind.SHUTDOWN, "guest-shutdown"), QemuError, "powered off"),
        (Stop(StopKind.INTERNAL_ERROR), QemuError, "internal error"),
        (Stop(StopKind.SHUTDOWN, "guest-shutdown, ACPI S4"), QemuError, "suspended the machine to disk"),
        (Stop(StopKind.SHUTDOWN, "host-signal"), QemuError, r"QEMU shut the machine down \(host-signal\)"),
        (Stop(StopKind.SUSPENDED, "S3"), QemuError, "suspended the machine"),
        (Stop(StopKind.WATCHDOG, "watchdog"), QemuError, "watchdog timer expired"),
        (Stop(StopKind.IO_ERROR, "write on disk: No space left"), QemuError, "error of the host: write on disk: No"),
        (Stop(StopKind.PAUSED, "paused"), QemuError, "the command stop"),
        (Stop(StopKind.OTHER, "debug"), QemuError, "the run state 'debug'"),
        (Stop(StopKind.NOT_RUN, "within 9 s, in 8 s"), QemuError, "did not let QEMU run.*within 9 s"),
    ],
)
def test_a_stop_that_is_no_signal_is_an_error_of_its_own(stop: Stop, error: type[Exception], says: str) -> None:
    assert not stop.signalled
    with pytest.raises(error, match=says):
        stop.check()
    assert Stop(StopKind.SIGNAL).check().signalled


def test_exits_are_described() -> None:
    assert describe_exit(3) == "exited with status 3"
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(-200) == "was ended by signal 200"
    assert describe_exit(None) == "closed its QMP connection"


@settings(max_examples=40)
@given(st.lists(st.integers(0, 400_000), max_size=8), st.integers(20_000, 300_000))
def test_the_log_is_bounded_and_honest(sizes: list[int], step: int) -> None:
    log = ConsoleLog()
    whole = bytearray()
    for number, size in enumerate(sizes):
        piece = bytes([65 + number]) * size
        whole += piece
        log.append(piece)
    content = log.content()
    assert len(content) <= _HEAD + _TAIL + 64
    assert log.total == len(whole)
    if log.dropped:
        assert content.startswith(whole[:_HEAD]) and content.endswith(whole[-_TAIL:])
        assert f"[... {log.dropped} bytes dropped ...]".encode() in content
    else:
        assert content == whole
    position, read = 0, bytearray()
    while True:
        position, data = log.read(position, step)
        if not data:
            break
        read += data
    assert position == log.total
    assert read == whole or (log.dropped and read[:_HEAD] == whole[:_HEAD] and read[-_TAIL:] == whole[-_TAIL:])


def test_memory_keeps_and_forgets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "cache"))
    memory = AnswerCache("topic", ["/usr/bin/qemu", 1])
    assert memory.read() == {}
    memory.write({"a": [1, 2]})
    assert AnswerCache("topic", ["/usr/bin/qemu", 1]).read() == {"a": [1, 2]}
    assert AnswerCache("topic", ["/usr/bin/qemu", 2]).read() == {}
    (path,) = (tmp_path / "cache" / "qemu").iterdir()
    for damage in ("", "[]", "{", '{"key": "else", "value": {}}', json.dumps({"value": {}}), "\0"):
        path.write_text(damage, encoding="utf-8")
        assert memory.read() == {}
    memory.write({"b": 1})
    assert memory.read() == {"b": 1}


def test_memory_that_was_edited_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "cache"))
    memory = AnswerCache("features", [])
    memory.write({"machines": ["q35"], "version": "7.2.22"})
    (path,) = (tmp_path / "cache" / "qemu").iterdir()
    path.write_bytes(path.read_bytes().replace(b"q35", b"xxx"))
    assert memory.read() == {}


def test_an_empty_cache_variable_switches_memory_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAPGATE_CACHE", "")
    memory = AnswerCache("topic", [])
    memory.write({"a": 1})
    assert memory.read() == {}


def test_memory_survives_a_folder_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TRAPGATE_CACHE", str(tmp_path / "file" / "below"))
    memory = AnswerCache("topic", [])
    memory.write({"a": 1})
    assert memory.read() == {}


def test_missing_kvm_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    exists = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: exists(path) and str(path) != "/dev/kvm")
    reason = trial("/usr/bin/true", "kvm").reason
    assert reason is not None and "/dev/kvm does not exist" in reason


def descriptor(folder: Path, name: str, **changes: object) -> None:
    code, variables = folder / f"{name}.code", folder / f"{name}.vars"
    code.write_bytes(b"code")
    variables.write_bytes(b"vars")
    content = {
        "interface-types": ["uefi"],
        "mapping": {
            "device": "flash",
            "executable": {"filename": str(code), "format": "raw"},
            "nvram-template": {"filename": str(variables), "format": "raw"},
        },
        "targets": [{"architecture": "x86_64", "machines": ["pc-i440fx-*", "pc-q35-*"]}],
        "features": ["acpi-s3"],
    }
    (folder / f"{name}.json").write_text(json.dumps(content | changes), encoding="utf-8")


def test_firmware_descriptors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    user, system = tmp_path / "etc", tmp_path / "usr"
    user.mkdir()
    system.mkdir()
    monkeypatch.setattr(firmware_module, "_DESCRIPTORS", (user, system))
    monkeypatch.setattr(firmware_module, "_KNOWN", ())
    assert find_uefi() is None
    descriptor(system, "10-secure", features=["secure-boot"])
    descriptor(system, "20-arm", targets=[{"architecture": "aarch64", "machines": ["virt-*"]}])
    descriptor(system, "30-bios", **{"interface-types": ["bios"]})
    (system / "40-broken.json").write_text("{", encoding="utf-8")
    assert find_uefi() is None
    descriptor(system, "60-good")
    found = find_uefi()
    assert found is not None and found.code == system / "60-good.code" and found.variables == system / "60-good.vars"
    descriptor(user, "50-own")
    own = find_uefi()
    assert own is not None and own.code == user / "50-own.code"


def test_images_are_made_to_fit() -> None:
    disk = MachineConfig(target("pc-tcg"), boot="disk", devices=devices_named(["nvme", "e1000e"]))
    resources = Resources(disk, b"\x55" * 512)
    try:
        assert len(resources.image) == 1 << 20 and resources.image[:512] == b"\x55" * 512
        assert set(resources.backings) == {"nvme"} and set(resources.networks) == {"e1000e"}
        assert len(set(resources.descriptors)) == len(resources.descriptors)
        resources.place([(0x1000, b"abc")])
        assert bytes(resources.ram.view[0x1000:0x1003]) == b"abc"
        with pytest.raises(TargetError, match="guest RAM ends"):
            resources.place([(-1, b"abc")])
    finally:
        resources.close()
    with pytest.raises(TargetError, match="the image is empty"):
        Resources(disk, b"")
