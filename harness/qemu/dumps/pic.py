"""`info pic`: the IO APICs and both 8259s.

The formats are those of QEMU's hw/intc/ioapic_common.c and hw/intc/i8259_common.c. The order of the blocks differs
between versions; microvm has two IO APICs, both of which QEMU calls ioapic0: the one that software has programmed comes
first, or the first of the dump where that does not distinguish them.
"""

from __future__ import annotations

import re

from harness.hardware.state import IoApicState, PicState, RedirectionState
from harness.qemu.errors import DumpError

__all__ = ["parse_ioapics", "parse_pics"]

_WHAT = "info pic"
_PINS = 24  # of every IO APIC that QEMU has (IOAPIC_NUM_PINS)
_HEAD = re.compile(
    r"ioapic[0-9]{1,3}: ver=0x([0-9a-f]{1,8}) id=0x([0-9a-f]{1,8}) sel=0x([0-9a-f]{1,8})(?: \(redir\[[0-9]{1,3}\]\))?"
)
_PIN = re.compile(
    r"  pin ([0-9]{1,3}) {1,8}0x([0-9a-f]{16}) dest=[0-9a-f]{1,8}"
    r" vec=([0-9]{1,3}) {1,8}active-(?:hi|lo) (?:edge|level) .*"
)
_BITS = re.compile(r"  (IRR|Remote IRR) {1,8}(\(none\)|[0-9]{1,3}(?: {1,8}[0-9]{1,3})*)")
_PIC = re.compile(
    r"pic([01]): irr=([0-9a-f]{2}) imr=([0-9a-f]{2}) isr=([0-9a-f]{2}) hprio=([0-7]) irq_base=([0-9a-f]{2})"
    r" rr_sel=([01]) elcr=([0-9a-f]{2}) fnm=([01])"
)


def parse_pics(text: str) -> tuple[IoApicState, PicState, PicState]:
    """The (first) IO APIC, the master and the slave 8259 of an `info pic` dump. Raises DumpError."""
    ioapics, pics = _parse(text)
    if not ioapics:
        raise DumpError(_WHAT, "", text, "an IO APIC block: ioapic0: ver=…")
    for chip in (0, 1):
        if chip not in pics:
            raise DumpError(_WHAT, "", text, f"a line pic{chip}: irr=…")
    return ioapics[0], pics[0], pics[1]


def parse_ioapics(text: str) -> tuple[IoApicState, ...]:
    """Every IO APIC of an `info pic` dump, in its order. Raises DumpError."""
    return tuple(_parse(text)[0])


def _parse(text: str) -> tuple[list[IoApicState], dict[int, PicState]]:
    ioapics: list[IoApicState] = []
    pics: dict[int, PicState] = {}
    head: tuple[int, int, int] | None = None
    entries: list[RedirectionState] = []
    irr: frozenset[int] | None = None
    for line in text.replace("\r", "").splitlines():
        if not line.strip():
            continue
        if match := _HEAD.fullmatch(line.rstrip()):
            head = (int(match[1], 16), int(match[2], 16), int(match[3], 16))
            entries, irr = [], None
        elif (match := _PIN.fullmatch(line.rstrip())) and head is not None and int(match[1]) == len(entries):
            entry = RedirectionState.decode(len(entries), int(match[2], 16))
            if entry.vector != int(match[3]):
                raise DumpError(_WHAT, line, text, f"vec={entry.vector}, the entry's vector")
            entries.append(entry)
        elif (match := _BITS.fullmatch(line.rstrip())) and head is not None:
            pins = frozenset(int(pin) for pin in re.findall(r"[0-9]{1,3}", match[2]))
            if match[1] == "IRR":
                irr = pins
                continue
            if irr is None or len(entries) != _PINS:
                raise DumpError(_WHAT, line, text, f"the line IRR and {_PINS} pins before it")
            # The last line of a block; it repeats bit 14 of the level-triggered entries.
            if pins != {entry.pin for entry in entries if entry.level and entry.remote_irr}:
                raise DumpError(_WHAT, line, text, "the pins whose entry has bits 14 and 15 set")
            ioapics.append(IoApicState(id=head[1], version=head[0], entries=tuple(entries), irr=irr, select=head[2]))
            head = None
        elif match := _PIC.fullmatch(line.rstrip()):
            pics[int(match[1])] = PicState(
                irr=int(match[2], 16),
                imr=int(match[3], 16),
                isr=int(match[4], 16),
                priority_add=int(match[5]),
                base=int(match[6], 16),
                read_isr=match[7] == "1",
                elcr=int(match[8], 16),
            )
        else:
            raise DumpError(_WHAT, line, text)
    if head is not None:
        raise DumpError(_WHAT, "", text, "the line Remote IRR that ends an IO APIC block")
    return sorted(ioapics, key=_as_after_reset), pics


def _as_after_reset(ioapic: IoApicState) -> bool:
    """Whether every entry is as reset leaves it: masked, and all else 0 (82093AA, I/O Redirection Table Registers)."""
    return all(entry.raw == 1 << 16 for entry in ioapic.entries)
