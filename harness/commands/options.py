"""The options that select what a command works on: which probes, on which targets, with which QEMU. Declared once.

A command takes a `Selection`, or a `TargetSelection`, as its first parameter, and is decorated with `selecting`, which
adds these options, with the defaults of the project's `[tool.trapgate]`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from harness.commands.completion import complete_names, complete_targets
from harness.commands.planning import find_cases, usage_error
from harness.probes.loader import LoadProblem
from harness.probes.own_records import OwnRecord
from harness.probes.probe import Case
from harness.probes.probe_error import ProbeError
from harness.probes.probe_places import shown
from harness.probes.project_settings import ProjectSettings, SettingsError, find_settings
from harness.probes.selection import Keywords, SelectionError
from harness.qemu.errors import QemuError
from harness.qemu.target import Target
from harness.report.text import plural
from harness.run.options import RunOptions
from harness.run.targets import DEFAULT_TARGET, find_targets

__all__ = ["Choice", "HtmlFile", "Jobs", "Selection", "TargetSelection", "selecting"]

R = TypeVar("R")
S = TypeVar("S", bound="TargetSelection")

_NO_OPTION = {"option": False}

Jobs = Annotated[
    int | None,
    typer.Option(
        "--jobs", "-j", metavar="N", min=1, help="Worker processes; default: one for each core, fewer for a short plan."
    ),
]

HtmlFile = Annotated[
    Path | None,
    typer.Option("--html", metavar="FILE", help="Write the HTML report: one file, with timelines (docs/report.md)."),
]


@dataclass(frozen=True)
class Choice:
    """The cases and the targets that were chosen, and which case is to run on which target."""

    cases: Sequence[Case]
    targets: Sequence[Target]
    runs: Sequence[tuple[Target, list[Case]]]


@dataclass(frozen=True)
class TargetSelection:
    """The targets and the QEMU program; the fields are the declaration of the options, but for the first two.

    `project` is the table `[tool.trapgate]`; `defaults` names the fields that have their value from it.
    """

    project: ProjectSettings = field(default=ProjectSettings(), metadata=_NO_OPTION)
    defaults: frozenset[str] = field(default=frozenset(), metadata=_NO_OPTION)

    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            "-t",
            metavar="NAME",
            help=f"Target, comma list or 'all' (repeatable). Default: {DEFAULT_TARGET}; of doctor and matrix all.",
            autocompletion=complete_targets,
        ),
    ] = None
    target_file: Annotated[
        Path | None,
        typer.Option("--target-file", metavar="TOML", help="More targets, one table each (docs/ci.md)."),
    ] = None
    qemu: Annotated[list[str] | None, typer.Option("--qemu", metavar="PATH", help="The QEMU program to test.")] = None

    @property
    def program(self) -> str | None:
        """The QEMU program; None for that of each target. More than one is wrong usage."""
        if len(self.qemu or ()) > 1:
            usage_error(
                f"--qemu {', '.join(self.qemu or ())}: expected one program; `trapgate matrix` compares several"
            )
        return self.qemu[0] if self.qemu else None

    def find_targets(self, default: Sequence[str] = (), *, qemu: bool = True) -> list[Target]:
        """The targets; `qemu=False` leaves each its own QEMU program. Raises TargetError."""
        return find_targets(self.target or default, self.target_file, self.program if qemu else None)


@dataclass(frozen=True)
class Selection(TargetSelection):
    """The targets, the QEMU program and the probes."""

    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Files, folders, areas, probes, cases or globs, as `trapgate list` shows them.",
            autocompletion=complete_names,
        ),
    ] = None
    keyword: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPR", help="Only ids or targets that match, as in pytest: 'hpet and not pc'."),
    ] = None
    probes: Annotated[
        list[Path] | None,
        typer.Option("--probes", metavar="DIR", help="Probes of this folder instead of the catalogue (repeatable)."),
    ] = None
    catalogue: Annotated[bool, typer.Option("--catalogue", help="With --probes: the catalogue's probes as well.")] = (
        False
    )
    qemu_arg: Annotated[
        list[str] | None, typer.Option("--qemu-arg", metavar="ARG", help="One more argument for QEMU (repeatable).")
    ] = None

    @property
    def qemu_args(self) -> tuple[str, ...]:
        """The last arguments of QEMU's command line."""
        return tuple(self.qemu_arg or ())

    @property
    def whole(self) -> bool:
        """Whether neither names nor an expression select a part."""
        return not self.names and not self.keyword

    @property
    def narrowing(self) -> list[str]:
        """The options, besides names, with which the command line chooses probes or targets."""
        options = {
            "keyword": "-k",
            "probes": "--probes",
            "target": "--target",
            "target_file": "--target-file",
            "qemu": "--qemu",
            "qemu_arg": "--qemu-arg",
        }
        return [option for name, option in options.items() if getattr(self, name) and name not in self.defaults]

    def find_cases(self, broken: list[LoadProblem] | None = None) -> list[Case]:
        """The cases by their names alone: see `harness.commands.planning.find_cases`."""
        return find_cases(self.names or (), self.probes or (), broken=broken, catalogue=self.catalogue)

    def plan(
        self,
        default: Sequence[str] = (),
        broken: list[LoadProblem] | None = None,
        *,
        qemu: bool = True,
    ) -> Choice:
        """The chosen cases and targets; `default` replaces the default target. Exits with code 2 where nothing is
        chosen.

        `qemu=False` leaves each target its own QEMU program.
        """
        try:
            keywords = Keywords(self.keyword) if self.keyword else None
            cases = self.find_cases(broken)
            targets = self.find_targets(default, qemu=qemu)
            runs = [(t, [case for case in cases if keywords is None or keywords.match(case, t.name)]) for t in targets]
        except (SelectionError, ProbeError, QemuError) as error:
            usage_error(str(error))
        chosen = {case.id for _, held in runs for case in held}
        if not chosen:
            what = f"{plural(len(cases), 'case')} on {plural(len(targets), 'target')}"
            usage_error(f"-k {self.keyword!r} matches none of {what}")
        return Choice([case for case in cases if case.id in chosen], targets, runs)

    def plan_on_one_target(self) -> tuple[Target, list[Case]]:
        """The target and the cases, for a command that takes one target: of several defaults of the project the
        first."""
        plan = self.plan()
        if len(plan.targets) != 1 and "target" not in self.defaults:
            usage_error(f"--target {','.join(target.name for target in plan.targets)}: expected one target")
        return plan.targets[0], list(plan.cases)

    def run_options(
        self,
        *,
        cold: bool = False,
        second_source: bool = False,
        verify_warm: bool = False,
        records: tuple[OwnRecord, ...] = (),
        records_file: Path | None = None,
    ) -> RunOptions:
        """How the runs of this selection are made."""
        return RunOptions(
            cold=cold,
            qemu_args=tuple(self.qemu_arg or ()),
            second_source=second_source,
            verify_warm=verify_warm,
            records=records,
            target_file=self.target_file,
            qemu=self.qemu[0] if self.qemu else None,
            records_file=records_file,
        )


