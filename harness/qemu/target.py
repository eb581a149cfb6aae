"""What is under test: QEMU binary, accelerator, machine type, CPU model and clock."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, get_args

from harness import abi
from harness.qemu.errors import QemuNotFound, TargetError

__all__ = [
    "LEAST_MEMORY_MIB",
    "Accelerator",
    "Clock",
    "MachineType",
    "Target",
    "builtin_targets",
    "load_targets",
    "target",
]

Accelerator = Literal["tcg", "kvm"]
MachineType = Literal["q35", "pc", "microvm"]
Clock = Literal["icount", "realtime"]

LEAST_MEMORY_MIB = (abi.STAGING >> 20) + 2
"""RAM that every guest of ours fits into: its memory map ends with the staging area."""

_MOST_MEMORY_MIB = 2048
_LONGEST_FILE = 1 << 20
_PROGRAM = "qemu-system-x86_64"
_INSTALL = (
    "Install it (Debian and Ubuntu: qemu-system-x86; Fedora: qemu-system-x86-core), or name a binary in the target."
)


@dataclass(frozen=True)
class Target:
    """One target of the matrix.

    `binary` is a path or a name on PATH (`None`: qemu-system-x86_64). `cpu` is QEMU's `-cpu` argument (`None`: "max";
    under KVM the first of "max" and "max,-arch-capabilities" that really runs a guest). `icount_shift`: one
    instruction takes 2**shift ns of virtual time. `extra` is added to QEMU's command line.
    """

    name: str
    machine: MachineType = "q35"
    accelerator: Accelerator = "tcg"
    clock: Clock = "icount"
    binary: str | None = None
    cpu: str | None = None
    icount_shift: int = 3
    memory_mib: int = 64
    extra: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field_name, allowed in (("machine", MachineType), ("accelerator", Accelerator), ("clock", Clock)):
            value = getattr(self, field_name)
            if value not in get_args(allowed):
                raise TargetError(
                    f"target {self.name}: {field_name} = {value!r} is not known; write one of "
                    + ", ".join(get_args(allowed))
                )
        if self.accelerator == "kvm" and self.clock == "icount":
            raise TargetError(
                f"target {self.name}: clock = 'icount' counts instructions, which KVM cannot do; write 'realtime'"
            )
        if not 0 <= self.icount_shift <= 10:
            raise TargetError(f"target {self.name}: icount_shift = {self.icount_shift} is not in 0..10")
        # Up to 2 GiB, every machine type keeps all RAM below 4 GiB in one piece: an address is an offset in the file.
        if not 1 <= self.memory_mib <= _MOST_MEMORY_MIB:
            raise TargetError(f"target {self.name}: memory_mib = {self.memory_mib} is not in 1..{_MOST_MEMORY_MIB}")

    @property
    def platform(self) -> MachineType:
        """The machine type: what a probe names when it depends on the board."""
        return self.machine

    @property
    def kind(self) -> str:
        """What the target is, whatever its name: `q35-tcg`, `pc-tcg-rt`, `q35-kvm`. Recorded deviations match on it."""
        real_time = "-rt" if self.accelerator == "tcg" and self.clock == "realtime" else ""
        return f"{self.machine}-{self.accelerator}{real_time}"

    @property
    def deterministic(self) -> bool:
        """Whether virtual time is a function of the instructions executed."""
        return self.clock == "icount"

    def find_binary(self) -> Path:
        """The QEMU program of this target.

        Raises QemuNotFound where there is none.
        """
        wanted = self.binary or _PROGRAM
        found = shutil.which(wanted)
        if found is None:
            raise QemuNotFound(wanted, _INSTALL)
        return Path(found).absolute()


def _from_table(name: str, table: Mapping[str, Any], base: Target | None, where: str) -> Target:
    if not name.isprintable() or not name:
        raise TargetError(f"{where}: target {name!r}: a name is at least one printable character")
    known = {f.name: f.type for f in fields(Target) if f.name != "name"}
    for key, value in table.items():
        if key not in known:
            raise TargetError(f"{where}: target {name}: unknown key {key!r}; known: {', '.join(sorted(known))}")
        wanted: type = int if known[key] == "int" else list if key == "extra" else str
        if not isinstance(value, wanted) or isinstance(value, bool):
            raise TargetError(f"{where}: target {name}: {key} = {value!r} must be of type {wanted.__name__}")
        if any("\0" in text for text in (value if isinstance(value, list) else [value]) if isinstance(text, str)):
            raise TargetError(
                f"{where}: target {name}: {key} = {value!r} has a NUL character, which an argument of a program "
                "cannot have"
            )
    memory = table.get("memory_mib", LEAST_MEMORY_MIB)
    if memory < LEAST_MEMORY_MIB:
        raise TargetError(
            f"{where}: target {name}: memory_mib = {memory} is too little: the guest's memory map "
            f"(harness/abi.py) needs {LEAST_MEMORY_MIB}. Expected: {LEAST_MEMORY_MIB}..{_MOST_MEMORY_MIB}"
        )
    values = dict(table)
    if "extra" in values:
        if not all(isinstance(argument, str) for argument in values["extra"]):
            raise TargetError(f"{where}: target {name}: extra must be a list of strings")
        values["extra"] = tuple(values["extra"])
    try:
        return replace(base, name=name, **values) if base is not None else Target(name=name, **values)
    except TargetError as error:
        raise TargetError(f"{where}: {error}") from None


def _parse(text: str, where: str, known: Mapping[str, Target]) -> dict[str, Target]:
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # TOMLDecodeError; a number of too many digits; arrays in arrays
        raise TargetError(f"{where}: not TOML: {error}") from error
    found = dict(known)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise TargetError(f"{where}: {name} must be a table: [{name}]")
        table = dict(table)
        base_name = table.pop("base", None)
        if base_name is not None and not isinstance(base_name, str):
            raise TargetError(f"{where}: target {name}: base = {base_name!r} must be of type str: the name of a target")
        if base_name is not None and base_name not in found:
            raise TargetError(f"{where}: target {name}: base = {base_name!r} is no target that comes before it")
        found[name] = _from_table(name, table, found[base_name] if base_name is not None else None, where)
    return found


@cache
def builtin_targets() -> Mapping[str, Target]:
    """The targets that ship, by name."""
    text = resources.files("harness.qemu").joinpath("targets.toml").read_text(encoding="utf-8")
    return MappingProxyType(_parse(text, "targets.toml", {}))


def load_targets(path: Path | None = None) -> Mapping[str, Target]:
    """The targets that ship, plus those of a TOML file: one table per target, keys as the fields of `Target`.

    `base = "q35-tcg"` starts from another target. Raises TargetError naming file and key.
    """
    if path is None:
        return builtin_targets()
    try:
        with path.open("rb") as file:
            content = file.read(_LONGEST_FILE + 1)
    except OSError as error:
        raise TargetError(f"{path}: {error.strerror}") from error
    if len(content) > _LONGEST_FILE:
        raise TargetError(f"{path}: longer than {_LONGEST_FILE} bytes. Expected: one table for each target")
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        wrong = content[error.start]
        raise TargetError(f"{path}:{line}: not UTF-8: byte {wrong:#04x}. Expected: TOML in UTF-8") from None
    return MappingProxyType(_parse(text, str(path), builtin_targets()))


def target(name: str) -> Target:
    """The target of that name that ships.

    Raises TargetError that lists the names.
    """
    try:
        return builtin_targets()[name]
    except KeyError:
        raise TargetError(f"no target is named {name!r}; known: {', '.join(builtin_targets())}") from None
