"""Targets, devices and machine configurations as data."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.qemu.command import Endpoints, qemu_arguments
from harness.qemu.devices import DEVICES, devices_named
from harness.qemu.errors import QemuNotFound, TargetError
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import Target, builtin_targets, load_targets, target


def write(folder: Path, text: str) -> Path:
    path = folder / "targets.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_builtin_targets() -> None:
    assert set(builtin_targets()) == {
        "q35-tcg", "pc-tcg", "microvm-tcg", "q35-tcg-intel", "q35-tcg-rt", "pc-tcg-rt", "q35-kvm", "pc-kvm",
    }  # fmt: skip
    for name, found in builtin_targets().items():
        assert found.name == name and found.platform == name.split("-")[0] and found.accelerator in name
        assert found.deterministic == (found.accelerator == "tcg" and not name.endswith("-rt"))
    assert target("pc-kvm").clock == "realtime"
    with pytest.raises(TargetError, match="no target is named 'q36'; known: q35-tcg"):
        target("q36")


def test_targets_of_the_user(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        '[mine]\nbase = "q35-tcg"\nbinary = "/opt/qemu"\nicount_shift = 0\nextra = ["-d", "int"]\n'
        '[other]\nbase = "mine"\nmachine = "pc"\n',
    )
    known = load_targets(path)
    assert known["mine"] == Target("mine", "q35", "tcg", "icount", "/opt/qemu", None, 0, 64, ("-d", "int"))
    assert known["other"].machine == "pc" and known["other"].binary == "/opt/qemu"
    assert set(builtin_targets()) < set(known)
    assert hash(known["mine"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[a", "not TOML"),
        ("a = 1", "a must be a table"),
        ('[a]\nmachin = "pc"', "unknown key 'machin'"),
        ('[a]\nmachine = "z80"', "machine = 'z80' is not known; write one of q35, pc, microvm"),
        ('[a]\nmemory_mib = "64"', "must be of type int"),
        ("[a]\nmemory_mib = true", "must be of type int"),
        ("[a]\nmemory_mib = 4096", r"not in 1..2048"),
        ("[a]\nextra = [1]", "extra must be a list of strings"),
        ('[a]\nbase = "b"', "base = 'b' is no target"),
        ('[a]\naccelerator = "kvm"', "KVM cannot"),
        ("[a]\nicount_shift = 11", "not in 0..10"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(TargetError, match=says):
        load_targets(write(tmp_path, text))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[a]\n# caf\xe9\n", r"targets.toml:2: not UTF-8: byte 0xe9. Expected: TOML in UTF-8"),
        (b'[a]\ncpu = "max\\u0000"', r"targets.toml: target a: cpu = 'max\\x00' has a NUL character"),
        (b'[a]\nextra = ["-device", "x\\u0000"]', "targets.toml: target a: extra = .* has a NUL character"),
        (b'["a\\u0000"]\n', r"targets.toml: target 'a\\x00': a name is"),
        (b"[a]\nbase = []", r"targets.toml: target a: base = \[\] must be of type str"),
        (b"[a]\nbase = {x = 1}", "targets.toml: target a: base = .* must be of type str"),
        (b"[a]\nmemory_mib = 1", r"targets.toml: target a: memory_mib = 1 is too little: .* Expected: 34\.\.2048"),
        (b"[a]\nmemory_mib = -5", "targets.toml: target a: memory_mib = -5 is too little"),
        (b"[a]\nmemory_mib = 4096", "targets.toml: target a: memory_mib = 4096 is not in"),
        (b"[a]\nmemory_mib = " + b"9" * 5000, "targets.toml: not TOML: "),
        (b"[a]\nextra = " + b"[" * 50_000, "targets.toml: not TOML: "),
        (b"# " + b"x" * (1 << 20), "targets.toml: longer than 1048576 bytes"),
        (b'[a]\nmachine = "z80"', "targets.toml: target a: machine = 'z80' is not known"),
    ],
)
def test_a_broken_file_is_one_error_that_names_file_and_key(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "targets.toml"
    path.write_bytes(content)
    with pytest.raises(TargetError, match=says) as caught:
        load_targets(path)
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value).splitlines()) == 1


KEYS = ["base", "machine", "cpu", "memory_mib", "extra", "icount_shift", "clock", "binary", "x"]
VALUES = [
    "[]",
    "{}",
    "1",
    "-1",
    "true",
    "1.5",
    '""',
    '"q35"',
    '"\\u0000"',
    '["a"]',
    "[1]",
    "1979-05-27",
    "inf",
    "9" * 30,
]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=4) | st.binary(max_size=60))
def test_any_file_gives_targets_or_a_target_error(content: list[tuple[str, str]] | bytes) -> None:
    if isinstance(content, list):
        content = ("[a]\n" + "".join(f"{key} = {value}\n" for key, value in content)).encode()
    with tempfile.NamedTemporaryFile() as file:
        file.write(content)
        file.flush()
        try:
            load_targets(Path(file.name))
        except TargetError as error:
            shown = str(error)
        else:
            return
    assert shown.startswith(file.name)


def test_a_missing_file_and_a_missing_binary(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="No such file"):
        load_targets(tmp_path / "none.toml")
    with pytest.raises(QemuNotFound, match="was not found"):
        replace(target("pc-tcg"), binary="/nowhere/qemu").find_binary()


def test_devices() -> None:
    assert list(DEVICES) == [device.name for device in DEVICES.values()]
    assert devices_named(["nvme", "edu", "nvme"]) == (DEVICES["edu"], DEVICES["nvme"])
    assert devices_named(["edu", "intel-iommu"])[0].name == "intel-iommu", "before what it serves"
    with pytest.raises(TargetError, match="no device is named 'ed'"):
        devices_named(["ed"])
    for device in DEVICES.values():
        assert device.platforms and device.types and device.summary
        joined = " ".join(argument for _, arguments in device.arguments for argument in arguments)
        assert ("{backing}" in joined) == bool(device.backing)
        assert ("{network}" in joined) == device.network


def test_shapes_are_keys() -> None:
    one = MachineConfig(target("q35-tcg"), devices=devices_named(["nvme", "edu"]))
    assert {one: 1}[MachineConfig(target("q35-tcg"), devices=devices_named(["edu", "nvme"]))] == 1
    assert one != MachineConfig(target("q35-tcg"), 2, devices=one.devices)
    assert MachineConfig(target("pc-tcg"), devices=devices_named(["ide"])).missing() is None
    missing = MachineConfig(target("q35-tcg"), devices=devices_named(["ide"])).missing()
    assert missing is not None and "q35 cannot have ide" in missing and "exists on pc" in missing
    with pytest.raises(TargetError, match="cpus = 0"):
        MachineConfig(target("q35-tcg"), cpus=0)
    with pytest.raises(TargetError, match="microvm has neither"):
        MachineConfig(target("microvm-tcg"), boot="disk")


def arguments(config: MachineConfig) -> list[str]:
    ends = Endpoints(
        ram="memory-backend-ram,id=ram,size=64M", qmp=("-qmp", "q"), com1=("-chardev", "null,id=com1"), image="rom"
    )
    return qemu_arguments(config, "max", ends, sandbox=True)


@pytest.mark.parametrize("name", sorted(builtin_targets()))
def test_command_line(name: str) -> None:
    line = arguments(MachineConfig(target(name), cpus=3))
    assert line[line.index("-accel") + 1].split(",")[0] == target(name).accelerator
    assert line[line.index("-machine") + 1].startswith(target(name).machine + ",memory-backend=ram")
    assert ("-icount" in line) == ("-rtc" in line) == target(name).deterministic
    assert line[line.index("-smp") + 1] == "3" and "-S" in line and "-nodefaults" in line


def test_the_iommu_splits_kvms_interrupt_controllers() -> None:
    devices = devices_named(["intel-iommu", "edu"])
    for name, split in (("q35-kvm", True), ("q35-tcg", False)):
        line = arguments(MachineConfig(target(name), devices=devices))
        assert ("kernel-irqchip=split" in " ".join(line)) == split
        assert line.index("intel-iommu,intremap=on") < next(i for i, word in enumerate(line) if word.startswith("edu"))
