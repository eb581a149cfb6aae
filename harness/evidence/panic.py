"""The registers that the guest stored when it ended the run: at an exception, or at a wait that timed out."""

from __future__ import annotations

from dataclasses import dataclass

from harness import abi
from harness.abi import FRAME, PANIC_STRUCT
from harness.assembly import ListingLine
from harness.hardware.cpu import Rflags

__all__ = ["Panic", "read_panic"]


@dataclass(frozen=True)
class Panic:
    """The frame and the control registers by name, and the processor's number."""

    frame: dict[str, int]
    control: dict[str, int]
    cpu: int

    def text(self, where: str, line: ListingLine | None) -> str:
        """The processor and the place, all registers, the flags, and the instruction at `line`."""
        cells = [f"{n:>6} {self.frame[n]:016x}" for n in FRAME.fields if n not in ("VECTOR", "ENTRY", "ERROR")]
        cells += [f"{n:>6} {value:016x}" for n, value in self.control.items()]
        rows = ["  ".join(cells[i : i + 4]) for i in range(0, len(cells), 4)]
        head = [f"CPU {self.cpu}: {where}"]
        rows.append(str(Rflags(self.frame["RFLAGS"])))
        if line is not None:
            rows.append(f"instruction: {line.text}   ({line.decoded()})")
        return "\n".join(head + rows)


def read_panic(ram: memoryview) -> Panic:
    """The registers that the guest stored."""
    data = bytes(ram[abi.PANIC : abi.PANIC + PANIC_STRUCT.size])
    frame = {name: FRAME.read(data, name) for name in FRAME.fields}
    control = {name: PANIC_STRUCT.read(data, name) for name in ("CR0", "CR2", "CR3", "CR4")}
    return Panic(frame, control, PANIC_STRUCT.read(data, "CPU") & (abi.CPUS - 1))
