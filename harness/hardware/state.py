"""Decoded controller state, the same from a guest's own snapshot and from a QMP dump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Self

from harness.hardware.ioapic import IoApicId, IoApicVersion, RedirectionEntry
from harness.hardware.lapic import LocalApic, LocalApicId, LocalApicVersion

__all__ = [
    "HPET_SIZE",
    "HpetState",
    "HpetTimerState",
    "IoApicState",
    "LapicState",
    "PicState",
    "PitChannelState",
    "RedirectionState",
    "vectors_set",
]

HPET_SIZE = 0x160
"""Bytes of the HPET's block up to the end of its third timer."""


def vectors_set(slices: Sequence[int]) -> frozenset[int]:
    """The vectors whose bits are set in eight 32-bit slices of ISR, TMR or IRR."""
    return frozenset(i * 32 + bit for i, word in enumerate(slices) for bit in range(32) if word >> bit & 1)


@dataclass(frozen=True)
class LapicState:
    """One local APIC. A field is `None` where the source lacks it (QMP's dump has no full TMR, no ID register)."""

    apic_id: int
    version: int | None
    tpr: int
    ppr: int
    svr: int
    icr: int
    esr: int
    lvt: Mapping[str, int]  # "TIMER", "LINT0", "LINT1", "PERF", "THERMAL", "ERROR", "CMCI" -> raw LVT value
    divide: int | None  # divide configuration register, raw
    initial_count: int
    current_count: int
    isr: frozenset[int]  # vectors in service
    irr: frozenset[int]  # vectors requested
    tmr: frozenset[int]  # level-triggered vectors; from a dump only those that are in IRR or ISR
    ldr: int | None = None
    dfr: int | None = None

    @classmethod
    def from_registers(cls, words: Sequence[int]) -> Self:
        """Decode a copy of the xAPIC page: 64 dwords, word i is the register at offset i * 16.

        LVT entries that the version register does not announce are left out. Raises `ValueError` unless there are 64.
        """
        if len(words) != 64:
            raise ValueError(f"a local APIC snapshot has 64 dwords, got {len(words)}")
        version = LocalApicVersion(words[0x03])
        lvt = {
            name: words[at.offset >> 4]
            for name, at, needed in (
                ("TIMER", LocalApic.LVT_TIMER, 0),
                ("LINT0", LocalApic.LVT_LINT0, 0),
                ("LINT1", LocalApic.LVT_LINT1, 0),
                ("ERROR", LocalApic.LVT_ERROR, 3),
                ("PERF", LocalApic.LVT_PERFORMANCE, 4),
                ("THERMAL", LocalApic.LVT_THERMAL, 5),
                ("CMCI", LocalApic.LVT_CMCI, 6),
            )
            if needed <= version.MAX_LVT_ENTRY
        }
        return cls(
            apic_id=LocalApicId(words[0x02]).APIC_ID,
            version=int(version),
            tpr=words[0x08],
            ppr=words[0x0A],
            svr=words[0x0F],
            icr=words[0x31] << 32 | words[0x30],
            esr=words[0x28],
            lvt=lvt,
            divide=words[0x3E],
            initial_count=words[0x38],
            current_count=words[0x39],
            isr=vectors_set(words[0x10:0x18]),
            irr=vectors_set(words[0x20:0x28]),
            tmr=vectors_set(words[0x18:0x20]),
            ldr=words[0x0D],
            dfr=words[0x0E],
        )


@dataclass(frozen=True)
class RedirectionState:
    """One IO APIC redirection entry, decoded."""

    pin: int
    raw: int
    vector: int
    delivery_mode: int
    logical: bool
    pending: bool  # delivery status
    active_low: bool
    remote_irr: int
    level: bool
    masked: bool
    destination: int

    @classmethod
    @lru_cache(maxsize=1024)  # most entries are masked and zero, every time
    def decode(cls, pin: int, raw: int) -> Self:
        """Decode the 64-bit redirection entry of `pin`."""
        entry = RedirectionEntry(raw)
        return cls(
            pin=pin,
            raw=raw,
            vector=entry.VECTOR,
            delivery_mode=entry.DELIVERY_MODE,
            logical=bool(entry.DESTINATION_MODE),
            pending=bool(entry.DELIVERY_STATUS),
            active_low=bool(entry.POLARITY),
            remote_irr=entry.REMOTE_IRR,
            level=bool(entry.TRIGGER_MODE),
            masked=bool(entry.MASK),
            destination=entry.DESTINATION,
        )


@dataclass(frozen=True)
class IoApicState:
    """The IO APIC; index it by pin. `irr` is QEMU's input latch, `None` from the guest, which cannot read it."""

    id: int
    version: int | None
    entries: tuple[RedirectionState, ...]
    irr: frozenset[int] | None = None
    select: int | None = None

    @classmethod
    def from_registers(cls, words: Sequence[int]) -> Self:
        """Decode a copy: dword 0 is ID, dword 1 the version, then low and high half of each entry.

        Raises `ValueError` unless there is a pair for every entry that the version register announces.
        """
        version = IoApicVersion(words[1])
        pins = version.MAXIMUM_REDIRECTION_ENTRY + 1
        if len(words) < 2 + 2 * pins:
            raise ValueError(f"an IO APIC snapshot of {pins} pins has {2 + 2 * pins} dwords, got {len(words)}")
        return cls(
            id=IoApicId(words[0]).ID,
            version=version.VERSION,
            entries=tuple(
                RedirectionState.decode(pin, words[3 + 2 * pin] << 32 | words[2 + 2 * pin]) for pin in range(pins)
            ),
        )

    def __getitem__(self, pin: int) -> RedirectionState:
        return self.entries[pin]

    def __len__(self) -> int:
        return len(self.entries)


@dataclass(frozen=True)
class PicState:
    """One 8259: bit n is input n of this chip. Fields are `None` where the source does not have them."""

    irr: int
    imr: int
    isr: int
    elcr: int | None = None
    base: int | None = None  # vector base (ICW2)
    special_mask: bool | None = None
    auto_eoi: bool | None = None
    read_isr: bool | None = None  # OCW3 read select
    priority_add: int | None = None


@dataclass(frozen=True)
class PitChannelState:
    """One 8254 channel as its read-back command returns it."""

    status: int
    count: int


@dataclass(frozen=True)
class HpetTimerState:
    """One HPET comparator block."""

    config: int
    comparator: int
    fsb_route: int


@dataclass(frozen=True)
class HpetState:
    """The HPET's registers, raw."""

    capabilities: int
    config: int
    interrupt_status: int
    main_counter: int
    timers: Sequence[HpetTimerState] = field(default_factory=tuple)

    @classmethod
    def from_memory(cls, page: bytes) -> Self:
        """Decode a copy of the first `HPET_SIZE` bytes of the block. Raises `ValueError` for another length."""
        if len(page) != HPET_SIZE:
            raise ValueError(f"a copy of the HPET has {HPET_SIZE} bytes, got {len(page)}")
        words = memoryview(page).cast("Q")
        timers = tuple(HpetTimerState(*words[at // 8 : at // 8 + 3]) for at in range(0x100, HPET_SIZE, 0x20))
        return cls(words[0], words[2], words[4], words[0xF0 // 8], timers)
