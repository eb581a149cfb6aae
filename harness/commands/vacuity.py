"""`trapgate vacuity`: do the probes fail if a step of their program is missing?"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich import box
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from harness.campaign.sharding import default_workers
from harness.campaign.worker_pool import WorkerPoolError
from harness.commands.options import Jobs, Selection, selecting
from harness.commands.planning import check_programs, usage_error
from harness.probes.probe import Case
from harness.qemu.errors import QemuError
from harness.report.atomic import write_atomic
from harness.report.terminal import make_console
from harness.report.text import plural, printable

if TYPE_CHECKING:
    from harness.campaign.vacuity import CaseScore, CaseVacuity
    from harness.qemu.target import Target
    from harness.run.options import RunOptions

__all__ = ["vacuity_command"]

_SHOWN = 5  # undecided cases; the JSON has all
_RUNS_A_CASE = 10  # about: for the number of workers


@selecting
def vacuity_command(
    selection: Selection,
    triggers: Annotated[bool, typer.Option("--triggers", help="Remove only the triggers, not each step.")] = False,
    first: Annotated[
        bool, typer.Option("--first", help="Examine only the first case of each probe: minutes instead of an hour.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write every removal and its effect as JSON.")
    ] = None,
    check: Annotated[
        Path | None,
        typer.Option("--check", metavar="BASELINE", help="Fail where a score is below that of this file."),
    ] = None,
    write: Annotated[
        Path | None, typer.Option("--write-baseline", metavar="FILE", help="Write the scores to this file.")
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail also where the host delayed each run without a trigger.")
    ] = False,
    jobs: Jobs = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Name each step whose removal the probe does not notice.")
    ] = False,
) -> None:
    """Remove the steps of each guest program one at a time, and check whether its probe fails.

    Without its triggers a probe must `fail`. Its score is the share of its steps whose removal turns it red.

    Exit codes: 0 · 1 where a probe does not fail without its trigger, or a score has fallen · 2 wrong usage · 3 a case
    ended in an error, or (with --strict) was delayed by the host.
    """
    from harness.campaign.baseline import BaselineError, read_baseline
    from harness.campaign.vacuity import case_scores

    if triggers and (check or write):
        usage_error("--triggers: makes no scores, so that it cannot be combined with --check or --write-baseline")
    target, cases = selection.plan_on_one_target()
    try:
        check_programs([target])
        baseline = read_baseline(check) if check else None
    except (QemuError, BaselineError) as error:
        usage_error(str(error))
    if baseline is not None and baseline.target != target.name:
        usage_error(f"--check {check}: is a baseline of {baseline.target}. Expected: one of {target.name}")
    if first:
        firsts: dict[str, Case] = {}
        for case in cases:
            firsts.setdefault(case.probe.id, case)
        cases = list(firsts.values())
    found = _examine(target, cases, selection.run_options(), triggers, jobs)
    scores = case_scores(found)
    _show(found, scores, verbose=verbose)
    fallen = baseline.fallen(scores) if baseline is not None else []
    _show_baseline(fallen, baseline.without(scores) if baseline is not None else [])
    _write(json_file, json.dumps([_plain(case) for case in found], indent=1) + "\n")
    if write is not None:
        _write(write, _baseline_text(write, target.name, scores, whole=selection.whole and not selection.probes))
    bad = [case for case in found if _is_finding(case)]
    broken = any(case.verdict == "error" or (strict and _is_undecided(case)) for case in found)
    raise typer.Exit(1 if bad or fallen else 3 if broken else 0)


def _examine(
    target: Target, cases: Sequence[Case], options: RunOptions, triggers: bool, jobs: int | None
) -> list[CaseVacuity]:
    """Examine every case; the results are in the order of `cases`."""
    from harness.campaign.parallel import for_each_case
    from harness.campaign.vacuity import CaseVacuity, examine
    from harness.run.record import Verdict

    runs = [(target, case) for case in cases]
    workers = jobs or default_workers(len(runs) * _RUNS_A_CASE)
    found: dict[int, CaseVacuity] = {}
    console = make_console(stderr=True)
    columns = (BarColumn(bar_width=20), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("", total=len(runs))
        do = partial(examine, triggers_only=triggers)
        try:
            for done in for_each_case(runs, options, do, workers):
                case = cases[done.number]
                lost = CaseVacuity(case.id, case.probe.id, target.name, Verdict.ERROR, done.lost)
                found[done.number] = done.result or lost
                progress.update(task, advance=1, description=case.id)
        except WorkerPoolError as error:
            console.print(Text(str(error), "bold magenta"), soft_wrap=True)
            raise typer.Exit(3) from None
    return [found[number] for number in sorted(found)]


def _is_finding(case: CaseVacuity) -> bool:
    return case.trigger is not None and case.trigger != "fail" and not _is_undecided(case)


def _is_undecided(case: CaseVacuity) -> bool:
    return case.trigger is not None and case.trigger.name == "HELD_UP"


def _show(found: Sequence[CaseVacuity], scores: Sequence[CaseScore], *, verbose: bool) -> None:
    from harness.campaign.vacuity import probe_scores

    console = make_console()
    worst = probe_scores(scores)
    if worst:
        console.print(_table(found, worst))
    for title, cases in (
        ("Without its trigger, a probe must fail. These did not:", [case for case in found if _is_finding(case)]),
        (
            "Cases that ended in an error, and could not be examined:",
            [c for c in found if c.verdict == "error"],
        ),
    ):
        if cases:
            console.print(Text(title, "bold red"))
            for case in cases:
                text = f"  {case.case}: {case.trigger or printable(case.reason)}"
                more = printable(case.trigger_reason)
                console.print(Text(text + (f" ({more})" if more else "")), soft_wrap=True)
            console.print()
    if verbose:
        _show_unnoticed(found)
    apart = Counter(str(case.verdict) for case in found if case.apart and case.verdict != "error")
    if apart:
        shown = ", ".join(f"{number} {verdict}" for verdict, number in apart.items())
        console.print(f"Not examined, because their verdict is not pass: {shown}.", soft_wrap=True)
    examined = [case for case in found if not case.apart]
    good = sum(case.trigger == "fail" for case in examined)
    console.print(f"Triggers: {good} of {plural(len(examined), 'case')} fail without their trigger.", soft_wrap=True)
    undecided = [case for case in examined if _is_undecided(case)]
    if undecided:
        console.print(
            Text(f"{plural(len(undecided), 'case')} undecided: the host was too busy to run QEMU, as in:", "yellow")
        )
        for case in undecided[:_SHOWN]:
            console.print(Text(f"  {case.case} ({printable(case.trigger_reason)})"), soft_wrap=True)
    if worst:
        from harness.campaign.baseline import total_score

        red, removable = total_score(worst.values())
        console.print(
            f"Score of all: {100 * red / max(removable, 1):.1f} % ({red} of {removable} steps of "
            f"{plural(len(worst), 'probe')} turn red when removed, each probe by its worst case).",
            soft_wrap=True,
        )


def _table(found: Sequence[CaseVacuity], scores: Mapping[str, CaseScore]) -> Table:
    from harness.campaign.vacuity import Effect

    table = Table(
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        header_style="bold",
        caption="red: the probe fails without that step · green: it passes without that step · required: the program "
        "does not run without it · host-dependent: the result depends on host timing; both are excluded from the "
        "score · each probe by its worst case",
        caption_justify="left",
    )
    table.add_column("probe", overflow="fold")
    for title in ("cases", "red", "green", "required", "host-dependent", "score"):
        table.add_column(title, justify="right")
    worst = {case.case: case for case in found}
    number = Counter(case.probe for case in found if not case.apart)
    for name, score in scores.items():
        case = worst[score.case]
        style = "red" if score.score < 0.25 else "yellow" if score.score < 0.5 else "green"
        chance = case.count(Effect.HOST_DEPENDENT) + case.count(Effect.HELD_UP)
        cells = [str(case.count(effect)) for effect in (Effect.RED, Effect.GREEN, Effect.BROKEN)] + [str(chance)]
        table.add_row(name, str(number[name]), *cells, Text(f"{100 * score.score:.0f} %", style))
    return table


def _show_unnoticed(found: Sequence[CaseVacuity]) -> None:
    console = make_console()
    for case in found:
        unnoticed = [removal for removal in case.removals if removal.effect == "green"]
        if unnoticed:
            console.print(Text(f"{case.case}: passes without", "bold"), soft_wrap=True)
            for removal in unnoticed:
                console.print(Text(f"  {removal.where}  {removal.what}"), soft_wrap=True)
    console.print()


def _show_baseline(fallen: Sequence[tuple[CaseScore, float]], new: Sequence[str]) -> None:
    console = make_console()
    for score, before in fallen:
        text = f"fallen: {score.case} was {before:.2f}, is {score.score:.2f}"
        console.print(Text(text, "bold red"), soft_wrap=True)
    if new:
        console.print(
            f"{plural(len(new), 'case')} not in the baseline. To fix: --write-baseline adds them.", soft_wrap=True
        )


def _plain(case: CaseVacuity) -> dict[str, Any]:
    return {
        "case": case.case,
        "probe": case.probe,
        "target": case.target,
        "verdict": str(case.verdict),
        "reason": case.reason,
        "without_trigger": None if case.trigger is None else str(case.trigger),
        "without_trigger_reason": case.trigger_reason,
        "host_trigger": case.host_trigger,
        "score": round(case.score, 4),
        "removals": [
            {"what": r.what, "where": r.where, "trigger": r.trigger, "effect": str(r.effect), "reason": r.reason}
            for r in case.removals
        ],
    }


def _baseline_text(path: Path, target: str, scores: Sequence[CaseScore], *, whole: bool) -> str:
    """The scores of cases that were not selected are unchanged; those of removed cases are dropped."""
    from harness.campaign.baseline import document

    unchanged: dict[str, Any] = {}
    if not whole and path.exists():
        try:
            unchanged = dict(json.loads(path.read_text(encoding="utf-8"))["cases"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            usage_error(f"--write-baseline {path}: is not a vacuity baseline ({error}). To fix: remove the file")
    return document(target, scores, unchanged)


def _write(path: Path | None, text: str) -> None:
    if path is None:
        return
    try:
        write_atomic(path, text.encode())
    except OSError as error:
        make_console(stderr=True).print(Text(f"{path}: {error.strerror}; it was not written", "bold magenta"))
        raise typer.Exit(3) from None
