"""`trapgate run`: boot probes on targets, and print the verdicts."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import typer
from rich.text import Text

from harness.campaign.repeat_tally import Repeats
from harness.campaign.sharding import Shard
from harness.campaign.worker_pool import WorkerPoolError
from harness.commands.options import HtmlFile, Jobs, Selection, selecting
from harness.commands.planning import check_programs, usage_error
from harness.commands.run_reports import NO_FILES, ReportFileProblem, ReportFiles, RunReports
from harness.commands.streams import Stream
from harness.probes.loader import LoadProblem
from harness.probes.own_records import OwnRecord, RecordsError, load_records
from harness.probes.probe import Case
from harness.probes.probe_places import shown
from harness.qemu.errors import QemuError
from harness.qemu.target import Target
from harness.report.documents import document
from harness.report.github import commands_stopped, error_commands, github_environment, write_step_summary
from harness.report.summary import Result, exit_code, headline
from harness.report.terminal import Terminal, make_console
from harness.report.text import plural
from harness.run.host_faults import REFERENCE, kvm_kind
from harness.run.record import RunRecord, Verdict
from harness.run.targets import hold_required, required_targets
from harness.run.unloaded import broken_records

__all__ = ["run_command"]

EXIT_CODES = (
    "Exit codes: 0 every verdict is pass, deviation or unsupported; 1 a fail (a recorded deviation that has "
    "disappeared is one); 2 wrong usage, nothing ran; 3 an error: a probe's code, QEMU, the host or the "
    "harness broke, or a report could not be written; "
    "130 Ctrl-C, 143 SIGTERM, 129 SIGHUP. "
    f"The documents below docs/: {Path(document('docs/ci.md')).parent}"
)


class Stopped(KeyboardInterrupt):
    """A signal ends the run. A KeyboardInterrupt, so that code that passes Ctrl-C on passes it on."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass(frozen=True)
class Plan:
    """The runs, by target, and the options of their reports."""

    runs: Sequence[tuple[Target, Sequence[Case]]]
    stream: Stream
    files: ReportFiles = NO_FILES
    first_failure: bool = False
    verbose: bool = False
    broken: tuple[RunRecord, ...] = ()  # an error for each file that cannot be loaded
    required: frozenset[str] = frozenset()  # names of targets that this host must be able to run

    @property
    def size(self) -> int:
        """The number of records."""
        return sum(len(cases) for _, cases in self.runs) + len(self.broken)


