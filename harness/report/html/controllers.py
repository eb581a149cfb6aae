"""The interrupt controllers as the guest froze them at its end: registers by their datasheet's names, decoded.

"Reset" is the state after power-up or RESET: SDM vol. 3A, "Local APIC State After Power-Up or Reset"; 82093AA
datasheet, "I/O APIC Registers"; HPET specification, "Register Model". The datasheets of 8259A and 8254 define none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.abi import SNAPSHOT
from harness.hardware.block import At, AtArray, Block
from harness.hardware.hpet import FsbRoute, HpetCapabilities, HpetConfiguration, HpetInterruptStatus, TimerConfiguration
from harness.hardware.ioapic import PINS, IoApicId, IoApicVersion, RedirectionEntry
from harness.hardware.lapic import LocalApic, LocalApicVersion, X2Apic
from harness.hardware.register import Register
from harness.report.html.decoded import set_fields

__all__ = ["Controller", "RegisterRow", "controllers", "pins_of_vectors"]

_X2APIC = 2
_MASKED = 1 << 16
_LVT_RESET = 1 << 16
_LAPIC_RESET = {"DFR": 0xFFFF_FFFF, "SVR": 0xFF, **{f"LVT_{n}": _LVT_RESET for n in (
    "CMCI", "TIMER", "THERMAL", "PERFORMANCE", "LINT0", "LINT1", "ERROR")}}  # fmt: skip
_LVT_NEEDS = {"LVT_ERROR": 3, "LVT_PERFORMANCE": 4, "LVT_THERMAL": 5, "LVT_CMCI": 6}  # maximum LVT entry
_IDENTITIES = ("ID", "VERSION", "LDR")  # that a reset, or x2APIC mode, gives their value
_UNREADABLE = ("EOI", "SELF_IPI", "RRD")
_PIC = ("master IRR", "master ISR", "master IMR", "slave IRR", "slave ISR", "slave IMR", "ELCR1", "ELCR2")
_FULL = (1 << 64) - 1


@dataclass(frozen=True)
class RegisterRow:
    """One register. `differs`: from its reset value; always where no reset value is defined."""

    name: str
    value: str
    decoded: str
    differs: bool


@dataclass(frozen=True)
class Controller:
    """One controller's registers."""

    title: str
    rows: Sequence[RegisterRow]

    @property
    def changed(self) -> Sequence[RegisterRow]:
        """The registers that differ from the reset state."""
        return [row for row in self.rows if row.differs]

    @property
    def rest(self) -> Sequence[RegisterRow]:
        """All others."""
        return [row for row in self.rows if not row.differs]


def controllers(frozen: bytes) -> list[Controller]:
    """Every controller of a frozen state; none where its size is not that of one."""
    if len(frozen) != SNAPSHOT.size:
        return []
    view = memoryview(frozen)
    lapic = _words(view, "LAPIC", 64, "I")
    mode = SNAPSHOT.read(frozen, "APIC_MODE")
    found = []
    if mode:
        title = "Local APIC of processor 0" + (" (x2APIC)" if mode == _X2APIC else "")
        found.append(Controller(title, tuple(_local_apic(lapic, x2apic=mode == _X2APIC))))
    ioapic = _words(view, "IOAPIC", 2 + 2 * PINS, "I")
    found.append(Controller("IO APIC", tuple(_io_apic(ioapic))))
    start = SNAPSHOT.offset("PIC")
    pics = [
        RegisterRow(f"8259 {name}" if " " in name else name, f"{value:02x}h", f"{value:08b}b", True)
        for name, value in zip(_PIC, frozen[start : start + 8], strict=True)
    ]
    found.append(Controller("8259A pair", pics))
    hpet = _words(view, "HPET", 13, "Q")
    if hpet[0]:
        found.append(Controller("HPET", tuple(_hpet(hpet))))
    pit = [
        RegisterRow(f"8254 channel {n}", f"{word & 0xFF:02x}h", f"status byte; count {word >> 16}", True)
        for n, word in enumerate(_words(view, "PIT", 3, "I"))
    ]
    found.append(Controller("8254", pit))
    return found


