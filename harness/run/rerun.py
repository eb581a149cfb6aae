"""The command lines that make a run again, as reports print them. No other module writes one."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from harness.probes.probe import Case
from harness.probes.probe_places import shown
from harness.probes.selection import name_of
from harness.qemu.target import Target
from harness.run.options import RunOptions

__all__ = ["pytest_command", "rerun_command", "rerun_file_command", "with_require"]


def rerun_command(case: Case, target: Target, options: RunOptions) -> str:
    """`trapgate run …` that runs the case again on the target."""
    words = ["trapgate", "run", name_of(case), "--target", target.name, *_words(options, "--")]
    words += ["--verify-warm"] * options.verify_warm
    return shlex.join(words)


def rerun_file_command(path: Path) -> str:
    """`trapgate run …` that loads and runs all probes of the file."""
    return shlex.join(["trapgate", "run", shown(path)])


def with_require(command: str, target: str) -> str:
    """The command with the option that makes a run which the host cannot make a `fail`."""
    return f"{command} {shlex.quote(f'--require={target}')}"


def pytest_command(node: str, target: Target, options: RunOptions, *, require: bool) -> str:
    """`pytest …` that runs the item of that node id again."""
    words = ["pytest", node, f"--trapgate-target={target.name}", *_words(options, "--trapgate-")]
    return shlex.join(words + [f"--trapgate-require={target.name}"] * require)


def _words(options: RunOptions, prefix: str) -> Iterator[str]:
    """The options that `trapgate run` and the pytest plugin have in common, where they are not the default."""
    named = {"target-file": options.target_file, "qemu": options.qemu, "deviations": options.records_file}
    yield from (f"{prefix}{name}={value}" for name, value in named.items() if value is not None)
    if options.cold:
        yield f"{prefix}cold"
    if options.second_source:
        yield f"{prefix}second-source"
    yield from (f"{prefix}qemu-arg={argument}" for argument in options.qemu_args)
