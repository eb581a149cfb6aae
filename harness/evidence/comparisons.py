"""Compares the guest's frozen copy of its controllers and its processor with QEMU's dumps of them.

Each difference that time or QEMU's dump can make is allowed here, with its reason; any other is a WitnessDisagreement.
After the guest's stop virtual time may jump to the next timer deadline: a request may have been added since, none may
have been removed.
"""

from __future__ import annotations

from collections.abc import Iterable

from harness.evidence.failures import WitnessDisagreement
from harness.evidence.snapshots import PicPairState, Snapshot
from harness.hardware.cpu import Rflags
from harness.hardware.hpet import HpetConfiguration, TimerConfiguration
from harness.hardware.lapic_lvt import LvtTimer, TimerMode
from harness.hardware.state import HpetState, IoApicState, LapicState
from harness.qemu.dumps import CpuRegisters

__all__ = ["NOT_COMPARED", "compare_hpet", "compare_ioapic", "compare_lapic", "compare_pic", "compare_registers"]

NOT_COMPARED = {
    "lapic.apic_id": "the dump has QEMU's number of the CPU instead of the ID register, which a guest may write",
    "lapic.version": "the dump does not show it",
    "lapic.ldr in x2APIC mode": "the dump shows the xAPIC register, which that mode does not have",
    "lapic.dfr in x2APIC mode": "the register does not exist in that mode",
    "lapic.current_count under KVM": "QEMU 7.2 shows the initial count there",
    "lapic.current_count, periodic": "it is reloaded as virtual time advances; it is at most the initial count",
    "lapic.tmr of idle vectors": "the dump shows the trigger mode of vectors in ISR and IRR only",
    "ioapic.entries: delivery status": "bit 12 changes with each delivery",
    "ioapic.irr": "the dump shows it; no register does",
    "hpet.timers.comparator, periodic": "the comparator moves at each period",
    "pic.base, priority_add, special_mask, auto_eoi, read_isr": "a guest cannot read them from a register",
    "cpu.cr8": "the dumps of QEMU up to 10.0 do not show it; the local APIC's TPR is the same register",
    "cpu.rflags: status flags": "they are those of the last comparison, and the guest printed its report since",
    "cpu: general registers": "the guest printed its report since the snapshot",
    "pit": "QEMU has no dump of it",
}
"""The fields that are not compared, with the reason."""

_DELIVERY_STATUS = 1 << 12
_REMOTE_IRR = 1 << 14
_SYSTEM_FLAGS = sum(Rflags.FIELDS[name].mask for name in ("TF", "IF", "DF", "IOPL", "NT", "VM", "AC", "ID"))


def _differ(what: str, field: str, frozen: object, dumped: object) -> WitnessDisagreement:
    def shown(value: object) -> str:
        if isinstance(value, int):
            return f"{value:#x}"
        if isinstance(value, frozenset):
            return "{" + ", ".join(f"{v:#04x}" for v in sorted(value)) + "}"
        return str(value)

    return WitnessDisagreement(
        f"witnesses disagree about the {what}: {field} is {shown(frozen)} in the guest's own copy, "
        f"{shown(dumped)} in QMP's dump"
    )


def _compare_equal(what: str, fields: Iterable[str], frozen: object, dumped: object) -> None:
    for name in fields:
        mine, theirs = getattr(frozen, name), getattr(dumped, name)
        if mine != theirs:
            raise _differ(what, name, mine, theirs)


def compare_lapic(frozen: LapicState, dumped: LapicState, *, x2apic: bool = False, kvm: bool = False) -> None:
    """Compare one local APIC. Raises WitnessDisagreement."""
    what = "local APIC"
    _compare_equal(what, ("svr", "tpr", "ppr", "isr", "esr", "initial_count", "divide"), frozen, dumped)
    if not x2apic:
        _compare_equal(what, ("ldr", "dfr"), frozen, dumped)
    if (frozen.icr ^ dumped.icr) & ~_DELIVERY_STATUS:
        raise _differ(what, "icr", frozen.icr, dumped.icr)
    for name, raw in dumped.lvt.items():
        mine = frozen.lvt.get(name)
        if mine is not None and (mine ^ raw) & ~(_DELIVERY_STATUS | _REMOTE_IRR):
            raise _differ(what, f"LVT {name}", mine, raw)
    if not frozen.irr <= dumped.irr:
        raise _differ(what, "irr", frozen.irr, dumped.irr)
    known = frozen.isr | frozen.irr
    if frozen.tmr & known != dumped.tmr & known:
        raise _differ(what, "tmr", frozen.tmr & known, dumped.tmr & known)
    if not kvm:
        one_shot = LvtTimer(frozen.lvt["TIMER"]).TIMER_MODE == TimerMode.ONE_SHOT
        if dumped.current_count > (frozen.current_count if one_shot else frozen.initial_count):
            raise _differ(what, "current_count", frozen.current_count, dumped.current_count)


