"""The sources that name a vector, each with the gates of its path: IO APIC, LVT, ICR and 8259.

82093AA datasheet, "I/O Redirection Table"; SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": "Local
Vector Table", "APIC Timer", "Interrupt Command Register (ICR)", "Valid Interrupt Vectors"; 8259A datasheet, "Interrupt
Sequence", "Initialization Command Words", "Operation Command Words"; MultiProcessor Specification, "Virtual Wire Mode".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from harness.evidence.delivery_path import DeliveryGate, GateOpening, closed, gate, open_gate, unknown_gate
from harness.evidence.delivery_target import arrival, destination_gate, processor_gates
from harness.evidence.why import Processor, Scene
from harness.hardware.lapic import DestinationShorthand, IcrHigh, IcrLow
from harness.hardware.lapic_lvt import LvtLint, LvtTimer, TimerMode
from harness.hardware.message import DeliveryMode
from harness.hardware.state import LapicState, PicState, RedirectionState

__all__ = ["Source", "sources"]

_FIRST_VECTOR = 16  # that a local APIC accepts
_FIXED = (DeliveryMode.FIXED, DeliveryMode.LOWEST_PRIORITY)
_CASCADE = 2


@dataclass(frozen=True)
class Source:
    """One source. `requested`: its controller shows the request of its input."""

    name: str
    gates: tuple[DeliveryGate, ...]
    requested: bool = False

    @property
    def first_closed(self) -> DeliveryGate | None:
        """The first closed gate of its path."""
        return next((each for each in self.gates if each.state is GateOpening.CLOSED), None)


def sources(scene: Scene) -> list[Source]:
    """All sources that name the vector, the likeliest first: a visible request, then a closed gate."""
    found = [*_interrupt_commands(scene), *_io_apic(scene), *_local_vectors(scene), *_8259s(scene)]
    return sorted(found, key=lambda source: (not source.requested, source.first_closed is None))


def _mode(name: str, value: int) -> DeliveryGate:
    text = DeliveryMode(value).name if value in set(DeliveryMode) else f"{value} (reserved)"
    return gate(name, value not in _FIXED, text, f"{name} = 0 (fixed)")


def _vector(name: str, vector: int) -> DeliveryGate:
    return gate(
        name,
        vector < _FIRST_VECTOR,
        f"{vector:#04x}" + (": illegal, below 0x10" if vector < _FIRST_VECTOR else ""),
        f"{name} of 0x10 or more",
    )


# --- IO APIC ---


def _io_apic(scene: Scene) -> Iterator[Source]:
    if scene.ioapic is None:
        return
    for entry in scene.ioapic.entries:
        # An entry as reset leaves it is masked and has vector 0.
        if entry.vector == scene.vector and entry.raw != 1 << 16:
            latched = scene.requests is not None and entry.pin in scene.requests
            yield Source(f"IO APIC pin {entry.pin}", tuple(_entry(scene, entry, latched)), latched)


def _entry(scene: Scene, entry: RedirectionState, latched: bool) -> Iterator[DeliveryGate]:
    name = f"IOREDTBL[{entry.pin}]"
    if latched:
        yield open_gate(f"input of pin {entry.pin}", "a request is latched")
    else:
        yield unknown_gate(f"input of pin {entry.pin}", "no request is latched")
    yield _vector(f"{name}.VECTOR", entry.vector)
    yield _mode(f"{name}.DELIVERY_MODE", entry.delivery_mode)
    yield gate(f"{name}.MASK", entry.masked, "1: masked" if entry.masked else "0", f"{name}.MASK = 0")
    if entry.level:
        yield gate(
            f"{name}.REMOTE_IRR",
            bool(entry.remote_irr),
            "1: no EOI for the last one" if entry.remote_irr else "0",
            f"an EOI for {entry.vector:#04x}",
        )
    elif entry.remote_irr:
        yield unknown_gate(f"{name}.REMOTE_IRR", "1, left over: TRIGGER_MODE is edge")
    aim, cpu = destination_gate(scene, f"{name}.DESTINATION", entry.destination, logical=entry.logical)
    yield aim
    yield from arrival(scene, cpu)


# --- the local vector table ---


def _local_vectors(scene: Scene) -> Iterator[Source]:
    for cpu in scene.processors:
        if cpu.lapic is None or not cpu.started:
            continue
        for name, raw in cpu.lapic.lvt.items():
            mode = DeliveryMode.FIXED if name == "TIMER" else LvtLint(raw).DELIVERY_MODE
            # ExtINT and NMI do not use the vector; a masked entry with vector 0 is one after reset.
            if raw & 0xFF != scene.vector or mode in (DeliveryMode.EXTINT, DeliveryMode.NMI) or raw == 1 << 16:
                continue
            gates = [*_local_vector(name, raw, cpu.lapic), *arrival(scene, cpu)]
            yield Source(f"LVT {name} of processor {cpu.number}", tuple(gates))


def _local_vector(name: str, raw: int, lapic: LapicState) -> Iterator[DeliveryGate]:
    entry = f"LVT {name}"
    yield _vector(f"{entry}.VECTOR", raw & 0xFF)
    if name != "TIMER":
        yield _mode(f"{entry}.DELIVERY_MODE", LvtLint(raw).DELIVERY_MODE)
        yield _lvt_mask(entry, raw, lapic)
        return
    yield from _timer(LvtTimer(raw), lapic)


def _lvt_mask(entry: str, raw: int, lapic: LapicState) -> DeliveryGate:
    masked = bool(LvtLint(raw).MASK)
    forced = masked and not lapic.svr >> 8 & 1
    opens = f"SVR.ENABLE = 1, then {entry}.MASK = 0" if forced else f"{entry}.MASK = 0"
    return gate(
        f"{entry}.MASK", masked, f"1: masked{', as SVR.ENABLE is 0' if forced else ''}" if masked else "0", opens
    )


def _timer(entry: LvtTimer, lapic: LapicState) -> Iterator[DeliveryGate]:
    yield _lvt_mask("LVT TIMER", int(entry), lapic)
    mode = int(entry.TIMER_MODE)
    if mode not in set(TimerMode):
        yield closed("LVT TIMER.TIMER_MODE", f"{mode} (reserved)", "LVT TIMER.TIMER_MODE = 0, 1 or 2")
        return
    yield open_gate("LVT TIMER.TIMER_MODE", TimerMode(mode).name)
    if mode == TimerMode.TSC_DEADLINE:
        yield unknown_gate("IA32_TSC_DEADLINE", "not recorded; INITIAL_COUNT has no effect")
        return
    count = "INITIAL_COUNT"
    if not lapic.initial_count:
        yield closed(count, "0: the timer is not started", f"{count} other than 0")
    elif mode == TimerMode.ONE_SHOT and not lapic.current_count:
        yield closed("CURRENT_COUNT", "0: one-shot, already expired", f"a new write to {count}")
    elif mode == TimerMode.ONE_SHOT:
        yield closed(
            "CURRENT_COUNT", f"{lapic.current_count:#x}: not expired yet", f"a smaller {count}, or a longer wait"
        )
    else:
        yield open_gate(count, f"{lapic.initial_count:#x}, periodic")


# --- interprocessor interrupts ---


def _interrupt_commands(scene: Scene) -> Iterator[Source]:
    for cpu in scene.processors:
        if cpu.lapic is None or not cpu.started or not cpu.lapic.icr:
            continue
        low = IcrLow(cpu.lapic.icr & 0xFFFF_FFFF)
        if scene.vector == low.VECTOR and low.DELIVERY_MODE in _FIXED:
            yield Source(f"the IPI that ICR of processor {cpu.number} has", tuple(_command(scene, cpu, cpu.lapic, low)))


def _command(scene: Scene, cpu: Processor, lapic: LapicState, low: IcrLow) -> Iterator[DeliveryGate]:
    yield _vector("ICR.VECTOR", low.VECTOR)
    shorthand = DestinationShorthand(low.DESTINATION_SHORTHAND)
    others = [other for other in scene.processors if other.number != cpu.number]
    match shorthand:
        case DestinationShorthand.NO_SHORTHAND if scene.x2apic:
            yield unknown_gate("ICR.DESTINATION", f"{lapic.icr >> 32:#x} (x2APIC)")
            return
        case DestinationShorthand.NO_SHORTHAND:
            destination = IcrHigh(lapic.icr >> 32).DESTINATION
            aim, target = destination_gate(scene, "ICR.DESTINATION", destination, logical=bool(low.DESTINATION_MODE))
            yield aim
        case DestinationShorthand.ALL_EXCLUDING_SELF if not others:
            yield closed(
                "ICR.DESTINATION_SHORTHAND", "3, and there is no other processor", "DESTINATION_SHORTHAND = 1 or 2"
            )
            target = cpu
        case DestinationShorthand.ALL_EXCLUDING_SELF:
            yield open_gate("ICR.DESTINATION_SHORTHAND", shorthand.name)
            target = min(others, key=lambda other: (not other.started, not other.waits))
        case _:
            yield open_gate("ICR.DESTINATION_SHORTHAND", shorthand.name)
            target = cpu
    yield from arrival(scene, target)


# --- 8259 and the virtual wire ---


def _8259s(scene: Scene) -> Iterator[Source]:
    if scene.pics is None:
        return
    for which, chip, first in zip(("master", "slave"), scene.pics, (0, 8), strict=True):
        # Vector base 0 is that of a chip without ICW2; exceptions have these vectors.
        if chip.base and chip.base <= scene.vector < chip.base + 8:
            number = scene.vector - chip.base
            requested = bool(chip.irr >> number & 1)
            gates = (*_inputs(which, chip, number, scene.pics[0]), *_virtual_wire(scene))
            yield Source(f"{which} 8259 input {number} (IRQ {first + number})", gates, requested)


def _inputs(which: str, chip: PicState, number: int, master: PicState) -> Iterator[DeliveryGate]:
    requested = bool(chip.irr >> number & 1)
    shows = f"IR{number}: a request is latched" if requested else f"IR{number}: no request is latched"
    yield (open_gate if requested else unknown_gate)(f"{which} IRR", shows)
    yield _mask(which, chip, number)
    yield _in_service(which, chip, number)
    if which == "slave":
        yield _mask("master", master, _CASCADE, ", the cascade")
        # The master blocks the slave while IR2 is in service, unless it is in special fully nested mode.
        yield _in_service("master", master, _CASCADE)


def _mask(which: str, chip: PicState, number: int, what: str = "") -> DeliveryGate:
    masked = chip.imr >> number & 1
    return gate(
        f"{which} IMR bit {number}",
        bool(masked),
        f"{masked}: masked{what}" if masked else "0",
        f"{which} IMR (OCW1) bit {number} = 0",
    )


def _in_service(which: str, chip: PicState, number: int) -> DeliveryGate:
    if chip.priority_add:
        return unknown_gate(f"{which} ISR", f"{chip.isr:#04x}, priorities are rotated")
    above = next((other for other in range(number + 1) if chip.isr >> other & 1), None)
    shows = "no input of this priority or above" if above is None else f"IR{above} in service, no EOI"
    return gate(f"{which} ISR", above is not None, shows, f"OCW2.EOI = 1 to the {which} for IR{above}")


def _virtual_wire(scene: Scene) -> Iterator[DeliveryGate]:
    """The 8259's INTR reaches processor 0 by LINT0, or directly where the local APIC is globally disabled."""
    cpu = scene.processors[0]
    entries = scene.ioapic.entries if scene.ioapic is not None else ()
    through = next((each for each in entries if each.delivery_mode == DeliveryMode.EXTINT and not each.masked), None)
    if through is not None:
        yield open_gate(f"IOREDTBL[{through.pin}]", "EXTINT, not masked")
    elif cpu.lapic is None:
        yield open_gate("IA32_APIC_BASE bit 11", "0: INTR reaches the processor")
    else:
        raw = cpu.lapic.lvt.get("LINT0", 0)
        mode = LvtLint(raw).DELIVERY_MODE
        yield _lvt_mask("LVT LINT0", raw, cpu.lapic)
        yield gate(
            "LVT LINT0.DELIVERY_MODE",
            mode != DeliveryMode.EXTINT,
            DeliveryMode(mode).name if mode in set(DeliveryMode) else f"{mode}",
            "LVT LINT0.DELIVERY_MODE = 7 (ExtINT)",
        )
    yield from processor_gates(scene, cpu)