@selecting
def run_command(
    selection: Selection,
    require: Annotated[
        list[str] | None,
        typer.Option(
            "--require",
            metavar="NAME",
            help="Target, comma list or 'all': a run that this host cannot make on it is a fail (repeatable).",
        ),
    ] = None,
    json_file: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write every record as JSON (docs/json.md)."),
    ] = None,
    junit_file: Annotated[
        Path | None, typer.Option("--junit", metavar="FILE", help="Write JUnit XML, for example for GitLab or Jenkins.")
    ] = None,
    html_file: HtmlFile = None,
    trace_file: Annotated[
        Path | None,
        typer.Option(
            "--trace", metavar="FILE", help="Write the interrupts as a trace for ui.perfetto.dev (docs/report.md)."
        ),
    ] = None,
    vcd_file: Annotated[
        Path | None,
        typer.Option("--vcd", metavar="FILE", help="Write the interrupts as a value change dump, for GTKWave."),
    ] = None,
    ktap_file: Annotated[
        Path | None, typer.Option("--ktap", metavar="FILE", help="Write KTAP, for the CI of the kernel (docs/ci.md).")
    ] = None,
    first_failure: Annotated[bool, typer.Option("--exitfirst", "-x", help="Stop at the first fail or error.")] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Print a line for every run, also on a terminal.")
    ] = False,
    jobs: Jobs = None,
    shard: Annotated[
        str | None,
        typer.Option("--shard", metavar="I/N", help="Run only part I of N, chosen by the ids: for several CI jobs."),
    ] = None,
    repeat: Annotated[
        int, typer.Option("--repeat", metavar="N", min=1, help="Run all N times; any difference is a fail.")
    ] = 1,
    cold: Annotated[bool, typer.Option("--cold", help="A fresh QEMU for every run instead of warm machines.")] = False,
    second_source: Annotated[
        bool,
        typer.Option(
            "--second-source", help="Compare the recorded interrupts with QEMU's own log of them (TCG only, slower)."
        ),
    ] = False,
    verify_warm: Annotated[
        bool,
        typer.Option("--verify-warm", help="Repeat each pass on a fresh QEMU; a difference is an error."),
    ] = False,
    random_order: Annotated[
        bool, typer.Option("--random-order", help="Run in a random order; the report is in the order of the plan.")
    ] = False,
    seed: Annotated[
        int | None,
        typer.Option("--seed", metavar="N", help="The random order of this number, which the last lines show."),
    ] = None,
    deviations: Annotated[
        Path | None, typer.Option("--deviations", metavar="TOML", help="Records of your own deviations (docs/ci.md).")
    ] = None,
    record_file: Annotated[
        Path | None, typer.Option("--record", metavar="TOML", help="Write a draft of a record for each fail.")
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Run again what a saved file changes, until Ctrl-C (docs/tutorial.md).")
    ] = False,
    changed: Annotated[list[Path] | None, typer.Option("--changed", hidden=True)] = None,  # what --watch found
) -> None:
    """Boot probes on targets and print their verdicts; each failure is explained."""
    broken: list[LoadProblem] = []
    try:
        part = Shard.parse(shard) if shard else None
    except ValueError as error:
        usage_error(f"--shard {error}")
    if watch:
        _watch(selection, deviations, record_file)
    choice = selection.plan(broken=broken)
    try:
        required = required_targets(require or (), choice.targets)
        check_programs(choice.targets)
    except QemuError as error:
        usage_error(str(error))
    runs = choice.runs
    unchecked = ",".join(target.name for target, chosen in runs if target.name in required and not chosen)
    if unchecked:
        usage_error(
            f"--require {unchecked}: -k {selection.keyword!r} leaves no run on it, so that it would not be checked"
        )
    if verify_warm and (cold or repeat > 1):
        usage_error(f"--verify-warm: cannot be combined with {'--cold' if cold else '--repeat'}")
    if changed:
        runs = _changed_runs(runs, frozenset(changed), broken)
    if part is not None:
        runs = _part_of(runs, part, broken)
    if random_order and seed is None:
        seed = secrets.randbelow(1_000_000)
    errors = broken_records(broken, choice.targets[0].name)
    if deviations is not None:
        own = _own_records(deviations, selection)
    elif selection.project.deviations is not None:
        deviations = Path(shown(selection.project.deviations))
        own = _own_records(deviations)
    else:
        own = ()
    if record_file is not None and record_file.exists():
        usage_error(
            f"--record {record_file}: exists already. To fix: name a new file, and copy finished records to yours"
        )
    options = selection.run_options(
        cold=cold, second_source=second_source, verify_warm=verify_warm, records=own, records_file=deviations
    )
    plan = Plan(
        runs,
        Stream(options, jobs or 0, repeat, seed),
        ReportFiles(json_file, junit_file, html_file, trace_file, vcd_file, ktap_file, record_file),
        first_failure,
        verbose,
        errors,
        required,
    )
    raise typer.Exit(execute(plan))


def _watch(selection: Selection, deviations: Path | None, record_file: Path | None) -> NoReturn:
    """Run again at each change. What is wrong with the options, and no change of a probe repairs, ends it at once."""
    from harness.commands.watch import watch_runs

    if record_file is not None:
        usage_error("--watch: cannot be combined with --record, whose file is never overwritten")
    try:
        check_programs(selection.find_targets())
    except QemuError as error:
        usage_error(str(error))
    extra = [selection.target_file, deviations or selection.project.deviations, selection.project.file]
    raise typer.Exit(watch_runs(selection, extra))


def _changed_runs(
    runs: Sequence[tuple[Target, list[Case]]], files: frozenset[Path], broken: Sequence[LoadProblem]
) -> Sequence[tuple[Target, list[Case]]]:
    """The runs of these files; all where the selection has none of them."""
    held = [(target, [case for case in chosen if case.probe.path in files]) for target, chosen in runs]
    some = any(chosen for _, chosen in held) or any(problem.path in files for problem in broken)
    return held if some else runs


def _own_records(path: Path, selection: Selection | None = None) -> tuple[OwnRecord, ...]:
    """The records of a file. With a selection each must match a probe, also one that was not chosen."""
    everything = replace(selection, names=None).find_cases([]) if selection is not None else None
    try:
        found, drafts = load_records(path, None if everything is None else {case.probe.id for case in everything})
    except RecordsError as error:
        usage_error(f"--deviations: {error}")
    if drafts:
        note = f"--deviations {path}: {plural(drafts, 'draft')} without a reference (ref) do not count"
        make_console(stderr=True).print(Text(note, "yellow"), soft_wrap=True)
    return found


