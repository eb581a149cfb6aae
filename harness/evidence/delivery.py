"""The delivery path of a vector that did not arrive, from the state of the controllers alone."""

from __future__ import annotations

from harness.evidence.delivery_path import DeliveryPath, open_gate, unknown_gate
from harness.evidence.delivery_sources import Source, sources
from harness.evidence.delivery_target import (
    accepted_by,
    apic_gates,
    arrival,
    pending_in,
    priority_gates,
    processor_gates,
)
from harness.evidence.failures import Section, SectionKind
from harness.evidence.why import Scene
from harness.one_line import one_line

__all__ = ["delivery_path", "path_sections", "unexplained"]

_EXCEPTIONS = 32  # vectors below are exceptions and the NMI


def delivery_path(scene: Scene) -> DeliveryPath:
    """The path from the likely source of the scene's vector, with every gate that the state shows.

    A request that is in a local APIC has passed its source, so that the path begins there.
    """
    named = sources(scene)
    vector = scene.vector
    names = tuple(source.name for source in named)
    came = sum(number for (_, at), number in scene.counts.items() if at == vector)
    note = f"Arrivals of {vector:#04x} before: {came}." if came else ""
    if (cpu := accepted_by(scene)) is not None:
        taken = open_gate(f"ISR bit {vector:#04x}", f"1: processor {cpu.number} took the vector")
        gates = (taken, *processor_gates(scene, cpu, accepted=True))
        return DeliveryPath(vector, f"the local APIC of processor {cpu.number}", gates, names, certain=True, note=note)
    if (cpu := pending_in(scene)) is not None:
        gates = (*apic_gates(cpu), *priority_gates(cpu, vector), *processor_gates(scene, cpu))
        return DeliveryPath(vector, f"the local APIC of processor {cpu.number}", gates, names, certain=True, note=note)
    if not named:
        waiter = next((cpu for cpu in scene.processors if cpu.waits), scene.processors[0])
        return DeliveryPath(vector, "", arrival(scene, waiter), note=note or _uninitialised(scene))
    first, *rest = named
    return DeliveryPath(vector, first.name, first.gates, tuple(map(_summary, rest)), note=note)


def _summary(source: Source) -> str:
    shut = source.first_closed
    return f"{source.name}: {f'closed at {shut.name}' if shut else 'no gate is closed as far as is known'}"


def _uninitialised(scene: Scene) -> str:
    if scene.pics is not None and not any(chip.base for chip in scene.pics):
        return (
            "The 8259s have no vector base, so they are likely not initialised: ICW1 to ICW4, with the base in "
            "ICW2.T7_T3, open them."
        )
    return ""


def path_sections(scene: Scene) -> tuple[Section, ...]:
    """The section "Delivery path" of a report; none for an exception that no interrupt source names. Never raises."""
    try:
        path = delivery_path(scene)
        if scene.vector < _EXCEPTIONS and not path.source:
            return ()
        text = str(path)
    except Exception as error:  # the verdict must not depend on its explanation
        text = one_line(f"not known: {type(error).__name__}: {error}")
    return (Section("Delivery path", text, SectionKind.FINDING),)


def unexplained(vector: int, error: Exception) -> DeliveryPath:
    """The path of which nothing is known, because the state could not be read."""
    reason = one_line(f"The state could not be read: {type(error).__name__}: {error}")
    return DeliveryPath(vector, "a source that is not known", (unknown_gate("every gate", ""),), note=reason)