def pins_of_vectors(frozen: bytes) -> dict[int, list[int]]:
    """Vector → IO APIC pins whose entry has it, in fixed or lowest-priority mode, not masked."""
    pins: dict[int, list[int]] = {}
    if len(frozen) == SNAPSHOT.size:
        for pin, raw in enumerate(_entries(_words(memoryview(frozen), "IOAPIC", 2 + 2 * PINS, "I"))):
            if not raw & _MASKED and raw >> 8 & 7 in (0, 1):
                pins.setdefault(raw & 0xFF, []).append(pin)
    return pins


def _words(view: memoryview, name: str, count: int, width: Literal["I", "Q"]) -> Sequence[int]:
    start, size = SNAPSHOT.offset(name), 4 if width == "I" else 8
    part = view[start : start + count * size]
    return list(part.cast("I") if width == "I" else part.cast("Q"))


def _entries(words: Sequence[int]) -> list[int]:
    return [words[3 + 2 * pin] << 32 | words[2 + 2 * pin] for pin in range(PINS)]


def _local_apic(words: Sequence[int], *, x2apic: bool) -> Iterator[RegisterRow]:
    block: type[Block] = X2Apic if x2apic else LocalApic
    shift = 0 if x2apic else 4
    entries = LocalApicVersion(words[3]).MAX_LVT_ENTRY
    absent = {name for name, needed in _LVT_NEEDS.items() if entries < needed}
    for name, member in vars(block).items():
        if name in _UNREADABLE or name in absent:
            continue
        if isinstance(member, AtArray):
            for number in range(member.count):
                word = words[(member.offset + number * member.stride) >> shift]
                yield _row(f"{name}[{number}]", member.register, word, 0, _vectors(number, word))
        elif isinstance(member, At):
            word = words[member.offset >> shift]
            if member.register.WIDTH > 32:  # the ICR of the x2APIC
                word |= words[(member.offset >> shift) + 1] << 32
            reset = word if name in _IDENTITIES else _LAPIC_RESET.get(name, 0)
            yield _row(name, member.register, word, reset)


def _vectors(number: int, word: int) -> str:
    return " ".join(f"{number * 32 + bit:02x}h" for bit in range(32) if word >> bit & 1)


def _io_apic(words: Sequence[int]) -> Iterator[RegisterRow]:
    yield _row("IOAPICID", IoApicId, words[0], 0)
    yield _row("IOAPICVER", IoApicVersion, words[1], words[1])
    for pin, raw in enumerate(_entries(words)):
        yield _row(f"IOREDTBL[{pin}]", RedirectionEntry, raw, _MASKED)


def _hpet(words: Sequence[int]) -> Iterator[RegisterRow]:
    yield _row("GCAP_ID", HpetCapabilities, words[0], words[0])
    yield _row("GEN_CONF", HpetConfiguration, words[1], 0)
    yield _row("GINTR_STA", HpetInterruptStatus, words[2], 0)
    yield RegisterRow("MAIN_CNT", f"{words[3]:x}h", "", bool(words[3]))
    for timer in range(3):
        config, comparator, route = words[4 + 3 * timer : 7 + 3 * timer]
        writable = TimerConfiguration.mask_of("INT_TYPE", "INT_ENABLE", "TYPE", "MODE_32", "ROUTE", "FSB_ENABLE")
        yield _row(f"TIM{timer}_CONF", TimerConfiguration, config, config & ~writable)
        yield RegisterRow(f"TIM{timer}_COMP", f"{comparator:x}h", "", comparator not in (0xFFFF_FFFF, _FULL))
        yield _row(f"TIM{timer}_FSB_ROUT", FsbRoute, route, 0)


def _row(name: str, register: type[Register], word: int, reset: int, decoded: str | None = None) -> RegisterRow:
    text = set_fields(register, word) if decoded is None else decoded
    return RegisterRow(name, f"{word:0{register.WIDTH // 4}x}h", text, word != reset)
