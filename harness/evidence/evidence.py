"""`Evidence`: the state of a guest at its present stop: the recorder, values, memory and frozen controllers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, overload

from harness import abi
from harness.evidence.failures import ProbeBroken, RunFailure, unknown
from harness.evidence.guest import Guest
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.evidence.recorder import Mailbox, Recording, read_mailbox, read_recording
from harness.evidence.seals import Seals
from harness.evidence.snapshots import Snapshot
from harness.evidence.vectors import Records, Vectors
from harness.hardware.block import Value
from harness.hardware.register import Register
from harness.kernel.program import Buffer

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["Evidence"]

R = TypeVar("R", bound=int)


class Evidence:
    """Reads what the guest recorded and froze. `Run` adds the host's part: it acts, compares and judges stops."""

    def __init__(self, machine: Machine, built: Guest, run_id: int) -> None:
        self.machine = machine
        self.built = built
        self.ended = False
        self._run_id = run_id
        self._checkpoint = ""
        self._mailbox: Mailbox | None = None
        self._recording: Recording | None = None
        self._snapshots: dict[str, Snapshot] = {}
        self.seals: Seals | None = None  # of a run that has ended
        self.printed = b""  # what the program itself printed on COM1, of a run that has ended
        self._seen: dict[str, Snapshot] = {}  # snapshots that were read while the guest was stopped at their checkpoint
        self._seen_recording: Recording | None = None  # the last one that was read at a checkpoint

    # --- the recorder ---

    @property
    def mailbox(self) -> Mailbox:
        """The guest's mailbox."""
        if self._mailbox is None:
            self._mailbox = read_mailbox(self.machine.ram, self._run_id)
        return self._mailbox

    @property
    def recording(self) -> Recording:
        """The recorder, decoded once for each stop."""
        if self._recording is None:
            self._recording = read_recording(self.machine.ram, self.mailbox, self.built.image, self.built.program.marks)
            if self._checkpoint:
                self._seen_recording = self._recording
        return self._recording

    @property
    def events(self) -> Records[InterruptRecord | Mark]:
        """Interrupts, exceptions and marks so far, in order. Fails if the recorder overflowed."""
        recording = self.recording
        if recording.overflowed:
            raise RunFailure(
                f"the recorder overflowed: {recording.total} events, {abi.RECORDS} stored in order; "
                "judge run.count(vector), which is exact, or let the program cause less"
            )
        return Records(recording.events)

    @property
    def interrupts(self) -> Records[InterruptRecord]:
        """Interrupts and exceptions so far, in order."""
        return Records(event for event in self.events if isinstance(event, InterruptRecord))

    @property
    def vectors(self) -> Vectors[int]:
        """Their vectors, in order."""
        return Vectors(interrupt.vector for interrupt in self.interrupts)

    @property
    def sequence(self) -> Vectors[int | str]:
        """Vectors and the names of marks, in order: `[0x40, "unmasked", 0x40]`."""
        return Vectors(event.vector if isinstance(event, InterruptRecord) else event.name for event in self.events)

    def fields(self, *names: str) -> list[tuple[Any, ...]]:
        """Of each interrupt and exception, in order, the fields of `InterruptRecord` with these names.

        `run.fields("vector", "error_code", "rip") == [(13, 0, run.address("culprit"))]`: one #GP(0), at that label.
        """
        for name in names:
            if name not in InterruptRecord.__dataclass_fields__:
                known = ", ".join(InterruptRecord.__dataclass_fields__)
                raise ProbeBroken(f"an interrupt's record has no field {name!r}. Expected: one of {known}")
        return [tuple(getattr(interrupt, name) for name in names) for interrupt in self.interrupts]

    def count(self, vector: int, *, cpu: int | None = None) -> int:
        """How often a vector arrived, on one processor or on all. Exact however many there were."""
        counts = self.recording.counts
        cpus = range(abi.CPUS) if cpu is None else (cpu,)
        return sum(counts.get((number, vector), 0) for number in cpus)

    @property
    def counts(self) -> Mapping[int, int]:
        """Vector → number, over all processors, of those that arrived."""
        return {vector: self.count(vector) for vector in sorted({v for _, v in self.recording.counts})}

    # --- values and memory ---

    @overload
    def __getitem__(self, value: Value[R]) -> R: ...
    @overload
    def __getitem__(self, value: str) -> int: ...
    def __getitem__(self, value: Value[Any] | str) -> Any:
        found = self._value(value) if isinstance(value, str) else value
        raw = self.raw(found)
        if raw is None:
            raise RunFailure(f"the value {found.name!r} was never written: the guest did not reach that step")
        if issubclass(found.type, Register):
            return found.type(raw & ((1 << found.type.WIDTH) - 1))
        return raw

    def written(self, value: Value[Any]) -> bool:
        """Whether the guest has written the value."""
        return self.raw(value) is not None

    def raw(self, value: Value[Any]) -> int | None:
        """The slot's content, or `None` for its canary."""
        at = abi.VALUES + 8 * value.index
        content = int.from_bytes(self.machine.ram[at : at + 8], "little")
        return None if content == abi.canary(value.index) else content

    def address(self, label: str) -> int:
        """The run address of a label of the program or the runtime, in bytes: the value of RIP there.

        A label in a step that `trapgate vacuity` removed is at -1, which no RIP equals, so that the comparison fails.
        """
        if label not in self.built.symbols:
            if self.built.program.omit:
                return -1
            raise ProbeBroken(unknown("label", label, list(self.built.symbols)))
        return self.built.symbols[label]

    def _value(self, name: str) -> Value[Any]:
        for value in self.built.program.values:
            if value.name == name:
                return value
        raise ProbeBroken(unknown("value", name, [value.name for value in self.built.program.values]))

    def memory(self, where: Buffer | int, length: int | None = None) -> bytes:
        """A copy of guest memory: a buffer, or `length` bytes at a physical address."""
        if isinstance(where, Buffer):
            length = where.size if length is None else length
            where = where.address
        if length is None:
            raise TypeError("run.memory(address): the length is missing. To fix: run.memory(address, length), in bytes")
        if self.seals is not None and abi.BUFFERS <= where < abi.BUFFERS_END:
            self.seals.check_buffers(self.built.program.buffers.values(), where, where + length)
        return self.machine.memory(where, length)

    # --- frozen controllers ---

    def at(self, name: str = "") -> Snapshot:
        """The guest's frozen copy at a checkpoint that it has passed; without a name, at its present stop."""
        what = f"checkpoint {name!r}" if name else "the end of the run"
        if name and name not in self.built.program.checkpoints:
            raise ProbeBroken(unknown("checkpoint", name, self.built.program.checkpoints))
        if name not in self._snapshots:
            number = self.built.program.checkpoints.index(name) + 1 if name else 0
            address = abi.SNAPSHOTS + number * abi.SNAPSHOT.size
            self._snapshots[name] = self._snapshot(address, number, what)
            if name and name == self._checkpoint:
                self._seen[name] = self._snapshots[name]
        return self._snapshots[name]

    def _snapshot(self, address: int, number: int, what: str) -> Snapshot:
        snapshot = Snapshot(self.machine.ram, address, self._run_id, number, what)
        if self.seals is not None:
            self.seals.check_snapshot(address, snapshot.data, what)
        return snapshot

    @property
    def frozen(self) -> Snapshot:
        """The guest's frozen copy at its present stop."""
        return self.at(self._checkpoint)

    @property
    def tsc_khz(self) -> int:
        """Ticks of the time-stamp counter in a millisecond of guest time."""
        return self.mailbox.tsc_khz
