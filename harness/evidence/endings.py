"""Explains each kind of end of a run other than the regular one, with the registers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness import abi
from harness.abi import MailboxStatus
from harness.evidence.failures import HostTrouble, MonitorBroke, RunBroken, RunFailure, Section
from harness.evidence.guest import Guest
from harness.evidence.panic import read_panic
from harness.evidence.places import overwritten, places
from harness.evidence.recorder import Mailbox, read_mailbox
from harness.evidence.registers_text import registers_text
from harness.evidence.resets import explain_reset
from harness.evidence.scene import gate_of
from harness.evidence.silence import explain_silence
from harness.evidence.stacks import explain_overflow, stack_of_guard
from harness.evidence.timeouts import explain_timeout
from harness.hardware.exceptions import EXCEPTIONS, PageFaultErrorCode, SelectorErrorCode
from harness.image.image import Image
from harness.qemu.errors import QemuError, describe_exit, ended_from_outside, shortened
from harness.qemu.stop import Stop, StopKind

if TYPE_CHECKING:
    from harness.qemu.machine import Machine

__all__ = ["QemuKilled", "check_flood", "checkpoint_name", "explain_status", "explain_stop", "killed_from_outside"]

_DOUBLE_FAULT = 8
_SELECTOR_CODES = (10, 11, 12, 13)  # exceptions whose error code may name a gate of the IDT


class QemuKilled(RunBroken):
    """Another process ended QEMU by a signal: the one case in which a run is started once more."""


def explain_stop(
    machine: Machine, built: Guest, stop: Stop, run_id: int, *, traced: bool = False
) -> RunFailure | RunBroken:
    """The failure that a stop other than the guest's signal means. `traced`: QEMU logged what it delivered."""
    if stop.kind is StopKind.DIED:
        return _died(machine, stop)
    if stop.kind is StopKind.NOT_RUN:
        machine.kill()  # it would not answer other commands either
        return HostTrouble(str(stop))
    if stop.host_shutdown:
        return _shut_down(machine, stop)
    if stop.kind is StopKind.TIMEOUT:
        machine.stop()
        if (held := _held(machine, stop)) is not None:
            return held
    if stop.kind is StopKind.RESET:
        return explain_reset(machine, built, stop, traced=traced)
    if stop.kind is StopKind.TIMEOUT:
        return explain_silence(machine, built, stop, read_mailbox(machine.ram, run_id))
    where, sections = _where(machine, built.image)
    match stop.kind:
        case StopKind.SHUTDOWN:
            how = str(stop) if stop.reason.endswith("S4") else f"the guest powered the machine off ({stop.reason})"
            return RunFailure(f"{how}; {where}", sections)
        case StopKind.SUSPENDED | StopKind.WATCHDOG:
            return RunFailure(f"{stop}; {where}", sections)
        case StopKind.INTERNAL_ERROR:
            output = Section("Output of QEMU", machine.stderr())
            return MonitorBroke(f"internal-error: the monitor could not go on; {where}", (output, *sections))
        case _:
            return RunBroken(f"{stop}; {where}", sections)


def check_flood(machine: Machine) -> None:
    """Raise RunFailure where the guest sent so much to COM1 that its report, which comes last, was lost."""
    limit = machine.serial_overflow()
    if limit is not None:
        raise RunFailure(
            f"the guest sent more than {limit:,} bytes to COM1, the limit of one run: the report at the end, "
            "which is the second witness, was lost"
        )


def checkpoint_name(names: Sequence[str], number: int) -> str:
    """The checkpoint that the guest signalled. Raises RunFailure where the program has none of that number."""
    if not 1 <= number <= len(names):
        has = f"has {len(names)}" if names else "has none"
        raise RunFailure(f"the guest signalled checkpoint {number}; the program {has}: it wrote over its mailbox")
    return names[number - 1]


def killed_from_outside(machine: Machine, returncode: int | None) -> bool:
    """Whether a signal ended QEMU: it reports that on its standard error, or over QMP, if it has the time."""
    shutdowns = (event.get("data", {}) for event in machine.events if event["event"] == "SHUTDOWN")
    return ended_from_outside(returncode, machine.stderr()) or any(
        data.get("reason") == "host-signal" for data in shutdowns
    )


def _died(machine: Machine, stop: Stop) -> RunBroken:
    text = stop.stderr.strip()
    sections = (Section("Output of QEMU", text),) if text else ()
    when = "during the run" if machine.executed else "before the guest ran"
    ending = f"QEMU {describe_exit(stop.returncode)} {when}"
    if killed_from_outside(machine, stop.returncode):
        return QemuKilled(f"{ending}: {shortened(text)}" if text else ending, sections)
    return MonitorBroke(f"{ending}: {shortened(text)}" if text else ending, sections)


