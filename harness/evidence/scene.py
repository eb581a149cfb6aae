"""The state of a machine whose guest waited for an interrupt that did not come, collected for `why_none_came`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from harness import abi
from harness.evidence.failures import RunFailure
from harness.evidence.recorder import read_counts
from harness.evidence.snapshots import Snapshot
from harness.evidence.why import GateState, Processor, Scene
from harness.hardware.cpu import Rflags
from harness.hardware.state import IoApicState, LapicState, PicState
from harness.image.image import Image
from harness.qemu.dumps import CpuRegisters
from harness.qemu.errors import QemuError

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["gate_of", "scene_from", "scene_of"]

_X2APIC = 2  # SNAP_APIC_MODE
_ALIASES = (abi.HIGH_ALIAS, abi.USER_ALIAS, 0)


def scene_of(
    machine: Machine, image: Image, run_id: int, vector: int, online: int, waiter: int, rflags: int | None
) -> Scene:
    """The scene of a wait for `vector` on processor `waiter`.

    Its local APIC is the guest's frozen copy where the guest ended the wait itself; `rflags` are those of the wait, or
    `None` for those that QMP shows. `online`: bit n is 1 if processor n was started. Raises QemuError.
    """
    scene = scene_from(machine, image, vector, online, waiter, _frozen(machine, run_id))
    if rflags is None:
        return scene
    own = bool(Rflags(rflags).IF)
    return replace(
        scene, processors=tuple(replace(cpu, interrupts_on=own) if cpu.waits else cpu for cpu in scene.processors)
    )


def scene_from(machine: Machine, image: Image, vector: int, online: int, waiter: int, frozen: Snapshot | None) -> Scene:
    """The scene with `frozen`, the guest's copy of the state that processor `waiter` had. Raises QemuError.

    The guest froze that copy with interrupts off, so IF of the waiter is not recorded then.
    """
    processors = []
    for cpu in machine.registers():
        own = cpu.cpu == waiter
        lapic = _lapic(machine, cpu.cpu, frozen if own else None)
        interrupts_on = None if own and frozen is not None else bool(Rflags(cpu.rflags).IF)
        gate = gate_of(machine, image, cpu, vector)
        started = bool(online >> cpu.cpu & 1)
        halted = cpu.halted and not (own and frozen is not None)  # it may halt after its copy
        processors.append(Processor(cpu.cpu, interrupts_on, lapic, gate, started, own, halted))
    ioapic, pics = _controllers(machine)
    requests = ioapic.irr if ioapic is not None else None
    if frozen is not None:
        ioapic = frozen.ioapic
    keeps = bool(machine.ram[abi.NO_EOI + vector])
    x2apic = frozen is not None and frozen.apic_mode == _X2APIC
    return Scene(vector, tuple(processors), read_counts(machine.ram), ioapic, pics, keeps, requests, x2apic)


def _frozen(machine: Machine, run_id: int) -> Snapshot | None:
    try:
        return Snapshot(machine.ram, abi.SNAPSHOTS, run_id, 0, "the end of the run")
    except RunFailure:
        return None


def _lapic(machine: Machine, number: int, frozen: Snapshot | None) -> LapicState | None:
    if frozen is None:
        return machine.lapic(number)
    return frozen.lapic if frozen.apic_mode else None


def _controllers(machine: Machine) -> tuple[IoApicState | None, tuple[PicState, PicState] | None]:
    try:
        ioapic, master, slave = machine.pics()
    except QemuError:  # no IO APIC, or no 8259s
        return None, None
    return ioapic, (master, slave)


def gate_of(machine: Machine, image: Image, cpu: CpuRegisters, vector: int) -> GateState | None:
    """The vector's gate in the processor's IDT; `None` where its address cannot be determined."""
    if vector * 16 + 15 > cpu.idt.limit:
        return GateState(beyond=True)
    base = next(cpu.idt.base - alias for alias in _ALIASES if cpu.idt.base >= alias)
    if cpu.cr3 != abi.PAGE_TABLES or base + 16 * vector + 16 > len(machine.ram):
        return None
    entry = machine.memory(base + 16 * vector, 16)
    target = int.from_bytes(entry[0:2] + entry[6:8] + entry[8:12], "little")
    expected: Mapping[int, str] = {image.symbols[f"stub_{vector:02x}"]: "", image.symbols["user_exit"]: ""}
    leads_to = expected.get(target % abi.USER_ALIAS, image.symbolise(target))
    return GateState(present=bool(entry[5] & 0x80), leads_to=leads_to)
