"""State of a run that survives a reset: a machine that may hold it serves no further run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness import abi
from harness.abi import SNAPSHOT, Boots
from harness.run.sticky_writes import sticky_write

if TYPE_CHECKING:
    from harness.evidence.run import Run
    from harness.image.image import Image, Parameters
    from harness.qemu.machine import Machine

__all__ = ["leaves_state", "outlives_reset", "stage"]

_MASKED = 1 << 16
_DELIVERY = 0b111 << 8
_NOT_MASKABLE = (0b010 << 8, 0b100 << 8, 0b101 << 8)  # SMI, NMI, INIT
_LVT_LINT0 = 0x350
_REDIRECTION_TABLE = 2  # dwords before it: ID, version
_PINS = 24


def stage(machine: Machine, image: Image, parameters: Parameters, boots: Boots) -> list[tuple[int, bytes]]:
    """Empty the machine's RAM and disks as a fresh one has them; returns the content that the next run's RAM must have.

    The runtime stays: the ROM copies it only if it was changed, else QEMU would translate it again in each run.
    """
    machine.clear(keep=(abi.RUNTIME, abi.RUNTIME + len(image.runtime.code)))
    return image.staged(parameters, boots=boots, ram=machine.ram)


def outlives_reset(snapshot: bytes) -> bool:
    """Whether an interrupt that the guest left pending would reach the next guest through the reset.

    QEMU resets processors first and controllers later. A line that rises meanwhile (the 8254's output does, in
    `pit_reset()` of hw/timer/i8254.c) still finds the old redirection entry, or the old LVT LINT0: as NMI, SMI or INIT
    it is pending at the processor that has just been reset, and is delivered before its first instruction.
    """
    at = SNAPSHOT.offset("IOAPIC")
    words = memoryview(snapshot)[at : at + 4 * (_REDIRECTION_TABLE + 2 * _PINS)].cast("I")
    entries = [words[index] for index in range(_REDIRECTION_TABLE, len(words), 2)]
    at = SNAPSHOT.offset("LAPIC") + _LVT_LINT0 // 16 * 4
    entries.append(int.from_bytes(snapshot[at : at + 4], "little"))
    return any(not entry & _MASKED and entry & _DELIVERY in _NOT_MASKABLE for entry in entries)


def leaves_state(run: Run, snapshot: bytes) -> str | None:
    """Why the machine may hold state of this run that a reset does not restore; `None` where it holds none.

    `snapshot`: what the guest's runtime read of the controllers at its end.
    """
    if run.changed_machine:
        return "the probe changed the machine through the monitor"
    if run.machine.host_wrote:
        return "a network cable was used"
    if run.machine.config.interactive:
        return "COM1 keeps what the host sent and the guest did not read"
    if outlives_reset(snapshot):
        return "an entry of the interrupt controllers would deliver an interrupt during the reset"
    return sticky_write(run.built.program.statements(), run.machine.config.target.machine)
