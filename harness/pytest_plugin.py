"""The pytest plugin: probes as test items, and machines for ordinary tests.

A probe file is collected where it is given on the command line, or lies below a folder of the ini option
`trapgate_probes` or of the catalogue that ships. Every pytest in the environment loads this module, so it imports
nothing heavy: what runs machines is loaded with the first probe, or the first use of a fixture.
"""

from __future__ import annotations

import ast
import os
import sys
import warnings
from collections.abc import Generator, Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.pytest_settings import project_settings

if TYPE_CHECKING:
    from harness.qemu.console import SerialSpawn
    from harness.qemu.machine import Machine
    from harness.qemu.target import Target
    from harness.report.json_file import JsonReport
    from harness.run.executors import Executors

__all__ = ["machine", "qmp", "serial", "trapgate_target"]

_ALL = sys.maxsize
_ROOTS: pytest.StashKey[tuple[Path, ...]] = pytest.StashKey()
_FOLDERS: pytest.StashKey[tuple[Path, ...]] = pytest.StashKey()
_WAYS: pytest.StashKey[dict[Path, Path]] = pytest.StashKey()
_EXECUTORS: pytest.StashKey[Executors] = pytest.StashKey()
_JSON: pytest.StashKey[JsonReport] = pytest.StashKey()
_MARKER = (
    "trapgate(image, boot='rom', place=(), needs=(), cpus=1, interactive=False, target=None, qemu_args=()): "
    "the machine that the fixtures machine, serial and qmp give"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """The options, all prefixed `--trapgate-`, and the ini options."""
    group = parser.getgroup("trapgate", "trapgate: probes on virtual machines")
    group.addoption(
        "--trapgate-target",
        action="append",
        default=[],
        metavar="NAME",
        help="target, comma list or 'all' (repeatable; default q35-tcg)",
    )
    group.addoption(
        "--trapgate-require",
        action="append",
        default=[],
        metavar="NAME",
        help="target, comma list or 'all': a probe that this host cannot run there fails (repeatable)",
    )
    group.addoption("--trapgate-target-file", metavar="TOML", help="more targets, one table each")
    group.addoption("--trapgate-qemu", metavar="PATH", help="the QEMU program to test")
    group.addoption(
        "--trapgate-qemu-arg",
        action="append",
        default=[],
        metavar="ARG",
        help="one more argument for QEMU (repeatable)",
    )
    group.addoption("--trapgate-deviations", metavar="TOML", help="records of your own deviations")
    group.addoption("--trapgate-cold", action="store_true", help="start a new QEMU for every run")
    group.addoption(
        "--trapgate-second-source",
        action="store_true",
        help="compare the recorded interrupts with QEMU's own log of them (TCG only, slower)",
    )
    group.addoption("--trapgate-json", metavar="FILE", help="write every probe's record as JSON")
    group.addoption("--trapgate-html", metavar="FILE", help="write the HTML report")
    parser.addini("trapgate_probes", "folders of probes", type="paths", default=[])
    parser.addini("trapgate_deviations", "file of records of your own deviations", default="")
    parser.addini("trapgate_require", "targets that this host must be able to run", type="args", default=[])
    parser.addini("trapgate_targets", "targets where --trapgate-target gives none", type="args", default=[])


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; refuse unknown targets before anything is collected."""
    config.addinivalue_line("markers", _MARKER)
    settings = project_settings(config)
    if config.getoption("--trapgate-target") or config.getini("trapgate_targets") or settings.targets:
        from harness.pytest_items import chosen_targets

        chosen_targets(config)
    if config.getoption("--trapgate-require") or config.getini("trapgate_require"):
        from harness.pytest_items import required_names

        required_names(config)
    if config.getoption("--trapgate-deviations") or config.getini("trapgate_deviations") or settings.deviations:
        from harness.pytest_items import own_records

        own_records(config)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Open the JSON report, and count runs on required targets: in the process that sees every result."""
    config = session.config
    if hasattr(config, "workerinput"):
        return
    if config.getoption("--trapgate-require"):  # the ini option holds for sessions without probes, too
        from harness.pytest_items import required_names
        from harness.pytest_required import RequiredRuns

        config.pluginmanager.register(RequiredRuns(required_names(config)), "trapgate-required")
    if _takes_whole_project(config):
        from harness.pytest_uncollected import Uncollected

        config.pluginmanager.register(Uncollected(partial(_holds_probe, unreadable=False)), "trapgate-uncollected")
    path = config.getoption("--trapgate-json")
    if path:
        from harness.pytest_items import open_json

        config.stash[_JSON] = open_json(config, Path(path))
    path = config.getoption("--trapgate-html")
    if path:
        from harness.pytest_html import HtmlReport

        config.pluginmanager.register(HtmlReport(config, Path(path)), "trapgate-html")


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Take probe files; files that pytest's own patterns match stay test modules as well."""
    others = yield
    if file_path.suffix != ".py" or not _is_probe_file(file_path, parent.session):
        return others
    if not _is_first_way(file_path, parent.session):
        return others
    from harness.pytest_items import ProbeFile

    file = ProbeFile.from_parent(parent, path=file_path, executors_of=_executors)
    return [file, *(others if _is_test_module(file_path, parent.config) else [])]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Follow a symbolic link in a folder of probes once: not one to a folder that holds it."""
    if not collection_path.is_symlink() or not _is_below(collection_path, (*_roots(config), *_named_folders(config))):
        return None
    from harness.probes.probe_places import is_loop

    return is_loop(collection_path) or None


def _is_first_way(path: Path, session: pytest.Session) -> bool:
    """Whether the file was not collected by another path, through a symbolic link. A path on the command line is."""
    first = session.stash.setdefault(_WAYS, {}).setdefault(path.resolve(), path)
    return first == path or session.isinitpath(path)


def _is_probe_file(path: Path, session: pytest.Session) -> bool:
    if path.name.startswith((".", "_")) or path.name == "conftest.py":
        return False
    if not session.isinitpath(path) and not _is_in_probe_folder(path, session.config):
        return False
    return _holds_probe(path, unreadable=not _is_test_module(path, session.config))


def _holds_probe(path: Path, *, unreadable: bool) -> bool:
    """Whether a file defines probes; `unreadable` is the result where it cannot be parsed: True lets the loader report
    the error."""
    try:
        source = path.read_bytes()
        if b"probe" not in source or b"harness" not in source:
            return False
        from harness.probes.lint import holds_probe

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return holds_probe(ast.parse(source))
    except (OSError, SyntaxError, ValueError):
        return unreadable


def _is_in_probe_folder(path: Path, config: pytest.Config) -> bool:
    if _is_below(path, _roots(config)):
        return True
    # a folder on the command line may hold probes too, but a file whose name is that of a test module is one
    return _is_below(path, _named_folders(config)) and not _is_test_module(path, config)


def _is_below(path: Path, folders: tuple[Path, ...]) -> bool:
    """Whether a path is in one of the folders, and in none that `trapgate run` excludes."""
    for folder in folders:
        if path.is_relative_to(folder):
            return not any(part.startswith((".", "_")) for part in path.relative_to(folder).parts)
    return False


def _is_test_module(path: Path, config: pytest.Config) -> bool:
    return any(path.match(pattern) for pattern in config.getini("python_files"))


def _roots(config: pytest.Config) -> tuple[Path, ...]:
    """The folders of probes: those that are configured, and the catalogue that ships."""
    if _ROOTS not in config.stash:
        spec = find_spec("guest")
        shipped = [Path(place, "probes") for place in (spec.submodule_search_locations or ())] if spec else []
        configured = [Path(path) for path in config.getini("trapgate_probes") or project_settings(config).probes]
        config.stash[_ROOTS] = _with_real_paths([*configured, *shipped])
    return config.stash[_ROOTS]


def _named_folders(config: pytest.Config) -> tuple[Path, ...]:
    """The folders that the command line names; the whole project (`pytest .`) is not meant as a folder of probes."""
    if _FOLDERS not in config.stash:
        given = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
        paths = [Path(config.invocation_params.dir, argument.partition("::")[0]) for argument in given]
        folders = [p for p in paths if p.is_dir() and not config.rootpath.is_relative_to(p.resolve())]
        config.stash[_FOLDERS] = _with_real_paths(folders)
    return config.stash[_FOLDERS]


def _with_real_paths(folders: list[Path]) -> tuple[Path, ...]:
    """Each folder as it is given, which is how pytest calls its files, and without symbolic links."""
    absolute = [Path(os.path.abspath(folder)) for folder in folders]  # noqa: PTH100 - resolve() follows links
    return tuple(dict.fromkeys(path for folder in absolute for path in (folder, folder.resolve())))


def _takes_whole_project(config: pytest.Config) -> bool:
    """Whether the command line names no place inside the project."""
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        return True
    paths = [Path(config.invocation_params.dir, argument.partition("::")[0]).resolve() for argument in config.args]
    return any(config.rootpath.is_relative_to(path) for path in paths)


def _executors(config: pytest.Config) -> Executors:
    """The machines of this process, made at their first use; those of all targets stay up until the session ends."""
    if _EXECUTORS not in config.stash:
        from harness.pytest_items import run_options
        from harness.run.executors import Executors

        config.stash[_EXECUTORS] = Executors(run_options(config), limit=_ALL)
    return config.stash[_EXECUTORS]


def pytest_assertrepr_compare(op: str, left: object, right: object) -> list[str] | None:
    """Show vectors in hexadecimal."""
    from harness.evidence.vectors import explain_vectors

    return explain_vectors(op, left, right)


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None, None, None]:
    """Keep the files that cannot be loaded, whatever is deselected: their probes are not known."""
    broken = [item for item in items if getattr(item, "trapgate_broken", False)]
    items[:] = [item for item in items if item not in broken]
    yield
    items[:0] = broken


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let the report of a probe carry its record: to the JSON file, JUnit properties and other workers."""
    report = yield
    if (attach := getattr(item, "attach_record", None)) is not None:
        attach(report)
    return report


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Close the machines; complete the JSON report."""
    config = session.config
    if _EXECUTORS in config.stash:
        config.stash[_EXECUTORS].close()
    if _JSON in config.stash:
        report = config.stash[_JSON]
        listener: Any = config.pluginmanager.get_plugin("trapgate-json")
        report.close(cause=listener.cause(session, exitstatus))
        if report.problem is not None:
            raise pytest.UsageError(f"--trapgate-json {report.path}: {report.problem.strerror}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Close the machines of a session that ended before it began."""
    if _EXECUTORS in config.stash:
        config.stash[_EXECUTORS].close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An ordinary test that uses a machine runs once on each target, unless its marker names one."""
    if "trapgate_target" not in metafunc.fixturenames:
        return
    from harness.pytest_items import chosen_targets

    marker = metafunc.definition.get_closest_marker("trapgate")
    named = marker.kwargs.get("target") if marker else None
    targets = chosen_targets(metafunc.config, [named] if named else None)
    metafunc.parametrize("trapgate_target", targets, ids=[target.name for target in targets], indirect=True)


@pytest.fixture
def trapgate_target(request: pytest.FixtureRequest) -> Target:
    """The target that the test runs on (`harness.qemu.target.Target`)."""
    target: Target = request.param
    request.node.user_properties.append(("trapgate_target", target.name))
    return target


@pytest.fixture
def machine(request: pytest.FixtureRequest, trapgate_target: Target) -> Iterator[Machine]:
    """A fresh machine (`harness.qemu.Machine`), paused before its first instruction; ended after the test.

    `@pytest.mark.trapgate(image=…)` names what it boots. A target that lacks what the marker requests skips the test.
    """
    from harness.pytest_items import launch

    marker = request.node.get_closest_marker("trapgate")
    with launch(request.config, trapgate_target, marker) as launched:
        yield launched


@pytest.fixture
def serial(machine: Machine) -> SerialSpawn:
    """COM1 of the machine: a pexpect spawn."""
    return machine.serial


@pytest.fixture
def qmp(machine: Machine) -> Any:
    """QMP of the machine: call it with a command and its arguments, `qmp("query-status")`."""
    return machine.qmp