def _shut_down(machine: Machine, stop: Stop) -> RunBroken:
    if killed_from_outside(machine, None):
        return QemuKilled(f"{stop}: a signal ended it")
    return RunBroken(str(stop), (Section("Output of QEMU", machine.stderr()),))


_LITTLE = 0.1  # of the time: a guest that does not halt keeps one processor busy all the time


def _held(machine: Machine, stop: Stop) -> HostTrouble | None:
    """The error of a host that did not run QEMU: the guest was silent and not halted, and QEMU used almost no time.

    The state of a thread does not show, for example, a frozen control group.
    """
    assert stop.seconds is not None
    if stop.ran >= _LITTLE * stop.seconds or any(cpu.halted for cpu in machine.registers()):
        return None
    return HostTrouble(
        f"the guest gave no sign for {stop.seconds:g} s, but QEMU took only {stop.ran:.2g} s of processor time "
        "though no processor was halted: the host held it (a frozen control group?)"
    )


def explain_status(machine: Machine, built: Guest, mailbox: Mailbox) -> RunFailure:
    """The failure that a signal with this status means."""
    failure = _explain_status(machine, built, mailbox)
    damage = overwritten(machine.ram, built.image)
    if not damage:
        return failure
    return RunFailure(f"{damage}; {failure.reason}", failure.sections, origin=failure.origin, cpu=failure.cpu)


def _explain_status(machine: Machine, built: Guest, mailbox: Mailbox) -> RunFailure:
    match mailbox.status:
        case MailboxStatus.UNEXPECTED_EXCEPTION:
            return _unexpected(machine, built)
        case MailboxStatus.TIMEOUT:
            return explain_timeout(machine, built, mailbox)
        case MailboxStatus.STORM:
            return RunFailure(
                f"interrupt storm: vector {mailbox.storm - 1:#04x} came {abi.STORM_LIMIT} times in a row at the same "
                "instruction; its IO APIC entry was masked (is the source silenced before EOI?)"
            )
        case MailboxStatus.STACK_OVERFLOW:
            return explain_overflow(machine, built, mailbox)
        case MailboxStatus.NO_CPU:
            return RunFailure(
                f"processor {mailbox.wait_cpu} did not start within 200 ms after INIT–SIPI–SIPI", cpu=mailbox.wait_cpu
            )
        case _:
            where, sections = _where(machine, built.image)
            return RunFailure(
                f"the guest signalled while its status was {mailbox.status.name}: it did not reach the program's end, "
                f"or wrote over its mailbox; {where}",
                sections,
            )


def _where(machine: Machine, image: Image) -> tuple[str, tuple[Section, ...]]:
    """The place of each processor, and all registers."""
    try:
        cpus = machine.registers()
    except QemuError as error:
        return f"no registers: {error}", ()
    text = "\n\n".join(registers_text(cpu, image) for cpu in cpus)
    return places(machine.ram, cpus, image), (Section("Registers", text),)


def _unexpected(machine: Machine, built: Guest) -> RunFailure:
    panic = read_panic(machine.ram)
    frame, vector, code = panic.frame, panic.frame["VECTOR"], panic.frame["ERROR"]
    row = EXCEPTIONS.get(vector)
    name = row.mnemonic if row else f"vector {vector:#04x}"
    shown = "" if code == abi.NO_ERROR_CODE else f"({code:#x})"
    extra = f", CR2 = {panic.control['CR2']:#x}, {PageFaultErrorCode(code)}" if vector == 14 else ""
    if vector in _SELECTOR_CODES and code != abi.NO_ERROR_CODE and SelectorErrorCode(code).IDT:
        extra = _bad_gate(machine, built.image, panic.cpu, SelectorErrorCode(code).INDEX)
    reason = f"unexpected {name}{shown} at {built.image.symbolise(frame['RIP'])}{extra}"
    if vector == _DOUBLE_FAULT and (cpu := stack_of_guard(frame["RSP"])) is not None:
        reason = f"the stack of processor {cpu} overflowed at {built.image.symbolise(frame['RIP'])}"
    line = built.image.line_at(frame["RIP"] % abi.USER_ALIAS)
    text = panic.text(f"RIP {built.image.symbolise(frame['RIP'])}", line)
    sections = (Section("Registers at the exception", text),)
    return RunFailure(reason, sections, origin=line.origin if line else None, cpu=panic.cpu)


def _bad_gate(machine: Machine, image: Image, number: int, index: int) -> str:
    """The gate that an error code names, if the IDT shows it: QEMU gives twice the vector in 64-bit mode."""
    try:
        cpu = machine.registers()[number]
        for vector in (index, index // 2):
            gate = gate_of(machine, image, cpu, vector) if vector < 256 else None
            if gate is not None and not gate.present:
                return f": the IDT gate of vector {vector:#04x} is not present (P=0)"
    except (QemuError, IndexError):
        pass
    return ""
