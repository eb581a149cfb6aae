"""KTAP: what the CI of the kernel reads."""

from __future__ import annotations

import re
from dataclasses import replace

from records import record

from harness.report.ktap import ktap
from harness.run.record import Verdict


def test_each_verdict_has_its_line() -> None:
    lines = ktap([record(verdict, str(verdict)) for verdict in Verdict]).splitlines()

    assert lines[:4] == ["KTAP version 1", "1..1", "  KTAP version 1", f"  1..{len(Verdict)}"]
    results = [line.strip() for line in lines if re.match(r"  (not )?ok ", line)]
    by_name = {re.sub(r"^(not )?ok \d+ .*::(\w+).*", r"\2", line): line for line in results}
    assert re.fullmatch(r"ok \d+ timers/hpet\.py::pass", by_name["pass"])
    assert re.fullmatch(r"not ok \d+ timers/hpet\.py::fail", by_name["fail"])
    assert re.search(r"^ok .* # XFAIL assert 0 == 1", by_name["deviation"])
    assert re.search(r"^ok .* # SKIP /dev/kvm is missing$", by_name["unsupported"])
    assert re.search(r"^not ok .* # ERROR QEMU was killed by SIGSEGV$", by_name["error"])
    assert lines[-1] == "not ok 1 q35-tcg"


def test_targets_are_tests_and_numbers_count_from_1() -> None:
    text = ktap([record(Verdict.PASS, "a"), record(Verdict.PASS, "a", "pc-tcg"), record(Verdict.PASS, "b")])

    assert re.findall(r"(?m)^(?:not )?ok.*", text) == ["ok 1 q35-tcg", "ok 2 pc-tcg"]
    assert re.findall(r"(?m)^  ok (\d) .*::(\w)$", text) == [("1", "a"), ("2", "b"), ("1", "a")]


def test_the_explanation_of_a_fail_is_in_comments_before_it() -> None:
    lines = ktap([record(Verdict.FAIL)]).splitlines()

    at = next(number for number, line in enumerate(lines) if line.startswith("  not ok 1"))
    assert "  # assert [64, 13] == [64]" in lines[4:at]
    assert all(line.startswith("  # ") for line in lines[4:at])


def test_a_text_of_a_guest_is_no_directive_and_no_line_of_its_own() -> None:
    hostile = replace(record(Verdict.FAIL, "one"), probe="x.py::a # SKIP\nok 2 forged\x1b[31m", reason="# TODO")

    lines = ktap([hostile]).splitlines()

    assert sum(bool(re.match(r"\s*(not )?ok ", line)) for line in lines) == 2
    assert "\x1b" not in "".join(lines)
    assert not re.search(r"# (SKIP|TODO)", lines[-2])


def test_a_run_that_did_not_finish_bails_out() -> None:
    assert ktap([record(Verdict.PASS)], "Ctrl-C").endswith("Bail out! Ctrl-C\n")
