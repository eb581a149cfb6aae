"""The options that choose targets, QEMU and probes have one declaration, and each command takes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from harness.cli import app

COMMANDS = ("run", "list", "show", "images", "vacuity", "matrix", "doctor", "bench", "leaks")
WITHOUT_PROBES = ("doctor", "leaks")
HEAVY = ("_pytest", "capstone", "keystone", "pexpect", "qemu.qmp", "uvloop")


def options(command: str) -> dict[str, str]:
    """The option strings of a command, with their help."""
    group: Any = typer.main.get_command(app)
    return {name: getattr(found, "help", "") for found in group.commands[command].params for name in found.opts}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--target", "--target-file", "--qemu", "--probes"])
def test_an_option_has_one_meaning(command: str, option: str) -> None:
    found = options(command)
    if option == "--probes" and command in WITHOUT_PROBES:
        assert option not in found
    else:
        assert found[option] == options("run")[option]


@pytest.mark.parametrize("command", WITHOUT_PROBES)
def test_probes_without_a_meaning_are_an_error_that_names_the_option(command: str) -> None:
    done = CliRunner().invoke(app, [command, "--probes", "."])
    assert done.exit_code == 2
    assert "No such option: --probes" in done.output


@pytest.mark.parametrize("words", [("-k", "hpet"), ("--probes", "."), ("--target", "all"), ("--qemu", "/bin/true")])
def test_the_coverage_of_the_whole_catalogue_refuses_what_narrows_it(words: tuple[str, str]) -> None:
    done = CliRunner().invoke(app, ["list", "--coverage", *words])
    assert done.exit_code == 2
    assert f"without {words[0]}" in " ".join(done.output.split())


def test_the_help_does_not_load_what_runs_machines() -> None:
    script = f"import harness.cli, sys; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=Path(__file__).parent
    )
    assert done.stdout.strip() == "[]"
