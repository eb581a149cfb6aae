"""The JSON and JUnit documents."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import record

from harness.evidence.failures import Section
from harness.report.json_file import JsonReport
from harness.report.junit import junit_xml
from harness.report.text import printable
from harness.run.record import AtFault, RunRecord, Verdict

ALL = [record(verdict, str(verdict)) for verdict in Verdict]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_file_is_valid_before_during_and_after(tmp_path: Path) -> None:
    path, clock = tmp_path / "out.json", Clock()
    path.write_text("of an earlier run")

    def load() -> tuple[bool, int]:
        document = json.loads(path.read_text())
        assert document["schema"] == 1
        return document["complete"], len(document["runs"])

    report = JsonReport(path, planned=5, facts={"host": {"cpus": 2}}, clock=clock)
    assert load() == (False, 0)
    report.add(ALL[0])
    assert load() == (False, 0)  # within 0.2 s of the last
    clock.now += 0.25
    report.add(ALL[1])
    assert load() == (False, 2)
    for one in ALL[2:]:
        report.add(one)
    report.close()
    assert load() == (True, 5)
    document = json.loads(path.read_text())
    assert document["planned"] == 5
    assert document["host"] == {"cpus": 2}
    assert document["counts"] == dict.fromkeys(("pass", "fail", "deviation", "unsupported", "error"), 1)
    assert document["seconds"] == 0.25


def test_a_record_has_the_documented_fields(tmp_path: Path) -> None:
    report = JsonReport(tmp_path / "out.json")
    report.add(ALL[1])
    report.close()
    (run,) = json.loads((tmp_path / "out.json").read_text())["runs"]
    documented = {
        "probe",
        "target",
        "verdict",
        "rule",
        "citation",
        "ms",
        "interrupts",
        "marks",
        "values",
        "reason",
        "attempts",
    }
    assert documented <= set(run)
    assert run["verdict"] == "fail"
    assert run["interrupts"][1]["name"] == "#GP"
    text = (Path(__file__).parents[3] / "docs" / "json.md").read_text(encoding="utf-8")
    for name in [*run, *run["interrupts"][0]]:
        assert f"`{name}`" in text, f"docs/json.md does not describe {name}"


def test_a_failing_disk_keeps_the_last_good_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    report = JsonReport(tmp_path / "out.json", clock=clock)
    full = OSError(28, "No space left on device")

    def refuse(path: Path, data: bytes) -> None:
        raise full

    with monkeypatch.context() as patched:
        patched.setattr("harness.report.json_file.write_atomic", refuse)
        clock.now += 1
        report.add(ALL[0])
        assert report.problem is full
        assert json.loads((tmp_path / "out.json").read_text())["runs"] == []
    clock.now += 1
    report.add(ALL[1])
    assert report.problem is None
    assert len(json.loads((tmp_path / "out.json").read_text())["runs"]) == 2


def test_a_path_that_cannot_be_written_is_reported_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        JsonReport(tmp_path / "no" / "out.json")


def suites(records: list[RunRecord]) -> ElementTree.Element:
    return ElementTree.fromstring(junit_xml(records, {"trapgate": "0.1"}))


def test_junit_counts_and_kinds() -> None:
    root = suites([*ALL, record(Verdict.PASS, target="pc-tcg")])
    assert [(suite.get("name"), suite.get("tests")) for suite in root] == [("q35-tcg", "5"), ("pc-tcg", "1")]
    suite = root[0]
    assert (suite.get("failures"), suite.get("errors"), suite.get("skipped")) == ("1", "1", "2")
    kinds = {case.get("name"): [child.tag for child in case] for case in suite.iter("testcase")}
    assert kinds == {
        "pass": [],
        "fail": ["failure"],
        "deviation": ["skipped"],
        "unsupported": ["skipped"],
        "error": ["error"],
    }
    failure = suite.find("testcase/failure")
    assert failure is not None
    assert failure.get("message") == "assert [64, 13] == [64]"
    assert "#GP" in (failure.text or "")
    assert "trapgate run timers/hpet.py::fail --target q35-tcg" in (failure.text or "")
    assert {s.get("type") for s in suite.iter("skipped")} == {"trapgate.deviation", "trapgate.unsupported"}
    case = suite.find("testcase")
    assert case is not None
    assert (case.get("classname"), case.get("file"), case.get("time")) == (
        "q35-tcg.timers.hpet",
        "timers/hpet.py",
        "0.001500",
    )


@given(st.text())
def test_any_output_of_a_guest_is_well_formed_xml(text: str) -> None:
    from dataclasses import replace

    bad = replace(ALL[1], reason=text, rule="r", detail=replace(ALL[1].detail, sections=(Section("Serial", text),)))
    assert suites([bad]).find("testsuite/testcase/failure") is not None


@given(st.text())
def test_printable_text_drives_no_terminal(text: str) -> None:
    shown = printable(text)
    assert all(character.isprintable() or character in "\n\t" or ord(character) > 0x9F for character in shown)
    assert printable(shown) == shown


def test_a_record_is_plain_data_which_workers_of_xdist_can_send() -> None:
    data = replace(ALL[1], at_fault=AtFault.PROBE).to_json()
    plain = (str, float, int, bool, type(None), list, dict)
    assert all(type(value) in plain for value in data.values()), data
