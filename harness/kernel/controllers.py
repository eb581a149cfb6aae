"""The builder's controllers: the register maps, with the verbs that several probes need."""

from __future__ import annotations

from harness.hardware.block import Value
from harness.hardware.hpet import Hpet
from harness.hardware.ioapic import IoApic, IoApicWindow, RedirectionEntry
from harness.hardware.lapic import DeliveryMode, LocalApic, VectorBits
from harness.hardware.lapic_lvt import DivideValue
from harness.hardware.pic8259 import Inputs, Ocw3, Pic8259, PicMaster, PicSlave, PollWord, ReadSelect
from harness.hardware.pit8254 import Pit8254, PitControlWord
from harness.hardware.platform import Platform
from harness.kernel.bus import StagedBus, slot
from harness.kernel.checks import check_number
from harness.kernel.program import Program, TargetLacks
from harness.kernel.speaker import SpeakerChannel

__all__ = ["HpetControl", "IoApicControl", "LocalApicControl", "PicPair", "PitControl"]


class LocalApicControl(LocalApic):
    """This processor's local APIC in xAPIC mode, at its default base."""

    NAME = "lapic"

    def send(self, *, destination: int = 0, **fields: int) -> None:
        """Send an interprocessor interrupt: ICR high, then ICR low, whose write sends it. Fields of `IcrLow`."""
        self.ICR_HIGH.write(DESTINATION=destination)
        self.ICR_LOW.write(**fields)

    def self_ipi(self, vector: int) -> None:
        """A fixed interrupt to this processor, by destination shorthand."""
        self.ICR_LOW.write(VECTOR=vector, DESTINATION_SHORTHAND=1, LEVEL=1)

    def virtual_wire(self) -> None:
        """LINT0 = ExtINT, unmasked: the 8259's INTR reaches the processor, and INTA cycles reach the 8259."""
        self.LVT_LINT0.write(DELIVERY_MODE=DeliveryMode.EXTINT)

    def start_timer(self, vector: int, count: int, *, divisor: int | None = None, **fields: int) -> None:
        """Program the timer's LVT entry (`fields` of `LvtTimer`; one-shot without), and start it at `count`.

        The divider is written where `divisor` is given only. After a reset it divides by 2.
        Raises `FieldError` unless it is a power of two from 1 to 128.
        """
        if divisor is not None:
            self.DIVIDE_CONFIGURATION.write(DIVIDE_VALUE=DivideValue.by(divisor))
        self.LVT_TIMER.write(VECTOR=vector, **fields)
        self.INITIAL_COUNT.write(count)

    def eoi(self) -> None:
        """End the interrupt in service that has the highest priority: a write of 0 to the EOI register."""
        self.EOI.write(0)

    def requested(self, vector: int, name: str | None = None) -> Value[VectorBits]:
        """Read the 32 bits of the IRR that hold this vector's: bit `vector % 32`."""
        return self.IRR[vector // 32].read(name)

    def in_service(self, vector: int, name: str | None = None) -> Value[VectorBits]:
        """Read the 32 bits of the ISR that hold this vector's: bit `vector % 32`."""
        return self.ISR[vector // 32].read(name)


class IoApicControl(IoApic):
    """The IO APIC behind its index and data window, and the window itself."""

    NAME = "ioapic"

    @property
    def window(self) -> IoApicWindow:
        """IOREGSEL, IOWIN and, from version 20h on, the EOI register."""
        return IoApicWindow(self.bus, self.base, name="ioapic.window")

    def redirect(self, pin: int, vector: int, **fields: int) -> None:
        """Program and unmask an entry: fixed, physical, processor 0, edge, active high, unless `fields` change it.

        Fields of `RedirectionEntry`.
        """
        self.REDIRECTION[pin].ENTRY.write(int(RedirectionEntry.of(VECTOR=vector, **fields)))

    def redirect_pci(self, pin: int, vector: int, **fields: int) -> None:
        """The same for a pin that INTx# of PCI functions drives: level-triggered, active low."""
        self.redirect(pin, vector, **{"TRIGGER_MODE": 1, "POLARITY": 1, **fields})

    def mask(self, pin: int) -> None:
        """Set the mask bit, leave the rest."""
        self.REDIRECTION[pin].LOW.update(MASK=1)

    def unmask(self, pin: int) -> None:
        """Clear the mask bit, leave the rest."""
        self.REDIRECTION[pin].LOW.update(MASK=0)


class PicPair:
    """Both 8259s."""

    def __init__(self, program: Program, bus: StagedBus) -> None:
        self._program = program
        self.MASTER = PicMaster(bus, name="pic.master")
        self.SLAVE = PicSlave(bus, name="pic.slave")
        self._bases = (0x20, 0x28)  # of the runtime's own initialisation

    def initialize(self, base: int = 0x20, *, slave_base: int | None = None, **icw4: int) -> None:
        """ICW1–ICW4 of both chips: edge, cascade on IR2, 8086 mode; then everything masked. Fields of `Icw4`."""
        second = base + 8 if slave_base is None else slave_base
        self._bases = (base, second)
        for chip, vectors in ((self.MASTER, base), (self.SLAVE, second)):
            chip.ICW1.write(INITIALIZE=1, IC4=1)
            chip.ICW2.write(vectors)
            if isinstance(chip, PicMaster):
                chip.ICW3.write(1 << 2)
            else:
                chip.ICW3.write(2)
            chip.ICW4.write(**{"UPM": 1, **icw4})
            chip.OCW1.write(0xFF)

    def vector(self, irq: int) -> int:
        """The vector of an input (0–15): bits 7:3 of the base that `initialize` set last, and the number at its chip.

        Intel 8259A datasheet, "Initialization Command Words 1 and 2 (ICW1, ICW2)".
        """
        return self._bases[irq // 8] & ~7 | irq & 7

    def level(self, *irqs: int) -> None:
        """Make exactly these inputs (0–15) level-triggered in the ELCR, all others edge-triggered.

        Intel 82371AB (PIIX4) datasheet, "ELCR1—Edge/Level Control Register"; ELCR2.
        """
        for irq in irqs:
            check_number(self._program, "k.pic.level: the input", irq, 0, 15)
        bits = sum(1 << irq for irq in set(irqs))
        self.MASTER.ELCR.write(bits & 0xFF)
        self.SLAVE.ELCR.write(bits >> 8)

    def chip(self, irq: int) -> PicMaster | PicSlave:
        """The chip of an input (0–15): the master has 0–7, the slave 8–15."""
        return self.MASTER if irq < 8 else self.SLAVE

    def unmask(self, *irqs: int) -> None:
        """Let exactly these inputs (0–15) through; a slave's input brings its cascade input along."""
        master = slave = 0xFF
        for irq in irqs:
            if irq >= 8:
                slave &= ~(1 << (irq - 8))
                master &= ~(1 << 2)
            else:
                master &= ~(1 << irq)
        self.SLAVE.OCW1.write(slave)
        self.MASTER.OCW1.write(master)

    def irr(self, chip: Pic8259, name: str | None = None) -> Value[Inputs]:
        """Select the IRR of one chip and read it."""
        chip.OCW3.write(int(Ocw3.command(READ=ReadSelect.IRR)))
        return chip.STATUS.read(name)

    def isr(self, chip: Pic8259, name: str | None = None) -> Value[Inputs]:
        """Select the ISR of one chip and read it."""
        chip.OCW3.write(int(Ocw3.command(READ=ReadSelect.ISR)))
        return chip.STATUS.read(name)

    def poll(self, chip: Pic8259, name: str | None = None) -> Value[PollWord]:
        """Poll command and the read that acknowledges what it gives."""
        chip.OCW3.write(int(Ocw3.command(POLL=1)))
        return chip.POLL.read(name)

    def eoi(self, irq: int) -> None:
        """Non-specific end of interrupt for an input: the slave's inputs need one at each chip."""
        if irq >= 8:
            self.SLAVE.OCW2.write(0x20)
        self.MASTER.OCW2.write(0x20)


class PitControl(Pit8254):
    """The 8254 and port 61h."""

    NAME = "pit"

    def __init__(self, program: Program, bus: StagedBus, platform: Platform) -> None:
        super().__init__(bus)
        self._program = program
        self._platform = platform

    @property
    def speaker(self) -> SpeakerChannel:
        """Channel 2: its gate and its output. Raises `TargetLacks` where there is no port 61h."""
        if not self._platform.has_port_61:
            raise TargetLacks(f"{self._platform.name} has no port 61h, where channel 2's gate and output are")
        return SpeakerChannel(self._program)

    def program(self, channel: int, mode: int, count: int, *, bcd: bool = False) -> None:
        """Control word (both bytes), then the count, low byte first. 0 is the largest: 65536, or 10000 in BCD."""
        word = PitControlWord.of(SC=channel, RW=3, M=mode, BCD=int(bcd))
        self.CONTROL_WORD.write(int(word))
        self.load(channel, count)

    def load(self, channel: int, count: int) -> None:
        """Write a count, low byte first; the counter must be in both-bytes access mode."""
        self.COUNTER[channel].write(count & 0xFF)
        self.COUNTER[channel].write(count >> 8)

    def latch_count(self, channel: int, into: Value[int] | str) -> Value[int]:
        """Counter latch command, then both bytes, low first, into a value, or into a new one of this name.

        Returns the value.
        """
        value = self._program.value_of(into)
        port = self.BASE + channel
        lines = [f"mov al, {channel << 6:#x}", "out 0x43, al", f"in al, {port:#x}", "movzx ecx, al"]
        lines += [f"in al, {port:#x}", "movzx eax, al", "shl eax, 8", "or eax, ecx", f"mov {slot(value)}, rax"]
        self._program.step(f"{value.name} = count of channel {channel}", *lines)
        return value

    def silence(self) -> None:
        """Channel 0 at rest: its output goes high at once, if it is not, and does not move again."""
        self._program.step("silence the 8254", "call silence_8254")


class HpetControl(Hpet):
    """The HPET, and the pin that probes route to on this machine type."""

    NAME = "hpet"

    def __init__(self, program: Program, bus: StagedBus, platform: Platform) -> None:
        super().__init__(bus, platform.hpet_base)
        self._program = program
        self._platform = platform

    def stop(self, count: int = 0) -> None:
        """Halt the main counter, and set it to `count`."""
        self.CONFIG.write(ENABLE=0)
        self.MAIN_COUNTER.write(count)

    def arm(self, match: int, *, timer: int = 0, start: int = 0, **fields: int) -> None:
        """Halt the main counter at `start`, and let a comparator interrupt when it reaches `match`, once it is enabled.

        One-shot and edge-triggered at `pin`, unless `fields` of the timer's configuration register change it.
        """
        self.stop(start)
        self.TIMER[timer].CONFIG.write(**{"ROUTE": self.pin, "INT_ENABLE": 1, **fields})
        self.TIMER[timer].COMPARATOR.write(match)

    @property
    def pin(self) -> int:
        """An IO APIC pin that every comparator can be routed to. Raises `ProgramError` without an HPET."""
        if self._platform.hpet_pin is None:
            raise self._program.error(f"{self._platform.name} has no HPET: declare needs=['hpet']")
        return self._platform.hpet_pin

    @property
    def pins(self) -> tuple[int, ...]:
        """All IO APIC pins in the route capability."""
        return self._platform.hpet_pins