def compare_ioapic(frozen: IoApicState, dumped: IoApicState) -> None:
    """Compare the IO APIC; remote IRR may have been set since, not cleared. Raises WitnessDisagreement."""
    _compare_equal("IO APIC", ("id", "version", "select"), frozen, dumped)
    if len(frozen) != len(dumped):
        raise _differ("IO APIC", "number of entries", len(frozen), len(dumped))
    for mine, theirs in zip(frozen.entries, dumped.entries, strict=True):
        if (mine.raw ^ theirs.raw) & ~(_DELIVERY_STATUS | _REMOTE_IRR) or mine.remote_irr > theirs.remote_irr:
            raise _differ("IO APIC", f"entry {mine.pin}", mine.raw, theirs.raw)


def compare_pic(frozen: PicPairState, dumped: PicPairState) -> None:
    """Compare both chips. Raises WitnessDisagreement."""
    for chip, mine, theirs in (("master", frozen.master, dumped.master), ("slave", frozen.slave, dumped.slave)):
        _compare_equal(f"{chip} 8259", ("imr", "isr", "elcr"), mine, theirs)
        if mine.irr & ~theirs.irr:
            raise _differ(f"{chip} 8259", "irr", mine.irr, theirs.irr)


def compare_hpet(frozen: HpetState, dumped: HpetState) -> None:
    """Compare the HPET; a counter that runs may have advanced. Raises WitnessDisagreement."""
    _compare_equal("HPET", ("capabilities", "config"), frozen, dumped)
    if frozen.interrupt_status & ~dumped.interrupt_status:
        raise _differ("HPET", "interrupt_status", frozen.interrupt_status, dumped.interrupt_status)
    runs = HpetConfiguration(frozen.config).ENABLE
    gone_on = (dumped.main_counter - frozen.main_counter) % (1 << 64)
    if gone_on >= 1 << 63 or (gone_on and not runs):
        raise _differ("HPET", "main_counter", frozen.main_counter, dumped.main_counter)
    if len(frozen.timers) != len(dumped.timers):
        raise _differ("HPET", "number of timers", len(frozen.timers), len(dumped.timers))
    for number, (mine, theirs) in enumerate(zip(frozen.timers, dumped.timers, strict=True)):
        moves = runs and TimerConfiguration(mine.config).TYPE
        fields = ("config", "fsb_route") if moves else ("config", "fsb_route", "comparator")
        _compare_equal(f"HPET's timer {number}", fields, mine, theirs)


def compare_registers(frozen: Snapshot, cpu: CpuRegisters) -> None:
    """Compare control registers, system flags and descriptor tables of one processor. Raises WitnessDisagreement."""
    pairs = {
        "CR0": (frozen.read("CR0"), cpu.cr0),
        "CR2": (frozen.read("CR2"), cpu.cr2),
        "CR3": (frozen.read("CR3"), cpu.cr3),
        "CR4": (frozen.read("CR4"), cpu.cr4),
        "CR8": (frozen.read("CR8") if cpu.cr8 is not None else None, cpu.cr8),
        "EFER": (frozen.read("EFER"), cpu.efer),
        "RFLAGS": (frozen.read("RFLAGS") & _SYSTEM_FLAGS, cpu.rflags & _SYSTEM_FLAGS),
        "IDTR base": (frozen.read("IDTR_BASE"), cpu.idt.base),
        "IDTR limit": (frozen.read("IDTR_LIMIT"), cpu.idt.limit),
        "GDTR base": (frozen.read("GDTR_BASE"), cpu.gdt.base),
        "GDTR limit": (frozen.read("GDTR_LIMIT"), cpu.gdt.limit),
        "TR": (frozen.read("TR") & 0xFFFF, cpu.tr.selector),
    }
    for name, (mine, theirs) in pairs.items():
        if mine != theirs:
            raise _differ("processor", name, mine, theirs)
