"""Executes one run, from case to record. A fail is never run again to make it a pass."""

from __future__ import annotations

import itertools
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from harness.abi import Boots
from harness.assembly import AssemblyError
from harness.evidence.endings import QemuKilled, killed_from_outside
from harness.evidence.failures import ResetUnseen, RunFailure, Section, SectionKind
from harness.evidence.resets import TRACE_FAULTS
from harness.evidence.run import Run
from harness.hardware.block import PlaceholderError
from harness.hardware.register import FieldError
from harness.image.elf import elf
from harness.image.image import Parameters
from harness.kernel.program import ProgramError, TargetLacks
from harness.one_line import one_line
from harness.probes.excuse import Excuse
from harness.probes.probe import Case
from harness.probes.probe_code import ProbeExit
from harness.probes.probe_error import ProbeError
from harness.qemu.devices import devices_named
from harness.qemu.errors import QemuDied, QemuError, QemuHung, QemuStartError, Unsupported
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.pool import MachinePool
from harness.qemu.stop import GuestReset
from harness.qemu.target import Target
from harness.run.build import Built, build
from harness.run.excuses import Excuses
from harness.run.held_up import held_up
from harness.run.host_faults import faults_for
from harness.run.judge import failure_detail, fault_in, judge
from harness.run.known import KnownDifferences
from harness.run.leftovers import leaves_state, stage
from harness.run.observed import observed
from harness.run.options import RunOptions
from harness.run.reasons import start_detail, start_reason
from harness.run.record import AtFault, FailureDetail, RunRecord, Verdict
from harness.run.rerun import rerun_command
from harness.run.sticky_writes import reads_clock

__all__ = ["Executor", "build"]

_BUILD_ERRORS = (ProgramError, ProbeError, FieldError, PlaceholderError, AssemblyError)


