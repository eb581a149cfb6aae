"""Reasons in one line: the cause is in it."""

from __future__ import annotations

import traceback

import pytest

from harness.campaign.parallel import exception_of
from harness.one_line import one_line
from harness.qemu.errors import QemuStartError, shortened


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", ""),
        ("one", "one"),
        (
            "QEMU ended before the guest could start:\n\n  qemu: no\nThe command line was:\nqemu -x",
            "QEMU ended before the guest could start: qemu: no",
        ),
        ("assert [1] == [2]\n\nFirst difference at 0", "assert [1] == [2]; First difference at 0"),
    ],
)
def test_the_first_line_and_the_next(text: str, line: str) -> None:
    assert one_line(text) == line


def test_of_a_long_line_both_ends_stay() -> None:
    line = one_line("cause " + "x" * 5000 + "\n" + "y" * 5000 + " effect", most=100)
    assert line.startswith("cause ") and line.endswith(" effect") and len(line) <= 100


def test_the_output_of_qemu_without_its_warnings() -> None:
    stderr = "qemu: warning: TCG lacks it\nqemu: -device x: 'x' is not a valid device\n(process ended)\n"
    assert shortened(stderr) == "qemu: -device x: 'x' is not a valid device; (process ended)"
    assert shortened("qemu: warning: alone") == "qemu: warning: alone"
    long = shortened("first\n" + "x\n" * 1000 + "last")
    assert long.startswith("first; x") and long.endswith("; last") and len(long) <= 500
    error = QemuStartError("QEMU exited with status 1 before the guest could start:", stderr, "qemu -device x")
    assert error.summary.startswith(
        "QEMU exited with status 1 before the guest could start: qemu: -device x: 'x' is not"
    )


def test_the_exception_of_a_traceback_has_all_its_lines() -> None:
    try:
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("first line\n  second line") from error
    except ValueError:
        text = traceback.format_exc()
    assert exception_of(text) == "ValueError: first line\n  second line"
    assert exception_of("the worker was ended by SIGKILL") == "the worker was ended by SIGKILL"
