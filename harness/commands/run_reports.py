"""The files that `trapgate run` writes: JSON while it runs; JUnit, HTML, drafts of records and the stored last run at
its end."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness.probes.own_records import draft
from harness.probes.probe import Case
from harness.qemu.errors import QemuError
from harness.qemu.target import Target
from harness.report.atomic import check_writable, write_atomic
from harness.report.collected import CollectedReport
from harness.report.host import host_facts, qemu_version, version
from harness.report.json_file import JsonReport
from harness.report.junit import write_junit
from harness.report.ktap import write_ktap
from harness.report.last_run import store_last_run
from harness.report.summary import Result
from harness.run.options import RunOptions
from harness.run.record import AtFault, RunRecord, Verdict

__all__ = ["NO_FILES", "ReportFileProblem", "ReportFiles", "RunReports"]


class ReportFileProblem(Exception):  # noqa: N818 - wrong usage, found before the run
    """A report cannot be written where the command line wants it."""


@dataclass(frozen=True)
class ReportFiles:
    """The paths that the command line gives. `records`: for drafts of records."""

    json: Path | None = None
    junit: Path | None = None
    html: Path | None = None
    trace: Path | None = None
    vcd: Path | None = None
    ktap: Path | None = None
    records: Path | None = None

    def written_at_the_end(self) -> Iterator[tuple[str, Path]]:
        """Option and path of each report whose path is checked before the run."""
        named = (("--html", self.html), ("--trace", self.trace), ("--vcd", self.vcd), ("--ktap", self.ktap))
        return ((option, path) for option, path in named if path is not None)


NO_FILES = ReportFiles()


class RunReports:
    """The reports of one run. Raises ReportFileProblem where a file cannot be written: nothing has run then."""

    def __init__(
        self, files: ReportFiles, runs: Sequence[tuple[Target, Sequence[Case]]], options: RunOptions, planned: int
    ) -> None:
        self._files = files
        self._runs = runs
        facts = _facts([target for target, _ in runs], options, exact=bool(files.json or files.html))
        self._collected = CollectedReport(planned=planned, facts=facts)
        self._json: JsonReport | None = None
        _check_packages(files)
        option, path = "", None
        try:
            for option, path in files.written_at_the_end():  # noqa: B007 - the message below has them
                check_writable(path)
            option, path = "--json", files.json
            if path is not None:
                self._json = JsonReport(path, planned=planned, facts=facts)
        except OSError as error:
            raise ReportFileProblem(f"{option} {path}: {error.strerror}") from None

    def add(self, record: RunRecord, position: int) -> None:
        """Take one result; `position` is its place in the plan."""
        self._collected.add(record, position)
        if self._json is not None:
            self._json.add(record, position)

    def close(self, results: Sequence[Result], cause: str) -> list[str]:
        """Write everything; returns what went wrong. `cause`: why a part of the plan did not run; empty if all ran."""
        document = self._collected.document(cause)
        store_last_run(document)
        problems = []
        if self._json is not None:
            self._json.close(cause=cause)
            if self._json.problem is not None:
                problem = self._json.problem.strerror
                problems.append(f"--json {self._json.path}: {problem}; the file has the results up to then")
        if self._files.html is not None:
            problems += _write_html(self._files.html, document)
        for option, path in (("--trace", self._files.trace), ("--vcd", self._files.vcd)):
            if path is not None:
                problems += _write_times(option, path, document)
        if self._files.ktap is not None:
            try:
                write_ktap(self._files.ktap, [result.record for result in results], cause)
            except OSError as error:
                problems.append(f"--ktap {self._files.ktap}: {error.strerror}; it was not written")
        if self._files.junit is not None:
            problems += _write_junit(self._files.junit, results, cause)
        if self._files.records is not None:
            try:
                write_atomic(self._files.records, draft(_failures(self._runs, results)).encode())
            except (OSError, QemuError) as error:
                problems.append(f"--record {self._files.records}: it was not written: {error}")
        return problems


def _write_html(path: Path, document: dict[str, Any]) -> list[str]:
    from harness.report.html.html_file import write_html  # loads jinja2 and the register maps: not for --help

    try:
        write_html(path, document)
    except OSError as error:
        return [f"--html {path}: {error.strerror}; it was not written"]
    except Exception as error:  # of the renderer: the verdicts are still printed
        return [f"--html {path}: it was not written: {type(error).__name__}: {error}"]
    return []


def _check_packages(files: ReportFiles) -> None:
    """Raise ReportFileProblem where the package that writes a file is not installed."""
    for option, path, package, module in (
        ("--trace", files.trace, "perfetto", "perfetto"),
        ("--vcd", files.vcd, "pyvcd", "vcd"),
    ):
        if path is not None and find_spec(module) is None:
            raise ReportFileProblem(
                f"{option} needs the package {package}, which is not installed. To fix: pip install 'trapgate[trace]'"
            )


def _write_times(option: str, path: Path, document: dict[str, Any]) -> list[str]:
    """The file of `--trace` or `--vcd`."""
    from harness.report.html.model import read_report  # loads the register maps: not for --help

    try:
        content = read_report(document)
        if option == "--trace":
            from harness.report.perfetto_trace import write_trace

            write_trace(path, content)
        else:
            from harness.report.vcd import write_vcd

            write_vcd(path, content)
    except OSError as error:
        return [f"{option} {path}: {error.strerror}; it was not written"]
    except Exception as error:  # of a library: the verdicts are still printed
        return [f"{option} {path}: it was not written: {type(error).__name__}: {error}"]
    return []


def _write_junit(path: Path, results: Sequence[Result], cause: str) -> list[str]:
    properties = {"trapgate": version(), "complete": str(not cause).lower(), **({"cause": cause} if cause else {})}
    try:
        write_junit(path, [result.record for result in results], properties)
    except OSError as error:
        return [f"--junit {path}: {error.strerror}; it was not written"]
    return []


def _facts(targets: Sequence[Target], options: RunOptions, *, exact: bool) -> dict[str, Any]:
    """`exact`: versions as the programs print them, which starts each QEMU once more."""
    return {
        "trapgate": version(),
        "command": ["trapgate", *sys.argv[1:]],
        "host": host_facts(),
        "targets": [
            {
                "name": target.name,
                "qemu": str(binary),
                "version": qemu_version(str(binary)) if exact else _release(binary),
                "arguments": list(options.qemu_args),
            }
            for target in targets
            for binary in [_binary(target)]
        ],
    }


def _binary(target: Target) -> Path | str:
    try:
        return target.find_binary()
    except QemuError:
        return target.binary or ""


def _release(binary: Path | str) -> str | None:
    """The version that the disk cache has of the program, whose features the plan has checked."""
    from harness.qemu.features import features  # loads QMP: not for --help

    try:
        return features(str(binary)).version
    except QemuError:
        return None


def _failures(
    runs: Sequence[tuple[Target, Sequence[Case]]], results: Sequence[Result]
) -> Iterator[tuple[str, str, str, str, str]]:
    """Probe, case, kind of target, version and reason of each fail that a record could excuse."""
    from harness.qemu.features import features  # loads QMP: not for --help

    targets = {target.name: target for target, _ in runs}
    cases = {case.id: case for _, chosen in runs for case in chosen}
    for record in (result.record for result in results):
        red = record.verdict is Verdict.FAIL or record.at_fault is AtFault.QEMU
        if red and record.probe in cases and record.target in targets:
            case, target = cases[record.probe], targets[record.target]
            if not record.deviation:  # a fail with a reference: the recorded deviation has disappeared
                release = features(str(target.find_binary())).version
                yield case.probe.id, case.label, target.kind, release, record.reason