def _part_of(
    runs: Sequence[tuple[Target, list[Case]]], part: Shard, broken: Sequence[LoadProblem]
) -> list[tuple[Target, list[Case]]]:
    """The runs of one CI job of several. A job without runs is wrong usage: its success would prove nothing."""
    held = [(target, [case for case in chosen if part.holds(case.id)]) for target, chosen in runs]
    if not broken and not any(chosen for _, chosen in held):
        planned = {case.id for _, chosen in runs for case in chosen}
        usage_error(f"--shard {part}: holds none of {plural(len(planned), 'case')}. To fix: divide into fewer parts")
    return held


def execute(plan: Plan) -> int:
    """Run a plan and report it; returns the exit code. Reports are written in every case."""
    environment = github_environment()
    if environment is None:
        return _execute(plan)[0]
    with commands_stopped(sys.stdout):
        code, results, title = _execute(plan)
    for line in error_commands(results, environment):
        print(line)
    try:
        write_step_summary(results, title, environment)
    except OSError as error:
        text = f"GITHUB_STEP_SUMMARY: {error.strerror}; the summary was not written"
        make_console(stderr=True).print(Text(text, "bold magenta"), soft_wrap=True)
        code = code or 3
    return code


def _execute(plan: Plan) -> tuple[int, Sequence[Result], str]:
    """The exit code, the results and the headline."""
    terminal = Terminal(make_console(), plan.size, verbose=plan.verbose)
    started = time.monotonic()
    try:
        reports = RunReports(plan.files, plan.runs, plan.stream.options, plan.size)
    except ReportFileProblem as error:
        usage_error(str(error))
    note, code, complete = "", 0, False
    repeats = Repeats(plan.stream.rounds, plan.size - len(plan.broken)) if plan.stream.rounds > 1 else None
    try:
        with _signals(), terminal:
            complete = _run_all(plan, terminal, reports, repeats)
            if not complete:
                note = "stopped at the first failure (-x)"
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Stopped) else int(signal.SIGINT)
        note, code = f"interrupted by {signal.Signals(number).name}", 128 + number
    except WorkerPoolError as error:
        note, code = str(error), 3
    finally:  # also after an exception: the report has the results so far
        cause = "" if complete else note or f"the command broke: {sys.exc_info()[1]!r}"
        problems = reports.close(terminal.results, cause)
    notes = [note, str(repeats) if repeats is not None else ""]
    notes += [f"random order: --seed {plan.stream.seed}"] if plan.stream.seed is not None else []
    notes.append(_note_on_kvm(plan, terminal.results))
    elapsed_ms = (time.monotonic() - started) * 1000
    terminal.summary("\n".join(filter(None, notes)), elapsed_ms)
    for problem in problems:
        make_console(stderr=True).print(Text(problem, "bold magenta"), soft_wrap=True)
    if code == 0:
        code = exit_code(result.record for result in terminal.results)
    return code or (3 if problems else 0), terminal.results, headline(terminal.results, plan.size, elapsed_ms).plain


def _note_on_kvm(plan: Plan, results: Sequence[Result]) -> str:
    """The note on a fail under KVM where the processor has no virtualisation."""
    names = {target.name for target, _ in plan.runs if target.accelerator == "kvm"}
    failed = any(result.record.verdict is Verdict.FAIL and result.record.target in names for result in results)
    if not failed or kvm_kind() != "software":
        return ""
    return f"KVM without hardware virtualisation: a fail may be caused by this host. See {document(REFERENCE)}"


def _run_all(plan: Plan, terminal: Terminal, reports: RunReports, repeats: Repeats | None) -> bool:
    """Run the plan; returns whether all of it ran."""
    runs = [(target, case) for target, cases in plan.runs for case in cases]
    positions: dict[int, Result] = {}

    def starting(case: Case, target: Target) -> None:
        terminal.starting(case.id, target.name)

    for number, record in enumerate(plan.broken, -len(plan.broken)):
        reports.add(record, number)
        positions[number] = Result("(not loaded)", record)
        terminal.finished(positions[number])
        if plan.first_failure:
            return False
    with closing(plan.stream.records(runs, starting, repeats)) as records:
        try:
            for position, record in records:
                record = hold_required(record, plan.required)
                reports.add(record, position)
                positions[position] = Result(runs[position][1].probe.area, record)
                terminal.finished(positions[position])
                if plan.first_failure and not record.ok:
                    return len(terminal.results) == plan.size
        finally:
            terminal.results[:] = [positions[position] for position in sorted(positions)]
    return True


@contextmanager
def _signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does: reports are written, machines are closed.

    The handler also distinguishes Ctrl-C from a KeyboardInterrupt that a probe raises.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
