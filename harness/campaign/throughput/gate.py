"""`CountingGate`: a gate whose handler only counts, without the recorder.

The time measured is that of controllers and gate, not that of the recorder.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.hardware.lapic import LocalApic
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot

__all__ = ["CountingGate", "sleep_until"]


class CountingGate:
    """`taken`: how often the vector arrived, since the start."""

    def __init__(self, k: Kernel, vector: int, acknowledge: Sequence[str] = ()) -> None:
        """Write the handler. `acknowledge`: instructions that acknowledge the device; they may clobber RAX, RCX, RDX
        and RDI."""
        self.k = k
        self.vector = vector
        program = k.program
        self.taken = k.value(program.fresh_value_name("taken"))
        k.store(self.taken, 0)
        label = program.unique("counting_gate")
        with program.elsewhere(label):
            program.step(
                f"count vector {vector:#04x}",
                *(f"push {register}" for register in ("rax", "rcx", "rdx", "rdi")),
                *acknowledge,
                f"inc {slot(self.taken)}",
                "xor eax, eax",
                *k.bus.store(LocalApic(k.bus, name="lapic").EOI.place),
                *(f"pop {register}" for register in ("rdi", "rdx", "rcx", "rax")),
                "iretq",
            )
        k.tables.gate_offset(vector, label)

    def expect_one(self) -> list[str]:
        """Instructions ahead of a cause: RBX = what `taken` will be."""
        return [f"mov rbx, {slot(self.taken)}", "inc rbx"]

    def spin(self) -> list[str]:
        """Instructions that wait for it, for a cause that interrupts at once."""
        again = self.k.program.unique("spin")
        return [f"{again}:", f"cmp {slot(self.taken)}, rbx", f"jb {again}"]

    def sleep(self) -> list[str]:
        """Instructions that wait for it with HLT, for a cause that takes longer."""
        return sleep_until(self.k, f"cmp {slot(self.taken)}, rbx", enough="jae")


def sleep_until(k: Kernel, *compare: str, enough: str = "je") -> list[str]:
    """Instructions: HLT between interrupts until the jump `enough` is taken after `compare`.

    Interrupts are on before and after.
    """
    again, done = k.program.unique("asleep"), k.program.unique("awake")
    # STI's shadow reaches over the HLT: no interrupt slips in between.
    return [f"{again}:", "cli", *compare, f"{enough} {done}", "sti", "hlt", f"jmp {again}", f"{done}:", "sti"]
