"""`run`: what a probe judges, below the `yield`; and how the host acts in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar, overload

from harness import abi
from harness.abi import Status
from harness.hardware.block import Value
from harness.hardware.register import Register
from harness.hardware.state import HpetState, IoApicState, LapicState, PitChannelState
from harness.kernel.program import Buffer, TargetLacks
from harness.qemu.dumps import CpuRegisters
from harness.qemu.stop import GuestReset, Stop, StopKind
from harness.run.build import Built
from harness.run.comparisons import compare_hpet, compare_ioapic, compare_lapic, compare_pic
from harness.run.endings import check_flood, checkpoint_name, explain_status, explain_stop
from harness.run.failures import ProbeBroken, ResetUnseen, RunFailure
from harness.run.leftovers import undone_by_reset
from harness.run.mistakes import unknown
from harness.run.record import InterruptRecord, Mark
from harness.run.recorder import Mailbox, Recording, read_mailbox, read_recording
from harness.run.seals import Seals
from harness.run.snapshots import PicPairState, Snapshot
from harness.run.stacks import check_guards
from harness.run.vectors import Records, Vectors
from harness.run.witnesses import check_registers, check_seen, check_witnesses

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["Run"]

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound=int)


class Run:
    """One run. At the `yield` the guest has booted and come to its first stop: a checkpoint, or its end."""

    def __init__(
        self,
        machine: Machine,
        built: Built,
        run_id: int,
        timeout_s: float,
        *,
        act: bool = True,
        held: bool = True,
        traced: bool = False,
    ) -> None:
        self.machine = machine
        self.built = built
        self.ended = False
        self.acted = False  # the host held, asked or changed the machine before its end: virtual time is not exact
        self.triggered = False  # the probe called `trigger`
        self.changed_machine = False  # in a way that a reset may not undo
        self._run_id = run_id
        self._timeout_s = timeout_s
        self._act = act
        self.traced = traced  # QEMU logs what it delivers
        self.held = held  # a reset by the guest stops the machine as it is
        self.guest_ms = 0.0  # wall-clock milliseconds from reset to the first stop
        self._checkpoint = ""
        self._resumed = 0
        self._mailbox: Mailbox | None = None
        self._recording: Recording | None = None
        self._snapshots: dict[str, Snapshot] = {}
        self.seals: Seals | None = None  # of a run that has ended
        self._seen: dict[str, Snapshot] = {}  # snapshots that were read while the guest stood at their checkpoint
        self._seen_recording: Recording | None = None  # the last one that was read at a checkpoint
        self._compared: set[str] = set()

    # --- where the guest is ---

    def stopped(self, stop: Stop) -> None:
        """Take note of a stop. Raises `RunFailure` or `RunBroken` for any that is neither checkpoint nor end."""
        self._forget()
        if not self.held and self.machine.guest_resets:
            raise ResetUnseen(self.machine.guest_resets[0])
        if not stop.signalled:
            raise explain_stop(self.machine, self.built, stop, self._run_id, traced=self.traced)
        mailbox = self.mailbox
        match mailbox.status:
            case Status.CHECKPOINT:
                self._checkpoint = checkpoint_name(self.built.program.checkpoints, mailbox.checkpoint)
                self._seen.pop(self._checkpoint, None)
                check_registers(self, self.machine.witness()[1])
            case Status.DONE:
                self._checkpoint = ""
                self.ended = True
                check_flood(self.machine)
                check_guards(self.machine.ram, self.machine.shape.cpus)
                check_witnesses(self)
                for name, snapshot in self._seen.items():
                    self.at(name).check_unchanged(snapshot)
                if self._seen_recording is not None and not self.machine.guest_resets:
                    check_seen(self, self._seen_recording)
            case _:
                raise explain_status(self.machine, self.built, mailbox)

    def reached(self, name: str) -> None:
        """Fail unless the guest stands at this checkpoint."""
        if name not in self.built.program.checkpoints:
            raise ProbeBroken(unknown("checkpoint", name, self.built.program.checkpoints))
        if self._checkpoint != name:
            where = "the run has ended" if self.ended else f"the guest stands at {self._checkpoint!r}"
            raise RunFailure(f"checkpoint {name!r} was not reached: {where}")

    def resume(self, guest_reset: GuestReset | None = None) -> None:
        """Let the guest run on to its next checkpoint or its end.

        `guest_reset="continue"`: a guest that resets the machine boots again in this run; `run.machine.guest_resets`
        says why it did.
        """
        self.stopped(self._run_on(guest_reset))

    def resume_until_reset(self) -> Stop:
        """Let the guest run on until it resets the machine, which stands still there: the run has ended.

        Fails by name where the guest does anything else.
        """
        self.hold_reset()
        stop = self._run_on()
        if stop.kind is not StopKind.RESET:
            self.stopped(stop)
            raise RunFailure("the guest did not reset the machine: it went on to its next checkpoint or its end")
        self._forget()
        self._checkpoint = ""
        self.ended = True
        return stop

    def hold_reset(self) -> None:
        """From now on a reset by the guest holds the machine as it is: where the host causes it, say so before."""
        self.held = True
        self.machine.on_guest_reset("stop")

    def _run_on(self, guest_reset: GuestReset | None = None) -> Stop:
        if self.ended:
            raise ProbeBroken("run.resume(): the run has ended already. To fix: a k.checkpoint for each run.resume()")
        if guest_reset is not None:
            self.held = True
            self.machine.ram[abi.STAGING_BOOTS] = abi.Boots.ALWAYS
        at = abi.MAILBOX + abi.MAILBOX_STRUCT.offset("RESUMED")
        self._resumed += 1
        self.acted = True
        self.machine.ram[at : at + 4] = self._resumed.to_bytes(4, "little")
        self.machine.resume(guest_reset)
        return self.machine.wait_stop(self._timeout_s, until_asleep=True)

    def _forget(self) -> None:
        """What was read belongs to the guest's last stop."""
        self._mailbox = self._recording = None
        self._snapshots.clear()
        self._compared.clear()

    def trigger(self, action: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do something that causes what the probe judges: `run.trigger(run.qmp, "inject-nmi")`.

        `trapgate vacuity` leaves it out, and the probe must turn red.
        """
        self.acted = self.triggered = True
        return action(*args, **kwargs) if self._act else None

    def qmp(self, command: str, **arguments: object) -> Any:
        """One QMP command. Raises `QmpCommandError`."""
        self.changed_machine |= not undone_by_reset(command)
        return self.machine.qmp(command, **arguments)

    def hmp(self, line: str) -> str:
        """One line of the human monitor, and what it prints."""
        self.changed_machine |= not undone_by_reset(line)
        return self.machine.hmp(line)

    @property
    def serial(self) -> Any:
        """COM1 as a pexpect spawn: `run.serial.expect(…)`, `run.serial.send(…)` for `interactive=True` probes."""
        return self.machine.serial

    def unsupported(self, reason: str) -> NoReturn:
        """End the judgement with the verdict `unsupported`: the guest found that the target lacks the thing."""
        raise TargetLacks(reason)

    # --- the recorder ---

    @property
    def mailbox(self) -> Mailbox:
        """What the guest says of itself."""
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
                f"the recorder overflowed: {recording.total} events, {abi.RECORDS} kept in order; "
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
            raise RunFailure(f"the value {found.name!r} was never written: the guest did not get there")
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
            raise TypeError("run.memory(address, length): say how many bytes")
        if self.seals is not None and abi.BUFFERS <= where < abi.BUFFERS_END:
            self.seals.check_buffers(self.built.program.buffers.values(), where, where + length)
        return self.machine.memory(where, length)

    def backing(self, device: str) -> memoryview:
        """The content of a device's disk, shared with the device: `run.backing("virtio-blk")[:512]`."""
        return self.machine.backings[device]

    def fill_disk(self, device: str, at: str = "disk") -> bytes:
        """Put random bytes on a device's disk while the guest stands at that checkpoint, and let it go on; gives them.

        They are other ones for each device, and the same in every run.
        """
        self.reached(at)
        disk = self.backing(device)
        disk[:] = content = Random(device).randbytes(len(disk))
        self.resume()
        return content

    # --- controllers ---

    def at(self, name: str = "") -> Snapshot:
        """The guest's frozen copy at a checkpoint it has passed; without a name, at its present stop."""
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
    def lapic(self) -> LapicState:
        """Processor 0's local APIC, frozen; checked against QMP's dump."""
        state = self.frozen.lapic
        self._once("lapic 0", lambda: self._compare_lapic(self.frozen, 0))
        return state

    def lapic_of(self, cpu: int) -> LapicState:
        """Another processor's local APIC, as it froze it at the end of its last routine; checked against QMP's dump."""
        if cpu == 0:
            return self.lapic
        address = abi.CPU_SNAPSHOTS + cpu * abi.SNAPSHOT.size
        frozen = self._snapshot(address, 0, f"the end of processor {cpu}'s last routine")
        if not abi.PERCPU.read(self.machine.ram, "WORK", abi.PER_CPU + cpu * abi.PERCPU.size):  # it has no other since
            self._once(f"lapic {cpu}", lambda: self._compare_lapic(frozen, cpu))
        return frozen.lapic

    def _compare_lapic(self, frozen: Snapshot, cpu: int) -> None:
        kvm = self.machine.shape.target.accelerator == "kvm"
        compare_lapic(frozen.lapic, self.machine.lapic(cpu), x2apic=frozen.apic_mode == 2, kvm=kvm)

    @property
    def ioapic(self) -> IoApicState:
        """The IO APIC, frozen; checked against QMP's dump. Index it by pin."""
        state = self.frozen.ioapic
        self._once("ioapic", lambda: compare_ioapic(state, self.machine.ioapics()[0]))
        return state

    @property
    def pic(self) -> PicPairState:
        """Both 8259s, frozen; checked against QMP's dump."""
        state = self.frozen.pic

        def compare() -> None:
            _, master, slave = self.machine.pics()
            compare_pic(state, PicPairState(master, slave))

        self._once("pic", compare)
        return state

    @property
    def hpet(self) -> HpetState:
        """The HPET's registers, frozen; checked against what they read through QMP."""
        state = self.frozen.hpet
        self._once("hpet", lambda: compare_hpet(state, self.machine.hpet()))
        return state

    @property
    def pit(self) -> tuple[PitChannelState, ...]:
        """The 8254's three channels at the end of the run."""
        return self.frozen.pit

    @property
    def cpus(self) -> tuple[CpuRegisters, ...]:
        """Every processor's registers as QMP shows them now; those that the guest froze are compared."""
        cpus = self.machine.registers()
        if (self.seals is not None or self._checkpoint) and self.machine.executed:  # not reset by the host since
            check_registers(self, cpus)
        return cpus

    @property
    def tsc_khz(self) -> int:
        """Ticks of the time-stamp counter in a millisecond of guest time."""
        return self.mailbox.tsc_khz

    def _once(self, what: str, compare: Callable[[], None]) -> None:
        if what not in self._compared:
            self._compared.add(what)
            compare()
