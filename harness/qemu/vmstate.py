"""The state of all devices of a machine, out of QEMU's migration stream.

The stream ends with a description of itself in JSON; docs/devel/migration of QEMU describes the sections. Guest RAM
that the host shares is not in it (capability x-ignore-shared).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from harness.qemu.errors import QemuError

__all__ = ["VmStateError", "parse_vmstate"]

_MAGIC = b"QEVM\0\0\0\3"
_END, _START, _FULL, _SUBSECTION, _FOOTER = 0, 1, 4, 5, 0x7E
_RAM_FILL, _RAM_SIZES, _RAM_PAGE, _RAM_DONE, _RAM_SAME_BLOCK = 2, 4, 8, 0x10, 0x20
_DESCRIPTION = b"\x06"  # QEMU_VM_VMDESCRIPTION; its length and the text follow


class VmStateError(QemuError):
    """The stream does not have a supported form."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size < 0 or self._at + size > len(self._data):
            raise VmStateError(f"the migration stream ends within a field of {size} bytes at offset {self._at}")
        self._at += size
        return self._data[self._at - size : self._at]

    def number(self, size: int) -> int:
        """The next big-endian number of `size` bytes."""
        return int.from_bytes(self.take(size))

    def text(self) -> str:
        """The next string, behind its length of one byte."""
        return self.take(self.number(1)).decode("latin-1")

    @property
    def ahead(self) -> int:
        """The next byte, which stays."""
        return self._data[self._at] if self._at < len(self._data) else -1

    def skip_configuration(self) -> None:
        """What follows QEMU_VM_CONFIGURATION: the machine's name, and subsections of known forms."""
        self.take(self.number(4))
        while self.ahead == _SUBSECTION:
            self.number(1)
            name = self.text()
            self.number(4)
            match name:
                case "configuration/capabilities":
                    for _ in range(self.number(4)):
                        self.text()
                case "configuration/target-page-bits":
                    self.number(4)
                case "configuration/uuid":
                    self.take(16)
                case _:
                    raise VmStateError(f"the migration stream has a section {name} that is not known")


def parse_vmstate(stream: bytes) -> dict[str, bytes]:
    """Every field of every device: its path, as `0000:00:1f.0/ICH9LPC/…`, to its bytes as they are sent.

    Raises VmStateError.
    """
    at = _description(stream)
    if not stream.startswith(_MAGIC) or at is None:
        raise VmStateError("this is no migration stream with a description")
    try:
        devices = [dict(device) for device in json.loads(stream[at:])["devices"]]
    except (ValueError, KeyError, TypeError) as error:
        raise VmStateError(f"the description of the migration stream cannot be read: {error}") from error
    reader = _Reader(stream)
    reader.take(len(_MAGIC))
    fields: dict[str, bytes] = {}
    waiting = iter(devices)
    while (kind := reader.number(1)) != _END:
        match kind:
            case 7:
                reader.skip_configuration()
                continue
            case 8:
                reader.number(2)
                reader.take(reader.number(2))
                continue
            case 1 | 4:
                reader.number(4)
                name, instance = reader.text(), reader.number(4)
                reader.number(4)
            case 2 | 3:
                reader.number(4)
                name, instance = "ram", 0
            case _:
                raise VmStateError(f"the migration stream has a section of type {kind:#x}, which is not known")
        if kind == _FULL:
            _read_device(reader, waiting, name, instance, fields)
        elif name == "ram":
            _skip_ram(reader, first=kind == _START)
        else:
            raise VmStateError(f"{name} is sent in parts, which is not known")
        if reader.ahead == _FOOTER:
            reader.take(5)
    return fields


def _description(stream: bytes) -> int | None:
    """Where the text of the description begins, which ends the stream."""
    at = stream.find(b'{"')
    while at >= 0:
        if stream[at - 5 : at] == _DESCRIPTION + (len(stream) - at).to_bytes(4):
            return at
        at = stream.find(b'{"', at + 1)
    return None


def _read_device(
    reader: _Reader, waiting: Iterator[Mapping[str, Any]], name: str, instance: int, fields: dict[str, bytes]
) -> None:
    for device in waiting:
        if (device["name"], device["instance_id"]) == (name, instance):
            _read(reader, device, f"{name}#{instance}" if instance else name, fields)
            return
    raise VmStateError(f"{name} is not in the description of the migration stream")


def _read(reader: _Reader, description: Mapping[str, Any], path: str, fields: dict[str, bytes]) -> None:
    for field in description.get("fields", ()):
        name = f"{path}/{field['name']}"
        count = field.get("array_len", 1)
        for index in range(count):
            here = f"{name}[{field.get('index', index)}]" if count > 1 or "index" in field else name
            if "struct" in field:
                _read(reader, field["struct"], here, fields)
            else:
                _keep(fields, here, reader.take(field["size"]))
    for subsection in description.get("subsections", ()):
        if reader.number(1) != _SUBSECTION or reader.text() != subsection["vmsd_name"]:
            raise VmStateError(f"{path}: the subsection {subsection['vmsd_name']} is not in its place")
        reader.number(4)
        _read(reader, subsection, f"{path}/{subsection['vmsd_name'].rpartition('/')[2]}", fields)


def _keep(fields: dict[str, bytes], path: str, data: bytes) -> None:
    unique, number = path, 2
    while unique in fields:
        unique, number = f"{path} ({number})", number + 1
    fields[unique] = data


def _skip_ram(reader: _Reader, *, first: bool) -> None:
    if first:
        total = reader.number(8)
        if not total & _RAM_SIZES:
            raise VmStateError("the section of RAM does not begin with the sizes of its blocks")
        total &= ~0xFFF
        while total > 0:
            reader.text()
            total -= reader.number(8)
            reader.number(8)  # the address, which x-ignore-shared adds
    while not (flags := reader.number(8)) & _RAM_DONE:
        if not flags & _RAM_SAME_BLOCK:
            reader.text()
        if flags & _RAM_FILL:
            reader.number(1)
        elif flags & _RAM_PAGE:
            reader.take(4096)
        else:
            raise VmStateError(f"the section of RAM has flags {flags & 0xFFF:#x} that are not known")
