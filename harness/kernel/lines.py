"""`k.lines`: ISA interrupt lines that the guest moves itself, through `pc-testdev`."""

from __future__ import annotations

from harness.kernel.program import Program

__all__ = ["IsaLines"]

_BASE = 0x2000  # hw/misc/pc-testdev.c: one byte port for each line; bit 0 and up: any value but 0 asserts


class IsaLines:
    """Raises and lowers ISA interrupt lines. A probe that uses them declares `needs=["pc-testdev"]`.

    ISA interrupt n is wired to IO APIC pin n, interrupt 0 to pin 2, and to input n of the 8259 pair.
    """

    # Neither the system timer (0), the cascade (2), COM1 (4), the RTC (8), ACPI (9) nor, on pc, PCI (10, 11).
    free = (3, 5, 6, 7, 12, 14, 15)

    def __init__(self, program: Program) -> None:
        self._program = program

    def set(self, irq: int, level: int) -> None:
        """Drive line `irq` (0 to 15): 1 asserts it, 0 releases it."""
        if not 0 <= irq <= 15:
            raise self._program.error(f"ISA interrupt {irq}: 0 to 15 exist")
        self._program.step(
            f"ISA line {irq} {'up' if level else 'down'}",
            f"mov edx, {_BASE + irq:#x}",
            f"mov al, {int(bool(level))}",
            "out dx, al",
        )

    def up(self, *irqs: int) -> None:
        """Assert these lines, one after the other, and leave them so."""
        for irq in irqs:
            self.set(irq, 1)

    def down(self, *irqs: int) -> None:
        """Release these lines, one after the other."""
        for irq in irqs:
            self.set(irq, 0)

    def pulse(self, irq: int) -> None:
        """One rising edge: up and down again."""
        self.up(irq)
        self.down(irq)
