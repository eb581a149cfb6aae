"""The gates at the end of a delivery path: the destination, its local APIC, the processor and its IDT.

SDM vol. 3A, "Advanced Programmable Interrupt Controller (APIC)": "Determining IPI Destination", "Handling Interrupts",
"Local APIC State After It Has Been Software Disabled"; "Interrupt and Exception Handling": "64-Bit Mode IDT".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.evidence.delivery_path import DeliveryGate, closed, gate, open_gate, unknown_gate
from harness.evidence.why import Processor, Scene
from harness.hardware.lapic import DestinationModel, Dfr, Ldr, Svr, Tpr
from harness.hardware.state import LapicState

__all__ = [
    "accepted_by",
    "apic_gates",
    "arrival",
    "destination_gate",
    "pending_in",
    "priority_gates",
    "processor_gates",
]

_BROADCAST = 0xFF


def pending_in(scene: Scene) -> Processor | None:
    """The processor in whose IRR the vector is pending."""
    return next((cpu for cpu, lapic in _local_apics(scene.processors) if scene.vector in lapic.irr), None)


def accepted_by(scene: Scene) -> Processor | None:
    """The processor that accepted the vector, in ISR, and recorded no arrival: the delivery failed behind its APIC."""
    for cpu, lapic in _local_apics(scene.processors):
        if scene.vector in lapic.isr and not scene.counts.get((cpu.number, scene.vector)):
            return cpu
    return None


def _local_apics(processors: Sequence[Processor]) -> Iterator[tuple[Processor, LapicState]]:
    for cpu in processors:
        if cpu.lapic is not None:
            yield cpu, cpu.lapic


def addressed(scene: Scene, destination: int, *, logical: bool) -> list[Processor] | None:
    """The processors that a destination of 8 bits names; `None` where that is not known."""
    if logical and scene.x2apic:
        return None
    found = []
    for cpu, lapic in _local_apics(scene.processors):
        if logical:
            if lapic.ldr is None or lapic.dfr is None:
                return None
            named = destination == _BROADCAST or _matches(lapic.ldr, lapic.dfr, destination)
        else:
            named = destination in (_BROADCAST, lapic.apic_id)
        if named:
            found.append(cpu)
    return found


def _matches(ldr: int, dfr: int, destination: int) -> bool:
    """Whether a logical destination names the local APIC (SDM, "Logical Destination Mode")."""
    mine = Ldr(ldr).LOGICAL_APIC_ID
    if Dfr(dfr).MODEL == DestinationModel.FLAT:
        return bool(mine & destination)
    return mine >> 4 == destination >> 4 and bool(mine & destination & 0xF)


def destination_gate(scene: Scene, name: str, destination: int, *, logical: bool) -> tuple[DeliveryGate, Processor]:
    """The gate of a destination field, and the processor whose gates follow."""
    targets = addressed(scene, destination, logical=logical)
    waiter = next((cpu for cpu in scene.processors if cpu.waits), scene.processors[0])
    mode = "logical" if logical else "physical"
    if targets is None:
        return unknown_gate(name, f"{destination:#04x}, {mode}: LDR is not known"), waiter
    if not targets:
        if any(cpu.lapic is None for cpu in scene.processors):
            return unknown_gate(name, f"{destination:#04x}, {mode}: an APIC is off"), waiter
        fields = "LDR.LOGICAL_APIC_ID" if logical else "APIC ID"
        ids = ", ".join(f"{_identity(lapic, logical):#x}" for _, lapic in _local_apics(scene.processors))
        return closed(
            name,
            f"{destination:#x}, {mode}: no processor",
            f"a {name.rpartition('.')[2]} that matches {fields} ({ids})",
        ), waiter
    best = min(targets, key=lambda cpu: (not cpu.started, not cpu.waits))
    return open_gate(name, f"{destination:#x}, {mode}: processor {best.number}"), best


def _identity(lapic: LapicState, logical: bool) -> int:
    return Ldr(lapic.ldr or 0).LOGICAL_APIC_ID if logical else lapic.apic_id


def apic_gates(cpu: Processor) -> Iterator[DeliveryGate]:
    """The gates by which a processor and its local APIC take any message."""
    if not cpu.started:
        yield closed(
            f"start of processor {cpu.number}",
            "not started: likely waits for SIPI",
            "INIT and SIPI (ICR.DELIVERY_MODE 5, 6)",
        )
    yield gate(
        "IA32_APIC_BASE bit 11",
        cpu.lapic is None,
        "0: local APIC disabled" if cpu.lapic is None else "1: local APIC enabled",
        "IA32_APIC_BASE.EN (bit 11) = 1",
    )
    if cpu.lapic is not None:
        on = bool(Svr(cpu.lapic.svr).ENABLE)
        yield gate("SVR.ENABLE", not on, "1" if on else "0: disabled by software", "SVR.ENABLE = 1")


def priority_gates(cpu: Processor, vector: int) -> Iterator[DeliveryGate]:
    """The gates between IRR and the processor: `vector`'s class against ISR, TPR and PPR."""
    lapic = cpu.lapic
    if lapic is None:
        return
    wanted = vector >> 4
    pending = vector in lapic.irr
    yield (open_gate if pending else unknown_gate)(
        f"IRR bit {vector:#04x}", "1: pending" if pending else "0: no request is pending"
    )
    above = max((other for other in lapic.isr if other >> 4 >= wanted), default=None)
    yield gate(
        "ISR",
        above is not None,
        "nothing of this class or above" if above is None else f"{above:#04x} in service, no EOI",
        f"a write to EOI for vector {above or 0:#04x}",
    )
    level = Tpr(lapic.tpr).PRIORITY_CLASS
    yield gate(
        "TPR.PRIORITY_CLASS",
        level >= wanted,
        f"{level:#x}, class of the vector {wanted:#x}",
        f"TPR.PRIORITY_CLASS below {wanted:#x}",
    )
    held = lapic.ppr >> 4 & 0xF
    if held >= wanted and above is None and level < wanted:
        yield unknown_gate("PPR.PRIORITY_CLASS", f"{held:#x}: neither ISR nor TPR explains it")