class Executor:
    """Runs cases on one target. Owns its machines: close it, or use it as a context manager."""

    def __init__(self, target: Target, options: RunOptions | None = None) -> None:
        self.target = target
        self.options = options or RunOptions()
        self._pool = MachinePool()
        self._run_ids = itertools.count(1)
        self._tsc_khz = 1_000_000 if target.deterministic else 0
        self._known = KnownDifferences(target, self.options.records)

    def run(self, case: Case, options: RunOptions | None = None) -> RunRecord:
        """Boot once, observe, judge. Never raises for anything that a probe, a guest or QEMU does."""
        chosen = options or self.options
        started = time.perf_counter()
        attempts = 1
        try:
            record = self._attempt(case, chosen)
            if record is None:  # another process killed QEMU: repeated once, on a fresh QEMU
                attempts = 2
                record = self._attempt(case, replace(chosen, cold=True), last=True)
                assert record is not None
        except Exception as error:  # of the harness: the other runs continue
            reason = one_line(f"the harness raised {type(error).__name__}: {error}")
            detail = FailureDetail((Section("Error", traceback.format_exc(), SectionKind.FINDING),))
            record = self._record(case, AtFault.HARNESS, reason=reason, detail=detail)
        record = replace(record, attempts=attempts)
        return replace(record, ms=(time.perf_counter() - started) * 1e3)

    def host_paced(self, case: Case, built: Built) -> bool:
        """Whether something in the case's run works in the host's time. Raises Unsupported."""
        return _host_paced(built, self._config(case, self.options))

    def close(self) -> None:
        """End all machines."""
        self._pool.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # --- one attempt ---

    def _attempt(self, case: Case, options: RunOptions, *, last: bool = False) -> RunRecord | None:
        """One attempt; `None` where another process killed QEMU and the attempt may be repeated."""
        if case.probe.cold:
            options = replace(options, cold=True)
        try:
            config = self._config(case, options)
            if self._known.software_kvm:
                faults_for(case)  # raises ProbeError for a malformed file
            built = build(case, self.target, options.omit, longest_wait_ms=options.longest_wait_ms)
            if reads_clock(built.program.statements()):
                options = replace(options, cold=True)
            run_id = next(self._run_ids) << 16 & 0xFFFF_FFFF
            paced = _host_paced(built, config)
            parameters = Parameters(self._tsc_khz, run_id, case.probe.cpus, paced=paced)
        except (TargetLacks, Unsupported) as error:
            return self._record(case, Verdict.UNSUPPORTED, reason=str(error))
        except _BUILD_ERRORS as error:
            return self._record(case, AtFault.PROBE, reason=str(error), detail=failure_detail(case, error))
        except ProbeExit as error:
            reason = f"the probe's program: {error}"
            return self._record(case, AtFault.PROBE, reason=reason, detail=failure_detail(case, error))
        except Exception as error:  # the probe's own code above the yield
            reason = f"the probe raised {type(error).__name__} while it wrote its program: {error}"
            return self._record(case, AtFault.PROBE, reason=reason, detail=failure_detail(case, error))
        with ExitStack() as stack:
            try:
                if options.cold or not config.reusable:
                    machine = stack.enter_context(Machine.launch(config, self._file(case, built, parameters)))
                else:
                    machine = stack.enter_context(self._pool.lend(config, built.image.rom))
            except Unsupported as error:
                unsupported = self._record(case, Verdict.UNSUPPORTED, reason=str(error))
                return replace(unsupported, lacking="host")  # what the target can never have was checked above
            except (QemuError, OSError) as error:
                if not last and isinstance(error, QemuStartError) and error.from_outside:
                    return None  # no guest has run yet
                detail, fault = start_detail(error), AtFault.QEMU if isinstance(error, QemuError) else AtFault.HOST
                return self._record(case, fault, reason=start_reason(error), detail=detail)
            record = unseen = None
            try:
                record = self._observe(case, options, built, machine, parameters)
            except QemuKilled as error:
                if last:
                    record = self._record(case, AtFault.HOST, machine, reason=error.reason)
            except ResetUnseen as error:
                unseen = error
            lost_idle = machine.lost_idle
        if lost_idle:  # the guest has not run; the pool starts a new machine
            return self._attempt(case, options, last=last)
        if unseen is not None:
            return self._see_reset(case, options, unseen)
        return self._see_fault(case, options, record)

    def _see_reset(self, case: Case, options: RunOptions, unseen: ResetUnseen) -> RunRecord:
        """Repeat the run on a fresh machine, which a reset stops with its registers. The verdict stays that of a
        reset."""
        record = self._traced(case, options)
        if record.ended_by_reset:
            return record
        reason = f"{unseen.reason} on a warm machine; on a fresh one: {record.verdict} {record.reason}".rstrip()
        outcome = self._known.judge(case, Verdict.FAIL, reason, unseen)
        return replace(record, verdict=outcome.verdict, reason=outcome.reason, deviation=outcome.deviation)

    def _see_fault(self, case: Case, options: RunOptions, record: RunRecord | None) -> RunRecord | None:
        """Repeat a run that ended with a reset by the guest, for the log of its faults; any other record is
        unchanged."""
        if record is None or options.trace_faults or record.verdict is not Verdict.FAIL:
            return record
        if self.target.accelerator != "tcg" or not record.ended_by_reset:
            return record
        again = self._traced(case, options)
        return again if again.verdict is Verdict.FAIL and again.ended_by_reset else record

    def _traced(self, case: Case, options: RunOptions) -> RunRecord:
        """Repeat the run on a fresh machine that logs its faults."""
        record = self._attempt(case, replace(options, cold=True, trace_faults=True, second_source=False), last=True)
        assert record is not None
        return record

    @staticmethod
    def _file(case: Case, built: Built, parameters: Parameters) -> bytes:
        """The file that the boot path starts from."""
        match case.boot:
            case "rom":
                return built.image.rom
            case "multiboot" | "pvh":
                return elf(built.image, parameters, case.boot)
            case _:
                raise Unsupported(f"there is no boot path {case.boot!r}. Expected: rom, multiboot or pvh")

    def _observe(
        self, case: Case, options: RunOptions, built: Built, machine: Machine, parameters: Parameters
    ) -> RunRecord:
        watchdog_s = case.probe.watchdog_s if options.watchdog_s is None else options.watchdog_s
        machine.patience = max(watchdog_s, 3.0)
        held = options.cold or not machine.config.reusable
        traced = options.trace_faults and self.target.accelerator == "tcg"
        run = Run(machine, built, parameters.run_id, watchdog_s, act=options.act, held=held, traced=traced)
        pieces: list[tuple[int, bytes]] = []
        if case.boot == "rom":
            pieces = stage(machine, built.image, parameters, Boots.ALWAYS if held else Boots.ONCE)
        started = time.perf_counter()
        excuses = Excuses(self._known, case)
        verdict, error = _boot_and_judge(run, built, pieces, watchdog_s, excuses)
        outcome = excuses.outcome(run, verdict, error)
        shown = excuses.first if outcome.verdict is Verdict.DEVIATION and excuses.first is not None else error
        detail = FailureDetail() if shown is None else failure_detail(case, shown, run, excuses.note)
        parts = {**built.parts_ms, "run": run.guest_ms, "judge": (time.perf_counter() - started) * 1e3 - run.guest_ms}
        seen = observed(run, parameters.run_id)
        if run.ended and not options.cold and machine.config.reusable and leaves_state(run, seen.snapshot) is None:
            self._pool.keep(machine)  # after any other end the next run gets a fresh process
        if self._tsc_khz == 0 and run.ended:
            self._tsc_khz = run.tsc_khz
        if not self.target.deterministic or parameters.paced:
            denied = machine.deprivation
            outcome = held_up(
                outcome,
                denied,
                paced_only=self.target.deterministic,
                quiet_ms=built.program.quiet_ms,
                guest_ms=run.guest_ms,
            )
        failed = outcome.verdict is Verdict.ERROR
        what = fault_in(case, error) if failed else outcome.verdict
        record = self._record(case, what, machine, reason=outcome.reason, detail=detail)
        return replace(
            record,
            deviation=outcome.deviation,
            ended_by_reset=isinstance(error, RunFailure) and error.by_reset and not failed,
            cpu=error.cpu if isinstance(error, RunFailure) else None,
            **seen._asdict(),
            values={value.name: run.raw(value) for value in built.program.values},
            parts_ms=parts,
            host_acted=run.acted,
            host_triggered=run.triggered,
        )

    def _config(self, case: Case, options: RunOptions) -> MachineConfig:
        probe = case.probe
        if options.second_source and self.target.accelerator != "tcg":
            raise Unsupported("there is no second source of interrupts: only TCG has an interrupt log")
        config = MachineConfig(
            self.target,
            cpus=probe.cpus,
            devices=devices_named(probe.needs),
            interactive=probe.interactive,
            extra_args=options.qemu_args,
            boot="rom" if case.boot == "rom" else "kernel",
            interrupt_log=options.second_source,
        )
        missing = config.missing()
        if missing is not None:
            raise Unsupported(missing)
        return config

    def _record(
        self,
        case: Case,
        outcome: Verdict | AtFault,
        machine: Machine | None = None,
        *,
        reason: str = "",
        detail: FailureDetail | None = None,
    ) -> RunRecord:
        verdict = Verdict.ERROR if isinstance(outcome, AtFault) else outcome
        return RunRecord(
            probe=case.id,
            target=self.target.name,
            verdict=verdict,
            rule=case.probe.rule,
            citation=case.probe.spec,
            ms=0.0,
            reason=reason,
            detail=detail or FailureDetail(),
            command_line=machine.command_line if machine is not None else "",
            at_fault=outcome if isinstance(outcome, AtFault) else None,
            lacking="target" if verdict is Verdict.UNSUPPORTED else "",
            rerun=rerun_command(case, self.target, self.options),
        )


