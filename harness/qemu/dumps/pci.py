"""QMP's `query-pci`: the functions on every bus, as they are configured now (QMP reference, PciInfo)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

from harness.qemu.errors import DumpError

__all__ = ["DumpedFunction", "PciRegion", "parse_pci"]

T = TypeVar("T")
_WHAT = "query-pci"


@dataclass(frozen=True)
class PciRegion:
    """One BAR. `address` is -1 where none is assigned or decoding is off."""

    bar: int
    io: bool
    address: int
    size: int
    prefetch: bool
    bits64: bool


@dataclass(frozen=True)
class DumpedFunction:
    """One function. `irq_pin` is 0 for none, 1 to 4 for INTA to INTD; `qdev_id` is the id on the command line."""

    bus: int
    slot: int
    function: int
    vendor: int
    device: int
    class_code: int  # base class and sub-class, 16 bits
    irq_pin: int
    qdev_id: str
    regions: tuple[PciRegion, ...]

    def __str__(self) -> str:
        return f"{self.bus:02x}:{self.slot:02x}.{self.function} {self.vendor:04x}:{self.device:04x}"


def parse_pci(buses: object) -> tuple[DumpedFunction, ...]:
    """The functions in a `query-pci` answer, bridges before what lies behind them. Raises DumpError."""
    found: list[DumpedFunction] = []
    waiting = [entry for bus in _members(buses, "an array of buses") for entry in _of(bus, "devices", list)]
    waiting.reverse()
    while waiting:
        entry = waiting.pop()
        found.append(_function(entry))
        behind = _of(_of(entry, "pci_bridge", dict, {}), "devices", list, [])
        waiting += reversed(behind)
    return tuple(found)


def _function(entry: object) -> DumpedFunction:
    return DumpedFunction(
        bus=_of(entry, "bus", int),
        slot=_of(entry, "slot", int),
        function=_of(entry, "function", int),
        vendor=_of(_of(entry, "id", dict), "vendor", int),
        device=_of(_of(entry, "id", dict), "device", int),
        class_code=_of(_of(entry, "class_info", dict), "class", int),
        irq_pin=_of(entry, "irq_pin", int),
        qdev_id=_of(entry, "qdev_id", str),
        regions=tuple(
            PciRegion(
                bar=_of(region, "bar", int),
                io=_of(region, "type", str) == "io",
                address=_of(region, "address", int),
                size=_of(region, "size", int),
                prefetch=_of(region, "prefetch", bool, False),
                bits64=_of(region, "mem_type_64", bool, False),
            )
            for region in _of(entry, "regions", list)
        ),
    )


def _members(value: object, expected: str) -> list[Any]:
    if not isinstance(value, list):
        raise DumpError(_WHAT, repr(value), "", expected)
    return value


def _of(entry: object, name: str, kind: type[T], default: T | None = None) -> T:
    """The member of that name, which must be of that type. Raises DumpError."""
    value = entry.get(name, default) if isinstance(entry, dict) else None
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise DumpError(_WHAT, repr(entry), "", f"a member {name!r} of type {kind.__name__}")
    return value
