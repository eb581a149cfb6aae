"""Controller state as the guest froze it, decoded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from harness.abi import SNAPSHOT
from harness.evidence.failures import RunFailure, WitnessDisagreement
from harness.hardware.ioapic import PINS, IoApicVersion
from harness.hardware.state import (
    HpetState,
    HpetTimerState,
    IoApicState,
    LapicState,
    PicState,
    PitChannelState,
)

__all__ = ["PicPairState", "Snapshot"]


@dataclass(frozen=True)
class PicPairState:
    """Both 8259s."""

    master: PicState
    slave: PicState


class Snapshot:
    """One frozen copy, of slot `slot`: the end of the run (0) or a checkpoint."""

    def __init__(self, ram: memoryview, address: int, run_id: int, number: int, what: str) -> None:
        data = bytes(ram[address : address + SNAPSHOT.size])
        if SNAPSHOT.read(data, "VALID") != run_id << 32 | number + 1:
            raise RunFailure(f"the guest has taken no snapshot at {what}")
        self.what = what
        self.data = data

    def check_unchanged(self, seen: Snapshot) -> None:
        """Raise WitnessDisagreement unless it equals the copy that the host read at its checkpoint."""
        for at, (mine, theirs) in enumerate(zip(self.data, seen.data, strict=True)):
            if mine != theirs:
                raise WitnessDisagreement(
                    f"witnesses disagree about the snapshot at {self.what}: the byte at offset {at:#x} was "
                    f"{theirs:#04x} at the checkpoint, and is {mine:#04x} at the end. Expected: equal"
                )

    def read(self, name: str) -> int:
        """A field of the snapshot by its name in `harness/abi.py`."""
        return SNAPSHOT.read(self.data, name)

    def _words(self, name: str, count: int) -> list[int]:
        start = SNAPSHOT.offset(name)
        return list(memoryview(self.data)[start : start + 4 * count].cast("I"))

    def _where(self, what: str) -> str:
        return f"the {what}'s snapshot at {self.what} cannot be decoded"

    @contextmanager
    def _decoding(self, what: str) -> Iterator[None]:
        """Registers that no device should hold are a failure of the target, with the reason; not of the harness."""
        try:
            yield
        except (ValueError, IndexError) as error:
            raise RunFailure(f"{self._where(what)}: {error}") from error

    @property
    def apic_mode(self) -> int:
        """0 disabled, 1 xAPIC, 2 x2APIC."""
        return self.read("APIC_MODE")

    @property
    def lapic(self) -> LapicState:
        """The local APIC. Raises `RunFailure` where it was disabled."""
        if not self.apic_mode:
            raise RunFailure("the local APIC was disabled (IA32_APIC_BASE bit 11), so it has no registers to read")
        words = self._words("LAPIC", 64)
        if self.apic_mode == 2:
            words[2] <<= 24  # the x2APIC ID is the whole register
        with self._decoding("local APIC"):
            return LapicState.from_registers(words)

    @property
    def ioapic(self) -> IoApicState:
        """The IO APIC. Raises `RunFailure` where it has another number of redirection entries than a PC's."""
        words = self._words("IOAPIC", 2 + 2 * PINS)
        pins = IoApicVersion(words[1]).MAXIMUM_REDIRECTION_ENTRY + 1
        if pins != PINS:
            raise RunFailure(
                f"{self._where('IO APIC')}: its version register {words[1]:#010x} announces {pins} redirection "
                f"entries. Expected: {PINS}, those of the 82093AA (IOAPICVER) and of ICH9"
            )
        with self._decoding("IO APIC"):
            return replace(IoApicState.from_registers(words), select=self.read("IOREGSEL") & 0xFF)

    @property
    def pic(self) -> PicPairState:
        """Both 8259s: IRR, ISR, IMR and ELCR."""
        start = SNAPSHOT.offset("PIC")
        irr, isr, imr, irr2, isr2, imr2, elcr, elcr2 = self.data[start : start + 8]
        return PicPairState(PicState(irr, imr, isr, elcr), PicState(irr2, imr2, isr2, elcr2))

    @property
    def hpet(self) -> HpetState:
        """The HPET. Raises `RunFailure` where the target has none."""
        start = SNAPSHOT.offset("HPET")
        words = list(memoryview(self.data)[start : start + 104].cast("Q"))
        if not words[0]:
            raise RunFailure("the target has no HPET. To fix: @probe(needs=['hpet'])")
        with self._decoding("HPET"):
            timers = tuple(HpetTimerState(*words[at : at + 3]) for at in (4, 7, 10))
            return HpetState(words[0], words[1], words[2], words[3], timers)

    @property
    def pit(self) -> tuple[PitChannelState, ...]:
        """The three channels of the 8254, at the end of the run only: status byte and count."""
        return tuple(PitChannelState(word & 0xFF, word >> 16) for word in self._words("PIT", 3))