def _with_defaults(selection: S) -> S:
    """The options that the command line gives, and those of the project where it gives none."""
    try:
        project = find_settings(Path.cwd())
    except SettingsError as error:
        usage_error(str(error))
    except OSError:  # the current folder was deleted
        return selection
    values: dict[str, Any] = {
        "target": list(project.targets),
        "target_file": Path(shown(project.target_file)) if project.target_file else None,
        "qemu": [project.qemu] if project.qemu else None,
        "probes": list(project.probes),
    }
    names = {found.name for found in fields(selection)}
    used = {name: value for name, value in values.items() if value and name in names and not getattr(selection, name)}
    return replace(selection, project=project, defaults=frozenset(used), **used)


def selecting(command: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a `Selection` or a `TargetSelection`, in place of its first parameter."""
    first, *own = inspect.signature(command, eval_str=True).parameters.values()
    chooses: type[TargetSelection] = first.annotation
    hints = get_type_hints(chooses, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    shared = [
        inspect.Parameter(found.name, kind, default=found.default, annotation=hints[found.name])
        for found in fields(chooses)
        if "option" not in found.metadata
    ]
    parameters = [*shared, *(parameter.replace(kind=kind) for parameter in own)]

    @wraps(command)
    def called(**given: Any) -> R:
        selection = chooses(**{parameter.name: given.pop(parameter.name) for parameter in shared})
        return command(_with_defaults(selection), **given)

    vars(called)["__signature__"] = inspect.Signature(parameters)
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called