def _host_paced(built: Built, config: MachineConfig) -> bool:
    return built.program.host_paced or config.host_paced


def _boot_and_judge(
    run: Run, built: Built, pieces: list[tuple[int, bytes]], watchdog_s: float, excuse: Excuse
) -> tuple[Verdict, BaseException | None]:
    """Boot, observe, judge: the verdict and its exception. Raises `QemuKilled` and `ResetUnseen` alone."""
    try:
        if run.traced:
            run.machine.hmp(TRACE_FAULTS)
        started = time.perf_counter()
        guest_reset: GuestReset = "stop" if run.held else "unexpected"
        stop = run.machine.run_once(pieces, watchdog_s, guest_reset=guest_reset, until_asleep=True)
        run.guest_ms = (time.perf_counter() - started) * 1e3
        run.stopped(stop)
        judge(run, built, excuse)
    except (RunFailure, AssertionError) as error:
        return Verdict.FAIL, error
    except TargetLacks as error:
        return Verdict.UNSUPPORTED, error
    except (QemuKilled, ResetUnseen):
        raise
    except QemuDied as error:
        if not isinstance(error, QemuHung) and killed_from_outside(run.machine, error.returncode):
            raise QemuKilled(str(error)) from None
        return Verdict.ERROR, error
    except Exception as error:  # of the harness, of QEMU, or of the probe's code below the yield
        return Verdict.ERROR, error
    return Verdict.PASS, None
