"""Why an interrupt that the guest waits for did not come, as sentences, from controller state alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from harness.hardware.exceptions import EXCEPTIONS
from harness.hardware.lapic import Svr
from harness.hardware.lapic_lvt import LvtTimer
from harness.hardware.state import IoApicState, LapicState, PicState

__all__ = ["GateState", "Processor", "Scene", "why_none_came"]

_MASKED = 1 << 16  # of an LVT entry
_MODE_EXTINT = 7
_BROADCAST = 0xFF
_CASCADE = 2  # input of the master 8259 that the slave is wired to
_SHOWN = 6  # other vectors that are named


@dataclass(frozen=True)
class GateState:
    """The IDT entry of a processor for the vector: `present`, and the place that it leads to.

    `leads_to` is empty where that is the recorder's stub. `beyond`: the IDT ends before the vector.
    """

    present: bool = True
    leads_to: str = ""
    beyond: bool = False


@dataclass(frozen=True)
class Processor:
    """One processor at the end of the wait. `lapic` is `None` where IA32_APIC_BASE disables it."""

    number: int
    interrupts_on: bool | None  # IF; None: not recorded
    lapic: LapicState | None
    gate: GateState | None = None  # None: unknown, for example with page tables of the probe
    started: bool = True
    waits: bool = False  # it ran the wait
    halted: bool = False


@dataclass(frozen=True)
class Scene:
    """The state that the causes follow from. `counts`: (processor, vector) → number of arrivals since the start."""

    vector: int
    processors: tuple[Processor, ...]
    counts: Mapping[tuple[int, int], int] = field(default_factory=dict)
    ioapic: IoApicState | None = None
    pics: tuple[PicState, PicState] | None = None
    keeps_eoi: bool = False  # the probe's handler sends EOI itself
    requests: frozenset[int] | None = None  # inputs of the IO APIC whose request is latched
    x2apic: bool = False


def why_none_came(scene: Scene) -> list[str]:
    """Sentences without a full stop, the decisive one first.

    A request that is held back comes first; then the path of a request, from the processor to the source; then other
    vectors that came.
    """
    found = [*_held(scene), *_gates(scene), *_in_service(scene), *_disabled(scene)]
    routes = [*_lvt(scene), *_io_apic(scene)]
    # Vectors of the 8259s may be used by other sources: their state counts only if there is no other explanation.
    found += routes or ([] if found else list(_8259(scene)))
    if not any("(IF=0)" in text for text in found):
        found += [
            f"interrupts are off on processor {cpu.number}, which waits (IF=0)"
            for cpu in scene.processors
            if cpu.waits and cpu.interrupts_on is False and len(scene.processors) == 1
        ]
    if others := _others(scene):
        found.append(others)
        return found if len(found) > 1 else [others, _not_requested(scene)]
    return found or [_not_requested(scene)]


def _not_requested(scene: Scene) -> str:
    vector = scene.vector
    ways = [f"LVT {name}" for _, lapic in _live(scene) for name, raw in lapic.lvt.items() if raw & 0xFF == vector]
    if scene.ioapic is not None:
        ways += [f"IO APIC pin {entry.pin}" for entry in scene.ioapic.entries if entry.vector == vector]
    if ways:
        return f"vector {vector:#04x} was not requested; {ways[0]} has it and is not masked: its source sent no request"
    return f"vector {vector:#04x} was not requested: no local APIC, LVT entry, IO APIC entry or 8259 has it"


def _live(scene: Scene) -> Iterator[tuple[Processor, LapicState]]:
    for cpu in scene.processors:
        if cpu.started and cpu.lapic is not None:
            yield cpu, cpu.lapic


def _held(scene: Scene) -> Iterator[str]:
    """Causes where the vector is requested and held back."""
    vector = scene.vector
    for cpu, lapic in _live(scene):
        if vector not in lapic.irr:
            continue
        head = f"vector {vector:#04x} is pending in the local APIC of processor {cpu.number} (IRR)"
        above = [other for other in lapic.isr if other >> 4 >= vector >> 4]
        reasons = []
        if cpu.interrupts_on is False:
            reasons.append("interrupts are off there (IF=0)")
        if not Svr(lapic.svr).ENABLE:
            reasons.append("the local APIC is disabled by software (SVR bit 8 is 0)")
        if lapic.tpr >> 4 >= vector >> 4:
            reasons.append(f"the task priority holds it back (TPR={lapic.tpr:#04x})")
        if above:
            reasons.append(f"vector {max(above):#04x} is still in service there (ISR), as no EOI was sent for it")
        if reasons:
            yield f"{head}, but {' and '.join(reasons)}"
        else:
            yield f"{head}, and nothing holds it back: it came after the end of the wait"


def _in_service(scene: Scene) -> Iterator[str]:
    for cpu, lapic in _live(scene):
        if scene.vector in lapic.isr and scene.vector not in lapic.irr:
            sender = "; its handler has eoi=False, so that the probe must send it" if scene.keeps_eoi else ""
            yield (
                f"vector {scene.vector:#04x} is still in service on processor {cpu.number} (ISR): "
                f"no EOI was sent for its last delivery{sender}"
            )


def _gates(scene: Scene) -> Iterator[str]:
    for cpu in scene.processors:
        gate = cpu.gate
        if gate is None or not cpu.started:
            continue
        if gate.beyond:
            yield f"the IDT of processor {cpu.number} ends before vector {scene.vector:#04x}: its delivery raises #GP"
        elif not gate.present:
            yield (
                f"the IDT gate of vector {scene.vector:#04x} on processor {cpu.number} is not present (P=0): "
                "its delivery raises #NP"
            )
        elif gate.leads_to:
            yield (
                f"the IDT gate of vector {scene.vector:#04x} on processor {cpu.number} leads to {gate.leads_to}, "
                "not to the recorder, so that no arrival is counted"
            )


def _disabled(scene: Scene) -> Iterator[str]:
    for cpu in scene.processors:
        if not cpu.started:
            continue
        if cpu.lapic is None:
            yield f"the local APIC of processor {cpu.number} is disabled (IA32_APIC_BASE bit 11 is 0)"
        elif not Svr(cpu.lapic.svr).ENABLE and scene.vector not in cpu.lapic.irr:
            yield f"the local APIC of processor {cpu.number} is disabled by software (SVR bit 8 is 0)"


def _lvt(scene: Scene) -> Iterator[str]:
    for cpu, lapic in _live(scene):
        for name, raw in lapic.lvt.items():
            if raw & 0xFF != scene.vector or (name != "TIMER" and raw >> 8 & 7):
                continue
            head = f"LVT {name} of processor {cpu.number} has vector {scene.vector:#04x}"
            if raw & _MASKED:
                yield f"{head} and is masked (bit 16 is 1)"
            elif name == "TIMER" and LvtTimer(raw).TIMER_MODE < 2 and not lapic.initial_count:
                yield f"{head}, but the timer does not run: its initial count is 0"
            elif name == "TIMER" and LvtTimer(raw).TIMER_MODE == 0 and lapic.current_count:
                yield f"{head}, and the timer still counts: {lapic.current_count} of {lapic.initial_count} are left"


def _io_apic(scene: Scene) -> Iterator[str]:
    if scene.ioapic is None:
        return
    identifiers = {lapic.apic_id for _, lapic in _live(scene)}
    seen = any(scene.vector in lapic.irr | lapic.isr for _, lapic in _live(scene))
    for entry in scene.ioapic.entries:
        if entry.vector != scene.vector or entry.delivery_mode > 1:
            continue
        head = f"IO APIC pin {entry.pin} has vector {scene.vector:#04x}"
        if entry.masked:
            yield f"{head} and is masked (bit 16 of its entry is 1)"
        elif entry.level and entry.remote_irr and not seen:
            yield f"{head} and waits for an EOI (Remote IRR is 1)"
        elif not entry.logical and entry.destination not in identifiers | {_BROADCAST}:
            has = ", ".join(map(str, sorted(identifiers)))
            yield f"{head} and sends it to APIC ID {entry.destination}, which no started processor has ({has})"


def _8259(scene: Scene) -> Iterator[str]:
    if scene.pics is None:
        return
    for name, chip, first in zip(("master", "slave"), scene.pics, (0, 8), strict=True):
        if chip.base is None or not chip.base <= scene.vector < chip.base + 8:
            continue
        number = scene.vector - chip.base
        head = f"input {number} of the {name} 8259 (IRQ {first + number}) has vector {scene.vector:#04x}"
        master = scene.pics[0]
        above = [other for other in range(number + 1) if chip.isr >> other & 1]
        if chip.imr >> number & 1:
            yield f"{head} and is masked (IMR bit {number} is 1)"
        elif name == "slave" and master.imr >> _CASCADE & 1:
            yield f"{head}, but the master's cascade input {_CASCADE} is masked (IMR bit {_CASCADE} is 1)"
        elif above:
            yield f"{head}, and input {above[0]} is still in service there (ISR): the 8259 was sent no EOI"
        elif chip.irr >> number & 1:
            yield f"{head} and is pending (IRR), {_not_taken(scene)}"


def _not_taken(scene: Scene) -> str:
    """Why processor 0 does not accept the request of the 8259."""
    first = scene.processors[0]
    if first.lapic is not None:
        lint0 = first.lapic.lvt.get("LINT0", 0)
        if lint0 & _MASKED:
            return "but LVT LINT0 of processor 0, through which it comes, is masked (bit 16 is 1)"
        if lint0 >> 8 & 7 != _MODE_EXTINT:
            return "but LVT LINT0 of processor 0, through which it comes, is not in the mode ExtINT"
    if first.interrupts_on is False:
        return "but interrupts are off on processor 0 (IF=0)"
    return "and nothing holds it back: it came after the end of the wait"


def _others(scene: Scene) -> str:
    """What came besides."""
    counts: dict[int, int] = {}
    for (_, vector), number in scene.counts.items():
        if vector != scene.vector:
            counts[vector] = counts.get(vector, 0) + number
    if not counts:
        return ""
    most = sorted(counts.items(), key=lambda item: -item[1])
    shown = [f"{_name(vector)} × {number}" for vector, number in most[:_SHOWN]]
    if len(most) > _SHOWN:
        shown.append(f"{len(most) - _SHOWN} more")
    return f"{', '.join(shown)} came instead"


def _name(vector: int) -> str:
    row = EXCEPTIONS.get(vector)
    return row.mnemonic if row else f"{vector:#04x}"
