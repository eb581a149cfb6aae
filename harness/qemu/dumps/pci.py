"""QMP's `query-pci`: the functions on every bus, as they are configured now (QMP reference, PciInfo)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.qemu.errors import DumpError

__all__ = ["PciFunction", "PciRegion", "parse_pci"]


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
class PciFunction:
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


def parse_pci(buses: Sequence[Any]) -> tuple[PciFunction, ...]:
    """The functions in a `query-pci` answer, bridges before what lies behind them. Raises DumpError."""
    found: list[PciFunction] = []
    for bus in buses:
        for entry in bus["devices"]:
            _collect(entry, found)
    return tuple(found)


def _collect(entry: Any, found: list[PciFunction]) -> None:
    try:
        found.append(
            PciFunction(
                bus=entry["bus"],
                slot=entry["slot"],
                function=entry["function"],
                vendor=entry["id"]["vendor"],
                device=entry["id"]["device"],
                class_code=entry["class_info"]["class"],
                irq_pin=entry["irq_pin"],
                qdev_id=entry["qdev_id"],
                regions=tuple(
                    PciRegion(
                        bar=region["bar"],
                        io=region["type"] == "io",
                        address=region["address"],
                        size=region["size"],
                        prefetch=region.get("prefetch", False),
                        bits64=region.get("mem_type_64", False),
                    )
                    for region in entry["regions"]
                ),
            )
        )
        for behind in entry.get("pci_bridge", {}).get("devices", ()):
            _collect(behind, found)
    except (KeyError, TypeError) as error:
        raise DumpError("query-pci", str(entry), "", f"member {error}") from None
