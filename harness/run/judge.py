"""The judgement: the code below the `yield`, and the explanation of its failure."""

from __future__ import annotations

import traceback
from pathlib import Path

from harness.assembly import AssemblyError
from harness.evidence.failures import HostTrouble, ProbeBroken, RunBroken, RunFailure, Section, SectionKind
from harness.evidence.registers_text import ioapic_text, lapic_text, pic_text, registers_text
from harness.evidence.run import Run
from harness.hardware.exceptions import EXCEPTIONS
from harness.kernel.program import ProgramError
from harness.probes.assertions import explained_comparisons
from harness.probes.excuse import Excuse, excusing
from harness.probes.mistakes import MISTAKES, explain_mistake
from harness.probes.probe import Case
from harness.probes.probe_code import ProbeExit, probe_code
from harness.qemu.errors import QemuError
from harness.run.build import Built
from harness.run.record import AtFault, FailureDetail

__all__ = ["console_text", "failure_detail", "fault_in", "judge"]

_SERIAL_FIRST, _SERIAL_LAST = 24, 8  # lines of the console that a report shows
_SERIAL_WIDTH = 400  # characters of one line


def judge(run: Run, built: Built, excuse: Excuse) -> None:
    """Let the probe judge. Raises whatever it raises, but for the assertions that `excuse` takes."""
    with explained_comparisons() as compared, excusing(excuse), probe_code():
        try:
            built.judgement.send(run)
        except StopIteration:
            pass
        except AssertionError:
            run.missing = compared.missing
            raise
        except MISTAKES as error:
            text = explain_mistake(error, built.case.probe.path)
            raise ProbeBroken(text).with_traceback(error.__traceback__) from None
        else:
            raise ProbeBroken("the probe has a second yield")
    if not run.ended:
        raise ProbeBroken("the judgement ended while the guest was stopped at a checkpoint. To fix: call run.resume()")
    _check_faults(run)


def _check_faults(run: Run) -> None:
    """Raise RunFailure for a block of k.faults whose end the guest reached without an exception."""
    for block in run.built.program.fault_blocks:
        if run.machine.ram[run.built.image.program.symbols[block.flag]]:
            row = None if block.vector is None else EXCEPTIONS.get(block.vector)
            what = row.mnemonic if row else "exception"
            reason = (
                f"{block.origin}: no {what} came in the block of k.faults. Expected: one each time the block runs. "
                "To fix: cause it, or write k.faults(…, optional=True) and judge run.vectors"
            )
            raise RunFailure(reason, origin=block.origin)


def fault_in(case: Case, error: BaseException | None) -> AtFault:
    """What broke in a run whose verdict is `error`; without an exception it is the host, which did not let QEMU run."""
    match error:
        case None | HostTrouble() | AssertionError() | RunFailure():
            return AtFault.HOST
        case ProbeBroken() | ProbeExit():
            return AtFault.PROBE
        case RunBroken() | QemuError():
            return AtFault.QEMU
    frames = traceback.extract_tb(error.__traceback__)
    own = any(Path(frame.filename) == case.probe.path for frame in frames)
    return AtFault.PROBE if own else AtFault.HARNESS


def failure_detail(
    case: Case, error: BaseException, run: Run | None = None, note: Section | None = None
) -> FailureDetail:
    """The report's sections: the assertion, the console, the controllers; and the probe's line.

    `note`: about the assertions behind one that a recorded deviation excuses.
    """
    sections: list[Section] = []
    path, line = "", 0
    for frame in traceback.extract_tb(error.__traceback__):
        if Path(frame.filename) == case.probe.path:
            path, line = frame.filename, frame.lineno or 0
    if isinstance(error, AssertionError):
        sections.append(Section("Assertion", str(error) or "assert failed", SectionKind.VERDICT))
    elif isinstance(error, AssemblyError):  # its text is the reason already
        path, line = error.problems[0].origin.file, error.problems[0].origin.line
    elif isinstance(error, ProgramError):  # likewise
        pass
    elif isinstance(error, RunFailure | RunBroken):
        sections += error.sections
        if isinstance(error, RunFailure) and error.origin is not None:
            path, line = error.origin.file, error.origin.line
    else:
        text = "".join(traceback.format_exception(error, limit=-4))
        sections.append(Section("Error", text, SectionKind.FINDING))
    if note is not None:
        sections.append(note)
    if run is not None and run.missing is not None and isinstance(error, AssertionError):
        sections.append(Section("Delivery path", str(run.why(run.missing)), SectionKind.FINDING))
    if run is not None:
        sections += _evidence(run, with_registers=isinstance(error, AssertionError))
    return FailureDetail(tuple(sections), path, line)


def console_text(output: bytes) -> str:
    """The first and the last lines of the console."""
    lines = [line[:_SERIAL_WIDTH] for line in output.decode("latin-1").splitlines()]
    left_out = len(lines) - _SERIAL_FIRST - _SERIAL_LAST
    if left_out > 0:
        lines[_SERIAL_FIRST:-_SERIAL_LAST] = [f"… {left_out} more lines …"]
    return "\n".join(lines)


def _evidence(run: Run, *, with_registers: bool) -> list[Section]:
    """The state of the machine, as far as it can still be read."""
    sections: list[Section] = []
    values = [(value.name, value, run.raw(value)) for value in run.built.program.values]
    if values:
        width = max(len(name) for name, _, _ in values)
        shown = [
            f"{name:<{width}}  " + ("never written" if raw is None else f"{raw:#x} ({raw})") for name, _, raw in values
        ]
        sections.append(Section("Values", "\n".join(shown), SectionKind.FINDING))
    try:
        sections.append(Section("Serial", console_text(run.machine.serial_output())))
        if with_registers:
            text = "\n\n".join(registers_text(cpu, run.built.image) for cpu in run.cpus)
            sections.append(Section("Registers", text))
        sections.append(Section("Local APIC", lapic_text(run.machine.lapic(0))))
        ioapic, master, slave = run.machine.pics()
        sections.append(Section("IO APIC and 8259s", "\n".join([ioapic_text(ioapic), pic_text(master, slave)])))
    except Exception as error:  # the report must not depend on QEMU any more
        sections.append(Section("Evidence", f"no more could be read: {error}"))
    return sections