def processor_gates(scene: Scene, cpu: Processor, *, accepted: bool = False) -> Iterator[DeliveryGate]:
    """IF, and the gate of the IDT. `accepted`: the processor took the vector, so that IF was 1 then."""
    if accepted:
        yield open_gate("RFLAGS.IF", "1 when the vector was taken")
    elif cpu.interrupts_on is None:
        yield unknown_gate("RFLAGS.IF", "not recorded at end or checkpoint")
    else:
        asleep = ", and halted" if cpu.halted else ""
        shows = "1" if cpu.interrupts_on else f"0: interrupts are off{asleep}"
        yield gate("RFLAGS.IF", not cpu.interrupts_on, shows, "STI (RFLAGS.IF = 1)")
    yield from _idt_gates(scene, cpu)


def _idt_gates(scene: Scene, cpu: Processor) -> Iterator[DeliveryGate]:
    entry, vector = cpu.gate, scene.vector
    if not cpu.started:
        return
    if entry is None:
        yield unknown_gate(f"IDT[{vector:#04x}]", "its address is not known")
        return
    needed = vector * 16 + 15
    yield gate(
        "IDTR.limit",
        entry.beyond,
        f"below {needed:#x}: #GP" if entry.beyond else f"{needed:#x} or more",
        f"LIDT with a limit of {needed:#x} or more",
    )
    if entry.beyond:
        return
    yield gate(
        f"IDT[{vector:#04x}].P",
        not entry.present,
        "1" if entry.present else "0: #NP",
        f"P (bit 47) of gate {vector:#04x} = 1",
    )
    if entry.present:
        yield gate(
            f"IDT[{vector:#04x}].offset",
            bool(entry.leads_to),
            f"leads to {entry.leads_to.partition(' ')[0]}" if entry.leads_to else "leads to the recorder",
            f"the offset of stub_{vector:02x} in gate {vector:#04x}",
        )


def arrival(scene: Scene, cpu: Processor) -> tuple[DeliveryGate, ...]:
    """All gates of a processor, for a message that is not yet in its local APIC."""
    return (*apic_gates(cpu), *priority_gates(cpu, scene.vector), *processor_gates(scene, cpu))
