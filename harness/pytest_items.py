"""What the pytest plugin loads with the first probe: files, items, their reports, and the machines behind them.

pytest has no public constructor for the representation of a failure that its terminal, its JUnit report and xdist
share: hence the import from `_pytest`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from _pytest._code.code import ReprEntry, ReprExceptionInfo, ReprFileLocation, ReprTraceback

from harness.evidence.failures import SectionKind
from harness.one_line import one_line
from harness.probes.loader import LoadError, load_file, same_id
from harness.probes.own_records import OwnRecord, RecordsError, load_records
from harness.probes.probe import Case, Probe
from harness.probes.probe_places import shown
from harness.pytest_broken import BrokenFileItem
from harness.pytest_settings import project_settings
from harness.qemu.errors import QemuError, TargetError, Unsupported
from harness.qemu.machine import Machine
from harness.qemu.target import Target
from harness.report.collected import CollectedReport
from harness.report.documents import with_documents
from harness.report.entry import report_entry
from harness.report.failure import explain, source_excerpt
from harness.report.host import host_facts, version
from harness.report.json_file import JsonReport
from harness.report.text import printable
from harness.run.executors import Executors
from harness.run.options import RunOptions
from harness.run.record import AtFault, RunRecord, Verdict
from harness.run.rerun import pytest_command
from harness.run.targets import find_targets, hold_required, required_targets

__all__ = [
    "ProbeFile",
    "ProbeItem",
    "chosen_targets",
    "launch",
    "open_json",
    "own_records",
    "required_names",
    "run_options",
]


_KNOWN: pytest.StashKey[dict[str, Probe]] = pytest.StashKey()
_BROKEN: Mapping[str, str] = {
    AtFault.PROBE: "mistake in the probe",
    AtFault.QEMU: "QEMU broke",
    AtFault.HOST: "trouble of the host",
    AtFault.HARNESS: "the harness broke",
}
_KINDS: Mapping[Verdict, str] = {Verdict.FAIL: "AssertionError", Verdict.DEVIATION: "recorded deviation"}


class NotPassedError(Exception):
    """A verdict of `fail` or `error`, on its way to the report."""

    def __init__(self, record: RunRecord) -> None:
        super().__init__(record.reason)
        self.record = record


ExecutorsOf: TypeAlias = Callable[[pytest.Config], Executors]


class ProbeFile(pytest.File):
    """A file of probes."""

    def __init__(self, *, executors_of: ExecutorsOf, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._executors_of = executors_of

    def collect(self) -> Iterator[pytest.Item]:
        """An item for each case on each target; a single one, which is an error, for a file that cannot be loaded."""
        targets = chosen_targets(self.config)
        try:
            probes = load_file(self.path)
        except LoadError as error:
            if (
                self.config.getoption("collectonly") or self._is_named_in_part()
            ):  # with a name that the item does not have
                raise self.CollectError(str(error)) from error
            yield BrokenFileItem.from_parent(self, name="not_loaded", error=error, target=targets[0])
            return
        known = self.config.stash.setdefault(_KNOWN, {})
        for found in probes:
            other = known.setdefault(found.id, found)
            if other.path != found.path:
                raise self.CollectError(f"{shown(found.path)}:{found.line}: {same_id(found, other)}")
        for found in probes:
            for case in found.cases():
                for target in targets:
                    label = "-".join(part for part in (case.label, target.name) if part)
                    name = f"{found.name}[{label}]"
                    # the id as a string: pytest then takes the brackets for parameters, as --lf and xdist expect
                    node = {"name": name, "nodeid": f"{self.nodeid}::{name}"}
                    yield ProbeItem.from_parent(self, **node, case=case, target=target, executors_of=self._executors_of)

    def _is_named_in_part(self) -> bool:
        """Whether the command line names a probe of this file."""
        words = [argument.partition("::") for argument in self.config.args]
        folder = self.config.invocation_params.dir
        return any(separator and Path(folder, file).resolve() == self.path.resolve() for file, separator, _ in words)


class ProbeItem(pytest.Item):
    """One case on one target. Setting it up boots and observes, running it judges: so an `error` is pytest's error."""

    record: RunRecord | None = None

    def __init__(self, *, case: Case, target: Target, executors_of: ExecutorsOf, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.case = case
        self.target = target
        self._executors_of = executors_of
        self.extra_keyword_matches.update((case.probe.name, case.probe.area, target.name, *case.probe.needs))

    def setup(self) -> None:
        """Boot the machine and take its evidence."""
        super().setup()
        record = self._executors_of(self.config).of(self.target).run(self.case)
        self.record = record = hold_required(record, required_names(self.config))
        self.user_properties += [
            ("trapgate_target", record.target),
            ("trapgate_verdict", str(record.verdict)),
            ("trapgate_rule", record.rule),
            ("trapgate_citation", record.citation),
        ]
        if record.verdict is Verdict.ERROR:
            raise NotPassedError(record)

    def runtest(self) -> None:
        """Report the verdict."""
        record = self.record
        assert record is not None
        if record.verdict is Verdict.UNSUPPORTED:
            raise pytest.skip.Exception(record.reason, _use_item_location=True)
        if record.verdict is Verdict.DEVIATION:
            raise pytest.xfail.Exception(with_documents(record.reason))
        if record.verdict is not Verdict.PASS:
            raise NotPassedError(record)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Where the probe is defined."""
        return self.path, self.case.probe.line - 1, self.name

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """A verdict as the rule, the assertion in its source, and the evidence; anything else as pytest does."""
        if isinstance(excinfo.value, NotPassedError):
            return _representation(excinfo.value.record, self)
        if self.record is not None and self.record.verdict is Verdict.DEVIATION:
            return _representation(self.record, self)  # pytest's own traceback of an xfail takes longer than the run
        return super().repr_failure(excinfo, style)

    def attach_record(self, report: pytest.TestReport) -> None:
        """Put the record into the report of the phase that decided: setting up for an `error`, else the call."""
        record = self.record
        if record is None or report.when != ("setup" if record.verdict is Verdict.ERROR else "call"):
            return
        if record.verdict is Verdict.ERROR:
            report.longrepr = _representation(record, self)  # pytest calls repr_failure for calls only
        report.trapgate_record = report_entry(record)  # type: ignore[attr-defined]


def _representation(record: RunRecord, item: ProbeItem) -> ReprExceptionInfo:
    """pytest's own structure, which xdist can transfer from a worker."""
    detail = record.detail
    path, line = (detail.path, detail.line) if detail.line else (str(item.path), item.case.probe.line)
    excerpt = source_excerpt(path, line)
    sections = [section for section in explain(record) if section.text != excerpt]
    found = next((each.text for each in sections if each.kind is SectionKind.VERDICT), printable(record.reason))
    lines = [f"E   {text}" for text in found.splitlines()]
    if excerpt:
        lines = [_source_line(text) for text in excerpt.splitlines()] + lines
    kind = _KINDS.get(record.verdict) or (_BROKEN[record.at_fault] if record.at_fault else "the run broke")
    shown = _relative(path, item.config.rootpath)
    entry = ReprEntry(lines, None, None, ReprFileLocation(shown, line, kind), "long")
    first = printable(one_line(record.reason)) if record.reason else str(record.verdict)
    representation = ReprExceptionInfo(ReprTraceback([entry], None, "long"), ReprFileLocation(shown, line, first))
    for section in sections:
        if section.text != found:
            representation.addsection(section.title, section.text, "-")
    representation.addsection("Run it again with pytest", _rerun(item), "-")
    return representation


def _source_line(numbered: str) -> str:
    """`> 31 │ assert …` as pytest marks its source: the marker, then the code."""
    head, _, code = numbered.partition("│ ")
    return f"{'>' if head.startswith('>') else ' '}   {code}" if code else ""


def _relative(path: str, root: Path) -> str:
    return Path(path).relative_to(root).as_posix() if Path(path).is_relative_to(root) else path


def _rerun(item: ProbeItem) -> str:
    record = item.record
    by_require = record is not None and record.lacking == "host" and record.verdict is Verdict.FAIL
    return pytest_command(item.nodeid, item.target, run_options(item.config), require=by_require)


def run_options(config: pytest.Config) -> RunOptions:
    """How the runs of this session are made. Raises pytest.UsageError."""
    option = config.getoption
    return RunOptions(
        cold=option("--trapgate-cold"),
        qemu_args=tuple(option("--trapgate-qemu-arg")),
        second_source=option("--trapgate-second-source"),
        records=own_records(config),
        target_file=_target_file(config),
        qemu=_qemu(config),
        records_file=_records_file(config),
    )


def _records_file(config: pytest.Config) -> Path | None:
    """That of `--trapgate-deviations`, or of the ini option, whose path is relative to the ini file's folder."""
    given = config.getoption("--trapgate-deviations")
    configured = config.getini("trapgate_deviations")
    if given:
        return Path(given)
    return config.rootpath / configured if configured else project_settings(config).deviations


def _target_file(config: pytest.Config) -> Path | None:
    given = config.getoption("--trapgate-target-file")
    return Path(given) if given else project_settings(config).target_file


def _qemu(config: pytest.Config) -> str | None:
    return config.getoption("--trapgate-qemu") or project_settings(config).qemu


def own_records(config: pytest.Config) -> tuple[OwnRecord, ...]:
    """The user's records of deviations. Raises pytest.UsageError."""
    path = _records_file(config)
    try:
        return load_records(path)[0] if path is not None else ()
    except RecordsError as error:
        raise pytest.UsageError(f"trapgate: {error}") from error


def chosen_targets(config: pytest.Config, names: Sequence[str] | None = None) -> list[Target]:
    """The targets of the options, or those named. Raises pytest.UsageError."""
    configured = config.getini("trapgate_targets") or project_settings(config).targets
    wanted = names or config.getoption("--trapgate-target") or configured
    try:
        return find_targets(wanted, _target_file(config), _qemu(config))
    except TargetError as error:
        raise pytest.UsageError(f"--trapgate-target: {error}") from error


def required_names(config: pytest.Config) -> frozenset[str]:
    """The targets that this host must be able to run. Raises pytest.UsageError."""
    wanted = config.getoption("--trapgate-require") or config.getini("trapgate_require")
    try:
        return required_targets(wanted, chosen_targets(config)) if wanted else frozenset()
    except TargetError as error:
        raise pytest.UsageError(f"--trapgate-require: {error}") from error


def report_facts(config: pytest.Config) -> dict[str, Any]:
    """The fields of a report that are known before the first run. Raises pytest.UsageError."""
    return {
        "trapgate": version(),
        "command": ["pytest", *config.invocation_params.args],
        "host": host_facts(),
        "targets": [{"name": target.name} for target in chosen_targets(config)],
    }


def open_json(config: pytest.Config, path: Path) -> JsonReport:
    """The report, and a listener that fills it. Raises pytest.UsageError."""
    facts = report_facts(config)
    try:
        report = JsonReport(path, facts=facts)
    except OSError as error:
        raise pytest.UsageError(f"--trapgate-json {path}: {error.strerror}") from error
    config.pluginmanager.register(RecordListener(report), "trapgate-json")
    return report


class RecordListener:
    """Takes records where reports arrive: with xdist, in the controlling process."""

    def __init__(self, report: JsonReport | CollectedReport) -> None:
        self._report = report
        self._lost: list[str] = []

    def cause(self, session: pytest.Session, exitstatus: int) -> str:
        """Why the report does not have every selected probe; empty if it has."""
        if session.shouldfail or session.shouldstop:
            return str(session.shouldfail or session.shouldstop)
        if self._lost:
            return "; ".join(dict.fromkeys(self._lost))
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return f"pytest ended with exit status {int(exitstatus)}"
        return ""

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._lost.append(f"{report.nodeid or 'the session'} could not be collected")

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker of xdist ended; `error` is set where it crashed."""
        if error:
            self._lost.append(f"the worker process {node.gateway.id} crashed")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        record: Mapping[str, Any] | None = getattr(report, "trapgate_record", None)
        if record is not None:
            self._report.add(record)


@contextmanager
def launch(config: pytest.Config, target: Target, marker: pytest.Mark | None) -> Iterator[Machine]:
    """The machine of an ordinary test, as its marker describes it."""
    from harness.qemu.devices import devices_named
    from harness.qemu.machine_config import MachineConfig

    wanted = dict(marker.kwargs) if marker else {}
    wanted.pop("target", None)
    image = wanted.pop("image", None)
    if image is None:
        pytest.fail("the fixtures machine, serial and qmp need @pytest.mark.trapgate(image=…)", pytrace=False)
    if isinstance(image, str | Path):
        image = Path(image).read_bytes()
    place = tuple(wanted.pop("place", ()))
    arguments = (*wanted.pop("qemu_args", ()), *config.getoption("--trapgate-qemu-arg"))
    try:
        machine_config = MachineConfig(
            target, devices=devices_named(wanted.pop("needs", ())), extra_args=arguments, **wanted
        )
        launched = Machine.launch(machine_config, image, place)
    except TypeError as error:
        pytest.fail(f"@pytest.mark.trapgate: {error}", pytrace=False)
    except Unsupported as error:
        if target.name in required_names(config):
            pytest.fail(f"{target.name} is required, and this host cannot run it: {error.reason}", pytrace=False)
        pytest.skip(error.reason)
    except QemuError as error:
        pytest.fail(str(error), pytrace=False)
    with launched:
        yield launched
