"""Every command takes the same options for probes, targets and QEMU, and shells complete their values."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import commands
import pytest
from example_project import write_project
from typer.main import get_command
from typer.testing import CliRunner

from harness.campaign.bench import Bench
from harness.cli import app
from harness.probes.loader import catalogue_root
from harness.probes.probe import Case
from harness.qemu.target import Target

COMMANDS = ("run", "list", "show", "images", "matrix", "vacuity", "bench")
OPTIONS = {"--probes", "--catalogue", "--target", "-t", "--target-file", "--qemu", "--qemu-arg", "-k"}
TARGETS = '[mine]\nbase = "q35-tcg"\nmemory_mib = 48\n'
ARRIVES = "ipi/self_ipi.py::arrives_once"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_project(tmp_path_factory.mktemp("project"))
    (folder / "targets.toml").write_text(TARGETS)
    (folder / "qemu").write_text('#!/bin/sh\necho "$@" >> "${0%/*}/calls"\nexec qemu-system-x86_64 "$@"\n')
    (folder / "qemu").chmod(0o755)
    return folder


def trapgate(*words: str | Path, cwd: Path) -> tuple[int, str]:
    with chdir(cwd):
        done = CliRunner().invoke(app, [*map(str, words)])
    return done.exit_code, done.output


@pytest.mark.parametrize("name", COMMANDS)
def test_the_options_are_those_of_run(name: str) -> None:
    known = vars(get_command(app))["commands"]
    shared = {
        declared: (parameter.help, parameter.multiple)
        for parameter in known[name].params
        if parameter.param_type_name == "option"
        for declared in parameter.opts
        if declared in OPTIONS
    }
    ours = {
        declared: (parameter.help, parameter.multiple)
        for parameter in known["run"].params
        for declared in parameter.opts
        if declared in OPTIONS
    }
    assert set(shared) == OPTIONS
    assert shared == ours
    assert [p.name for p in known[name].params if p.param_type_name == "argument"] == ["names"]


def test_leaks_takes_those_of_targets() -> None:
    known = vars(get_command(app))["commands"]
    theirs, ours = (
        {declared: parameter.help for parameter in known[name].params for declared in parameter.opts}
        for name in ("leaks", "run")
    )
    for declared in ("--target", "--target-file", "--qemu"):
        assert theirs[declared] == ours[declared]


@pytest.mark.parametrize("name", ["run", "matrix", "vacuity"])
def test_own_probes_target_and_qemu(project: Path, name: str) -> None:
    (project / "calls").unlink(missing_ok=True)
    words = ["--probes=probes", "--target-file=targets.toml", "-tmine", "--qemu=./qemu", "--qemu-arg=-no-user-config"]
    code, output = trapgate(name, *words, "-k", "arrives_once", "-j1", cwd=project)
    assert code == 0 or name == "vacuity", output  # on a busy host its runs in real time may be errors
    calls = [line for line in (project / "calls").read_text().splitlines() if "-no-user-config" in line]
    assert [line for line in calls if "48M" in line or "size=48" in line or str(48 << 20) in line], calls


def test_bench_measures_own_probes(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[tuple[Case, Target, Sequence[Target], Case, Sequence[Case]]] = []

    def measure(
        case: Case, target: Target, others: Sequence[Target], waiting: Case, catalogue: Sequence[Case], *_: object
    ) -> Bench:
        measured.append((case, target, others, waiting, catalogue))
        return Bench(case.id, target.name)

    monkeypatch.setattr("harness.campaign.bench.measure", measure)
    words = ["--probes=probes", "--target-file=targets.toml", "-tmine", "--qemu=./qemu", "--qemu-arg=-no-user-config"]
    words += ["--no-throughput", "--reference", ARRIVES, "-k", "known", "--json=bench.json"]
    code, output = trapgate("bench", *words, cwd=project)
    assert code == 0, output
    ((case, target, others, waiting, catalogue),) = measured
    assert (case.id, target.name, target.extra) == (ARRIVES, "mine", ("-no-user-config",))
    assert {(other.binary, other.extra) for other in (target, *others)} == {("./qemu", ("-no-user-config",))}
    assert waiting.probe.root == catalogue_root()
    assert [case.id for case in catalogue] == ["ipi/known.py::known_to_differ", "ipi/known.py::no_longer_differs"]
    assert json.loads((project / "bench.json").read_text())["target"] == "mine"


@pytest.mark.parametrize("name", ["show", "images", "list"])
def test_own_probes_without_a_run(project: Path, tmp_path: Path, name: str) -> None:
    words = ["--probes=probes", "--target-file=targets.toml", "-tmine", "--qemu=./qemu", "--qemu-arg=-no-user-config"]
    words += [f"--dir={tmp_path}"] if name == "images" else []
    code, output = trapgate(name, *words, "-k", "arrives_once", cwd=project)
    assert code == 0, output
    assert ARRIVES in output


@pytest.mark.parametrize(
    ("name", "words", "message"),
    [
        ("show", ("-tq35-tcg,pc-tcg", "arrives_once"), "expected one target"),
        ("show", (), "expected the name of one probe"),
        ("show", ("ipi",), "selects several probes"),
        ("vacuity", ("-tall",), "expected one target"),
        ("images", ("-tall",), "expected one target"),
        ("run", ("--qemu=a", "--qemu=b"), "--qemu a, b: expected one program"),
        ("run", ("-k", "zzz"), "-k 'zzz' matches none of 7 cases on 1 target"),
        ("matrix", ("-k", "zzz"), "-k 'zzz' matches none of 7 cases on"),
        ("list", ("-tq36",), "no target is named 'q36'"),
        ("vacuity", ("--qemu=/no/such/qemu",), "/no/such/qemu"),
        ("bench", ("--qemu=/no/such/qemu",), "/no/such/qemu"),
        ("matrix", ("--qemu=/no/such/qemu",), "/no/such/qemu"),
    ],
)
def test_wrong_usage(project: Path, name: str, words: tuple[str, ...], message: str) -> None:
    code, output = trapgate(name, "--probes=probes", *words, cwd=project)
    assert code == 2, output
    assert message in " ".join(output.split())


def test_list_takes_the_catalogue_besides_own_probes(project: Path) -> None:
    code, output = trapgate("list", "--probes=probes", "--catalogue", "--areas", cwd=project)
    assert code == 0
    areas = [line.split()[0] for line in output.splitlines()]
    assert {"ipi", "devices", "lapic", "timers"} <= set(areas)


def completions(project: Path, *words: str) -> list[str]:
    """What bash gets, which splits words at colons."""
    line = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    done = commands.trapgate(cwd=project, _TRAPGATE_COMPLETE="complete_bash", **line)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("-t", "microvm"), ["microvm-tcg"]),
        (("-t", "pc-tcg,q35-k"), ["pc-tcg,q35-kvm"]),
        (("--target-file", "targets.toml", "-t", "mi"), ["microvm-tcg", "mine"]),
        (("--probes", "probes", "ip"), ["ipi", "ipi/known.py", "ipi/self_ipi.py"]),
        (("--probes", "probes", "ipi/self_ipi.py::v"), ["ipi/self_ipi.py::vector_is_kept"]),
        (("--probes", "probes", "ipi/self_ipi.py", "::", "v"), ["vector_is_kept"]),
        (("timers/hpet.py", "::", "one_shot_f"), ["one_shot_fires_once"]),
        (("--probes", "probes", "ipi/self_ipi.py", "::"), ["arrives_once", "vector_is_kept"]),
        (("las",), []),
        (("--probes", "/no/such/folder", "a"), []),
    ],
)
def test_a_shell_completes(project: Path, words: tuple[str, ...], expected: list[str]) -> None:
    assert completions(project, "trapgate", "run", *words) == expected
