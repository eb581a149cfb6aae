"""Names of registers for the addresses, port numbers and MSR numbers of a listing."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, cast

from harness.assembly import ListingLine
from harness.hardware.block import Array, At, AtArray, Block, Bus, Place, Space, Sub
from harness.hardware.chipset import ResetControlPort
from harness.hardware.dma8237 import Dma8237Master, Dma8237Slave, DmaPages
from harness.hardware.floppy import Floppy
from harness.hardware.fw_cfg import FwCfg
from harness.hardware.hpet import Hpet
from harness.hardware.i8042 import I8042, SystemControlPortA
from harness.hardware.ide import TaskFile
from harness.hardware.ioapic import IoApic, IoApicWindow
from harness.hardware.lapic import LocalApic, X2Apic
from harness.hardware.msr import Msr
from harness.hardware.pci import ConfigPorts
from harness.hardware.pic8259 import PicMaster, PicSlave
from harness.hardware.pit8254 import Pit8254, SystemControl
from harness.hardware.pvpanic import PvPanic
from harness.hardware.rtc import Cmos, CmosPorts
from harness.hardware.uart16550 import Uart16550
from harness.hardware.vtd import VtdUnit

__all__ = ["RegisterNames", "name_of"]

_BLOCKS: tuple[tuple[str, type[Block]], ...] = (
    ("lapic", LocalApic),
    ("x2apic", X2Apic),
    ("ioapic", IoApicWindow),
    ("ioapic", IoApic),
    ("hpet", Hpet),
    ("pic.MASTER", PicMaster),
    ("pic.SLAVE", PicSlave),
    ("pit", Pit8254),
    ("system_control", SystemControl),
    ("cmos", CmosPorts),
    ("rtc", Cmos),
    ("msr", Msr),
    ("com1", Uart16550),
    ("pci", ConfigPorts),
    ("reset_control", ResetControlPort),
    ("pvpanic", PvPanic),
    ("dma", Dma8237Slave),
    ("dma_master", Dma8237Master),
    ("dma_page", DmaPages),
    ("i8042", I8042),
    ("port92", SystemControlPortA),
    ("floppy", Floppy),
    ("fw_cfg", FwCfg),
    ("ide", TaskFile),
    ("vtd", VtdUnit),
)
_INDEX = {"ioapic.IOREGSEL": Space.IOAPIC, "cmos.INDEX": Space.CMOS}  # registers that choose another one


@cache
def _places() -> dict[tuple[Space, int], tuple[Place[Any], ...]]:
    """Every register at a fixed place, by each byte that it covers."""
    found: dict[tuple[Space, int], list[Place[Any]]] = {}
    for name, block in _BLOCKS:
        for place in _walk(block(cast(Bus, None), name=name)):
            start = place.offset if place.space in (Space.IOAPIC, Space.CMOS) else place.address
            if place.space is Space.IOAPIC and place.width == 64:
                continue  # its halves are registers of their own
            size = place.width // 8 if place.space is Space.MMIO else 1
            for byte in range(size):
                found.setdefault((place.space, start + byte), []).append(place)
    return {key: tuple(places) for key, places in found.items()}


def _walk(block: Block) -> Iterator[Place[Any]]:
    for cls in reversed(type(block).__mro__):
        for name, item in vars(cls).items():
            if isinstance(item, At):
                yield block.place(item)
            elif isinstance(item, AtArray):
                yield from (bound.place for bound in getattr(block, name))
            elif isinstance(item, Sub):
                yield from _walk(getattr(block, name))
            elif isinstance(item, Array):
                for element in getattr(block, name):
                    yield from _walk(element)


def name_of(space: Space, number: int, access: str = "rw") -> str:
    """The registers at an address, port or number, `pic.MASTER.ICW1/OCW2` where several share it; empty for none.

    `access` "r" or "w" leaves out those that cannot be read or written.
    """
    refused = {"r": ("wo",), "w": ("ro", "rc")}.get(access, ())
    places = [place for place in _places().get((space, number), ()) if place.access not in refused]
    if not places:
        return ""
    first = places[0].name
    head = first.rpartition(".")[0]
    names = dict.fromkeys(place.name.removeprefix(f"{head}.") for place in places[1:])
    text = "/".join([first, *(name for name in names if name != first.removeprefix(f"{head}."))])
    start = places[0].offset if space in (Space.IOAPIC, Space.CMOS) else places[0].address
    return f"{text}+{number - start}" if number != start else text


class RegisterNames:
    """Follows the constants in a program's general registers from line to line, and names what they reach."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, line: ListingLine) -> str:
        """The names of the registers whose address, port or number this line has or reaches; empty for none."""
        if line.kind != "instruction":
            if line.kind == "label":
                self._known.clear()  # it may be reached from elsewhere
            return ""
        return ", ".join(dict.fromkeys(name for part in line.decoded().split("; ") for name in self._of_one(part)))

    def _of_one(self, text: str) -> list[str]:
        mnemonic, _, rest = text.partition(" ")
        operands = [operand.strip() for operand in rest.split(",")] if rest else []
        found = self._access(mnemonic, operands) + self._memory(mnemonic, operands)
        constant = _number(operands[1]) if mnemonic in ("mov", "movabs") and len(operands) == 2 else None
        target = _register(operands[0]) if operands else ""
        if target and constant is not None:
            self._known[target] = constant
            if constant > 0xFFFF and (name := name_of(Space.MMIO, constant)):
                found.append(name)
        elif mnemonic.startswith(("call", "int", "syscall", "cpuid", "rdmsr", "rdtsc", "rep", "xchg", "j")):
            if not mnemonic.startswith("j"):
                self._known.clear()
        elif target and mnemonic not in ("cmp", "test", "push", "out", "bt"):
            self._known.pop(target, None)
        return found

    def _access(self, mnemonic: str, operands: Sequence[str]) -> list[str]:
        """Ports and model-specific registers."""
        if mnemonic in ("rdmsr", "wrmsr") and "c" in self._known:
            name = name_of(Space.MSR, self._known["c"], mnemonic[0])
            return [name] if name else []
        if mnemonic not in ("in", "out") or len(operands) != 2:
            return []
        operand, data = operands if mnemonic == "out" else reversed(operands)
        port = self._known.get("d") if operand == "dx" else _number(operand)
        name = name_of(Space.PORT, port, "r" if mnemonic == "in" else "w") if port is not None else ""
        if not name:
            return []
        return [name + self._chosen(name, self._known.get(_register(data)) if mnemonic == "out" else None)]

    def _memory(self, mnemonic: str, operands: Sequence[str]) -> list[str]:
        for position, operand in enumerate(operands):
            match = re.search(r"\[(?:(\w+?)(?: ([+-]) )?)?(0x[0-9a-f]+|\d+)?\]", operand)
            if match is None:
                continue
            base, sign, offset = match.groups()
            start = self._known.get(_register(base)) if base and _register(base) else 0 if not base else None
            if start is None:
                return []
            address = (start + int(offset or "0", 0) * (-1 if sign == "-" else 1)) & 0xFFFF_FFFF  # mapped three times
            writes = position == 0 and mnemonic not in ("cmp", "test", "push", "call", "jmp")
            name = name_of(Space.MMIO, address, "w" if writes and mnemonic == "mov" else "rw")
            if not name:
                return []
            source = operands[1] if writes and len(operands) == 2 else ""
            value = _number(source) if source else None
            return [name + self._chosen(name, self._known.get(_register(source)) if value is None else value)]
        return []

    @staticmethod
    def _chosen(name: str, index: int | None) -> str:
        """What an index register chooses: ` → ioapic.REDIRECTION[19]+1`."""
        space = _INDEX.get(name)
        chosen = name_of(space, index & (0x7F if space is Space.CMOS else 0xFF)) if space and index is not None else ""
        return f" → {chosen}" if chosen else ""


def _number(text: str) -> int | None:
    return int(text, 0) if re.fullmatch(r"0x[0-9a-f]+|\d+", text) else None


def _register(text: str) -> str:
    """One name for all widths of a general register: `di` for rdi, edi, di, dil; empty for anything else."""
    match = re.fullmatch(r"[re]?([abcd])x|([abcd])[lh]|[re]?([sd]i)l?|(r(?:8|9|1[0-5]))[dwb]?", text)
    return next((group for group in match.groups() if group), "") if match else ""
