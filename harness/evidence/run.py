"""`run`: the evidence that a probe judges below the `yield`; and the host's actions in the middle of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, ParamSpec, TypeVar

from harness import abi
from harness.abi import SNAPSHOT, MailboxStatus
from harness.evidence.comparisons import compare_hpet, compare_ioapic, compare_lapic, compare_pic
from harness.evidence.delivery import delivery_path, unexplained
from harness.evidence.delivery_path import DeliveryPath
from harness.evidence.endings import check_flood, checkpoint_name, explain_status, explain_stop
from harness.evidence.evidence import Evidence
from harness.evidence.failures import ProbeBroken, ResetUnseen, RunFailure, unknown
from harness.evidence.guest import Guest
from harness.evidence.interrupts import CheckpointStop
from harness.evidence.scene import scene_from
from harness.evidence.snapshots import PicPairState, Snapshot
from harness.evidence.stacks import check_guards
from harness.evidence.witnesses import check_registers, check_seen, check_witnesses
from harness.hardware.state import HpetState, IoApicState, LapicState, PitChannelState
from harness.kernel.program import TargetLacks
from harness.qemu.dumps import CpuRegisters
from harness.qemu.reset_effects import undone_by_reset
from harness.qemu.stop import GuestReset, Stop, StopKind

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["Run"]

_LAST_VECTOR = 255
_ACTIONS, _ACTION_TEXT = 32, 200  # that the record of one stop has, and characters of each

P = ParamSpec("P")
T = TypeVar("T")


class Run(Evidence):
    """One run. At the `yield` the guest has booted and reached its first stop: a checkpoint, or its end."""

    def __init__(
        self,
        machine: Machine,
        built: Guest,
        run_id: int,
        timeout_s: float,
        *,
        act: bool = True,
        held: bool = True,
        traced: bool = False,
    ) -> None:
        super().__init__(machine, built, run_id)
        self.acted = False  # the host stopped, read or changed the machine before its end: virtual time is not exact
        self.triggered = False  # the probe called `trigger`
        self.changed_machine = False  # in a way that a reset may not undo
        self._timeout_s = timeout_s
        self._act = act
        self.traced = traced  # QEMU logs what it delivers
        self.held = held  # a reset by the guest stops the machine as it is
        self.stops: list[CheckpointStop] = []  # at checkpoints, in order
        self.guest_ms = 0.0  # wall-clock milliseconds from reset to the first stop
        self._resumed = 0
        self._compared: set[str] = set()
        self.missing: int | None = None  # the vector whose absence failed a comparison

    # --- where the guest is ---

    def stopped(self, stop: Stop) -> None:
        """Register a stop. Raises `RunFailure` or `RunBroken` for any that is neither checkpoint nor end."""
        self._forget()
        if not self.held and self.machine.guest_resets:
            raise ResetUnseen(self.machine.guest_resets[0])
        if not stop.signalled:
            raise explain_stop(self.machine, self.built, stop, self._run_id, traced=self.traced)
        mailbox = self.mailbox
        match mailbox.status:
            case MailboxStatus.CHECKPOINT:
                self._checkpoint = checkpoint_name(self.built.program.checkpoints, mailbox.checkpoint)
                self._seen.pop(self._checkpoint, None)
                self._note_stop(mailbox.checkpoint)
                check_registers(self, self.machine.stop_evidence()[1])
            case MailboxStatus.DONE:
                self._checkpoint = ""
                self.ended = True
                check_flood(self.machine)
                check_guards(self.machine.ram, self.machine.config.cpus)
                check_witnesses(self)
                self._check_required()
                for name, snapshot in self._seen.items():
                    self.at(name).check_unchanged(snapshot)
                if self._seen_recording is not None and not self.machine.guest_resets:
                    check_seen(self, self._seen_recording)
            case _:
                raise explain_status(self.machine, self.built, mailbox)

    def _note_stop(self, number: int) -> None:
        address = abi.SNAPSHOTS + number * SNAPSHOT.size
        ticks = SNAPSHOT.read(self.machine.ram, "TSC", address) - self.mailbox.tsc_start
        self.stops.append(CheckpointStop(self._checkpoint, ticks & ((1 << 64) - 1)))

    def _note_action(self, text: str) -> None:
        """Add an action of the host to the checkpoint where the guest is stopped."""
        if self._checkpoint and self.stops:
            stop = self.stops[-1]
            if len(stop.actions) < _ACTIONS:
                self.stops[-1] = replace(stop, actions=(*stop.actions, text[:_ACTION_TEXT]))

    def _check_required(self) -> None:
        """Raise TargetLacks where the guest ended early, as the processor lacks what `k.require_cpuid` names."""
        for requirement in self.built.program.required:
            if not self[requirement.value]:
                raise TargetLacks(f"{requirement.feature} is 0")

    def reached(self, name: str) -> None:
        """Fail unless the guest is stopped at this checkpoint."""
        if name not in self.built.program.checkpoints:
            raise ProbeBroken(unknown("checkpoint", name, self.built.program.checkpoints))
        if self._checkpoint != name:
            where = "the run has ended" if self.ended else f"the guest is at {self._checkpoint!r}"
            raise RunFailure(f"checkpoint {name!r} was not reached: {where}")

    @contextmanager
    def stopped_at(self, name: str) -> Iterator[None]:
        """A block in which the guest is stopped at this checkpoint; at the block's end it continues.

        Fails where the guest is not there, as `reached` does.
        """
        self.reached(name)
        yield
        self.resume()

    def resume(self, guest_reset: GuestReset | None = None) -> None:
        """Let the guest run on to its next checkpoint or its end.

        `guest_reset="continue"`: a guest that resets the machine boots again in this run; `run.machine.guest_resets`
        has the reasons of the resets.
        """
        self.stopped(self._run_on(guest_reset))

    def resume_until_reset(self) -> Stop:
        """Let the guest run until it resets the machine, which then stops: the run has ended.

        Fails where the guest does anything else.
        """
        self.hold_reset()
        stop = self._run_on()
        if stop.kind is not StopKind.RESET:
            self.stopped(stop)
            raise RunFailure("the guest did not reset the machine: it reached its next checkpoint or its end")
        self._forget()
        self._checkpoint = ""
        self.ended = True
        return stop

    def hold_reset(self) -> None:
        """From now on a reset by the guest stops the machine, with its registers. Call this before the host causes a
        reset."""
        self.held = True
        self.machine.on_guest_reset("stop")

    def _run_on(self, guest_reset: GuestReset | None = None) -> Stop:
        if self.ended:
            raise ProbeBroken(
                "run.resume(): the run has ended already. To fix: write a k.checkpoint for each run.resume()"
            )
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
        """Drop what was read at the guest's last stop."""
        self._mailbox = self._recording = None
        self._snapshots.clear()
        self._compared.clear()

    def trigger(self, action: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do something that causes what the probe judges: `run.trigger(run.qmp, "inject-nmi")`.

        `trapgate vacuity` omits it, and the probe must then fail.
        """
        self.acted = self.triggered = True
        if not self._act:
            return None
        if action not in (self.qmp, self.hmp):  # which note themselves
            self._note_action(getattr(action, "__name__", type(action).__name__))
        return action(*args, **kwargs)

    def qmp(self, command: str, **arguments: object) -> Any:
        """One QMP command. Raises `QmpCommandError`."""
        self.changed_machine |= not undone_by_reset(command)
        self._note_action(f"QMP {' '.join([command, *(f'{name}={value}' for name, value in arguments.items())])}")
        return self.machine.qmp(command, **arguments)

    def hmp(self, line: str) -> str:
        """One line of the human monitor, and what it prints."""
        self.changed_machine |= not undone_by_reset(line)
        self._note_action(f"monitor {line}")
        return self.machine.hmp(line)

    @property
    def serial(self) -> Any:
        """COM1 as a pexpect spawn: `run.serial.expect(…)`, `run.serial.send(…)` for `interactive=True` probes."""
        return self.machine.serial

    def unsupported(self, reason: str) -> NoReturn:
        """End the judgement with the verdict `unsupported`: the guest found that the target lacks what the probe
        tests."""
        raise TargetLacks(reason)

    def backing(self, device: str) -> memoryview:
        """The content of a device's disk, shared with the device: `run.backing("virtio-blk")[:512]`."""
        return self.machine.backings[device]

    def fill_disk(self, device: str, at: str = "disk") -> bytes:
        """Write random bytes to a device's disk while the guest is stopped at that checkpoint, and let it continue;
        returns them.

        They differ between devices, and are the same in every run.
        """
        self.reached(at)
        disk = self.backing(device)
        disk[:] = content = Random(device).randbytes(len(disk))
        self.resume()
        return content

    # --- controllers ---

    @property
    def lapic(self) -> LapicState:
        """Processor 0's local APIC, frozen; checked against QMP's dump."""
        state = self.frozen.lapic
        self._once("lapic 0", lambda: self._compare_lapic(self.frozen, 0))
        return state

    def lapic_of(self, cpu: int) -> LapicState:
        """Another processor's local APIC, frozen at the end of its last routine; checked against QMP's dump."""
        if cpu == 0:
            return self.lapic
        address = abi.CPU_SNAPSHOTS + cpu * abi.SNAPSHOT.size
        frozen = self._snapshot(address, 0, f"the end of processor {cpu}'s last routine")
        if not abi.PERCPU.read(
            self.machine.ram, "WORK", abi.PER_CPU + cpu * abi.PERCPU.size
        ):  # it has run no other routine since
            self._once(f"lapic {cpu}", lambda: self._compare_lapic(frozen, cpu))
        return frozen.lapic

    def _compare_lapic(self, frozen: Snapshot, cpu: int) -> None:
        kvm = self.machine.config.target.accelerator == "kvm"
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
        """The HPET's registers, frozen; checked against their values over QMP."""
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

    def why(self, vector: int) -> DeliveryPath:
        """The path of a vector that did not arrive, from its likely source to the processor: its gates, and the first
        closed one. For a message: `assert run.count(0x50) == 1, str(run.why(0x50))`.

        It never fails: gates whose state cannot be read are not known.
        """
        if not 0 <= vector <= _LAST_VECTOR:
            raise ProbeBroken(f"run.why({vector}): that is no vector. Expected: 0 to 255")
        try:
            frozen = self.frozen
            return delivery_path(scene_from(self.machine, self.built.image, vector, self.mailbox.online, 0, frozen))
        except Exception as error:  # the verdict must not depend on its explanation
            return unexplained(vector, error)

    def _once(self, what: str, compare: Callable[[], None]) -> None:
        if what not in self._compared:
            self._compared.add(what)
            compare()
