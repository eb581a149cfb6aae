"""`trapgate vacuity --triggers` on a busy host: what could not be decided is reported, and is an error on demand."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from harness.campaign.vacuity import CaseVacuity, TriggerFinding
from harness.cli import app
from harness.run.record import Verdict

CASE = "boot/program.py::x"


@pytest.mark.parametrize(
    ("findings", "words", "code"),
    [
        ([TriggerFinding.FAIL], [], 0),
        ([TriggerFinding.FAIL, TriggerFinding.HELD_UP], [], 0),
        ([TriggerFinding.FAIL, TriggerFinding.HELD_UP], ["--strict"], 3),
        ([TriggerFinding.STILL_GREEN, TriggerFinding.HELD_UP], ["--strict"], 1),
        ([TriggerFinding.ERROR], [], 1),
    ],
)
def test_exit_codes(
    monkeypatch: pytest.MonkeyPatch, findings: list[TriggerFinding], words: list[str], code: int
) -> None:
    found = [
        CaseVacuity(CASE, CASE, "q35-tcg", Verdict.PASS, trigger=finding, trigger_reason="QEMU did not run for 1 s")
        for finding in findings
    ]
    monkeypatch.setattr("harness.commands.vacuity._examine", lambda *_: found)
    done = CliRunner().invoke(app, ["vacuity", "boot", "--triggers", *words])
    assert done.exit_code == code, done.output
    held_up = findings.count(TriggerFinding.HELD_UP)
    assert (f"{held_up} case undecided" in done.output) == bool(held_up)
    assert f"Triggers: {findings.count(TriggerFinding.FAIL)} of " in done.output
