"""A target that this host cannot run is no silent green where it is required."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from commands import run_pytest, trapgate
from example_project import write_project

NO_KVM = """#!/bin/sh
case "$*" in *accel*kvm*|*kvm*accel*) echo "no KVM here" >&2; exit 1;; esac
exec qemu-system-x86_64 "$@"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_project(tmp_path_factory.mktemp("project"))
    (made / "qemu").write_text(NO_KVM)
    (made / "qemu").chmod(0o755)
    return made


@pytest.mark.parametrize(("words", "code", "verdict"), [((), 0, "unsupported"), (("--require=q35-kvm",), 1, "fail")])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_the_host_cannot_run_fails_where_it_is_required(
    folder: Path, tmp_path: Path, words: tuple[str, ...], code: int, verdict: str, jobs: str
) -> None:
    command = ["run", "--probes=probes", "arrives_once", "-tq35-kvm", f"--qemu={folder / 'qemu'}"]
    command += [f"-j{jobs}", f"--json={tmp_path / 'o.json'}", *words]
    done = trapgate(*command, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    (run,) = json.loads((tmp_path / "o.json").read_text())["runs"]
    assert (run["verdict"], run["lacking"]) == (verdict, "host")
    again = [line for line in done.stdout.splitlines() if line.startswith("  trapgate run ")]
    assert [words[0] in line for line in again] == [True] * len(words)


@pytest.mark.parametrize(
    ("words", "code"), [((), 0), (("--trapgate-require=all",), 1), (("-o", "trapgate_require=q35-kvm"), 1)]
)
def test_pytest_fails_it_too(folder: Path, words: tuple[str, ...], code: int) -> None:
    command = ["probes/ipi/self_ipi.py", "-k", "arrives_once"]
    command += ["--trapgate-target=q35-kvm", f"--trapgate-qemu={folder / 'qemu'}", *words]
    done = run_pytest(*command, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr


def test_what_the_machine_type_never_has_is_no_fail(folder: Path) -> None:
    command = ["run", "--probes=probes", "needs_an_hpet", "-tmicrovm-tcg", "--require=all", "--json=o.json"]
    done = trapgate(*command, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    (run,) = json.loads((folder / "o.json").read_text())["runs"]
    assert (run["verdict"], run["lacking"]) == ("unsupported", "target")


def test_a_required_target_outside_of_the_run_is_wrong_usage(folder: Path) -> None:
    command = ["run", "--probes=probes", "arrives_once", "--require=q35-kwm"]
    done = trapgate(*command, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "'q35-kwm' is required and not among the targets of this run: q35-tcg" in done.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("arrives_once", "--shard=1/3"),
            "--shard 1/3: holds none of 1 case. To fix: divide into fewer parts",
        ),
        (("-k", "no_such_probe"), "-k 'no_such_probe' matches none of 7 cases on 1 target"),
        (
            ("-tq35-tcg,pc-tcg", "--require=pc-tcg", "-k", "arrives_once and q35"),
            "--require pc-tcg: -k 'arrives_once and q35' leaves no run on it, so that it would not be checked",
        ),
        (
            ("-tq35-tcg,pc-tcg", "--require=all", "-k", "arrives_once and q35"),
            "--require pc-tcg: -k 'arrives_once and q35' leaves no run on it, so that it would not be checked",
        ),
    ],
)
def test_a_plan_without_runs_is_wrong_usage(folder: Path, tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    command = ["run", "--probes=probes", f"--json={tmp_path / 'o.json'}", *words]
    done = trapgate(*command, cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr.replace("\n", " ")
    assert not (tmp_path / "o.json").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("-n1", "tests", "-k", "without_a_machine"), 4),  # a worker of xdist runs it
        (("-n1", "tests", "-k", "the_guest_says_a"), 0),
        (("-n1", "probes/ipi/self_ipi.py", "-k", "arrives_once"), 0),
        (("tests", "-k", "without_a_machine"), 4),
        (("tests", "-k", "the_guest_says_a"), 0),
        (("probes/ipi/self_ipi.py", "-k", "arrives_once"), 0),
        (("probes/ipi/self_ipi.py", "-k", "nothing_of_this_name"), 4),
        (("probes/ipi/self_ipi.py", "--collect-only"), 0),
    ],
)
def test_pytest_refuses_a_required_target_that_nothing_ran_on(folder: Path, words: tuple[str, ...], code: int) -> None:
    command = ["--trapgate-require=q35-tcg"]
    done = run_pytest(*command, *words, cwd=folder)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("--trapgate-require: no probe ran on q35-tcg" in done.stdout) == (code == 4)


def test_pytest_fails_a_test_with_a_machine_where_its_target_is_required(folder: Path) -> None:
    command = ["tests", "-k", "the_guest_says_a"]
    command += ["--trapgate-target=q35-kvm", f"--trapgate-qemu={folder / 'qemu'}"]
    done = run_pytest(*command, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    command += ["--trapgate-require=all"]
    done = run_pytest(*command, cwd=folder)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "q35-kvm is required, and this host cannot run it" in done.stdout
