"""The command lines that make a run again name every option that it depends on."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from harness.probes.probe import Case, Probe, ProbeBody
from harness.qemu.target import target
from harness.run.options import RunOptions
from harness.run.rerun import pytest_command, rerun_command, rerun_file_command, with_require

WARM = RunOptions(cold=False)
Q35 = target("q35-tcg")


def function(k: object) -> ProbeBody:
    """A rule."""
    yield


CASE = Case(Probe(function, "S", path=Path("/p/timers/hpet.py"), root=Path("/p")), {"pin": 20})
HEAD = ["trapgate", "run", "/p/timers/hpet.py::function[pin20]", "--target", "q35-tcg"]


def test_a_warm_run_needs_no_option() -> None:
    assert shlex.split(rerun_command(CASE, Q35, WARM)) == HEAD


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (replace(WARM, cold=True), ["--cold"]),
        (replace(WARM, second_source=True), ["--second-source"]),
        (replace(WARM, verify_warm=True), ["--verify-warm"]),
        (replace(WARM, target_file=Path("my targets.toml")), ["--target-file=my targets.toml"]),
        (replace(WARM, qemu="/opt/qemu"), ["--qemu=/opt/qemu"]),
        (replace(WARM, records_file=Path("own.toml")), ["--deviations=own.toml"]),
        (replace(WARM, qemu_args=("-device", "edu")), ["--qemu-arg=-device", "--qemu-arg=edu"]),
    ],
)
def test_each_option_that_a_run_depends_on_is_named(options: RunOptions, words: list[str]) -> None:
    assert shlex.split(rerun_command(CASE, Q35, options)) == HEAD + words


def test_pytest_has_the_same_options_with_its_prefix() -> None:
    options = replace(WARM, cold=True, qemu="/opt/qemu", records_file=Path("own.toml"), second_source=True)
    command = pytest_command("probes/a.py::p[q35-tcg]", Q35, options, require=True)
    assert shlex.split(command) == [
        "pytest",
        "probes/a.py::p[q35-tcg]",
        "--trapgate-target=q35-tcg",
        "--trapgate-qemu=/opt/qemu",
        "--trapgate-deviations=own.toml",
        "--trapgate-cold",
        "--trapgate-second-source",
        "--trapgate-require=q35-tcg",
    ]


def test_a_file_and_a_required_target() -> None:
    assert shlex.split(rerun_file_command(Path("/p/a b.py"))) == ["trapgate", "run", "/p/a b.py"]
    assert with_require("trapgate run x", "my target") == "trapgate run x '--require=my target'"
