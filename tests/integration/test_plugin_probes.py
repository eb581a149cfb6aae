"""The pytest plugin in a user's own project, on real QEMU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from commands import run_pytest
from example_project import write_project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_project(tmp_path_factory.mktemp("project"))


def collected(*words: str | Path, cwd: Path) -> list[str]:
    done = run_pytest("--collect-only", "-q", *words, cwd=cwd)
    assert done.returncode in (0, 5), done.stdout
    return [line for line in done.stdout.splitlines() if "::" in line]


SELF_IPI = [
    f"probes/ipi/self_ipi.py::{name}-q35-tcg]".replace("once-", "once[")
    for name in ("arrives_once", "vector_is_kept[number0x50", "vector_is_kept[number0x51")
]


@pytest.mark.parametrize("path", ["probes/ipi/self_ipi.py", "probes/ipi"])
def test_ids(project: Path, path: str) -> None:
    found = collected(path, cwd=project)
    assert [name for name in found if "known" not in name] == SELF_IPI


def test_a_target_for_each(project: Path) -> None:
    found = collected("probes/ipi/self_ipi.py", "--trapgate-target", "q35-tcg,pc-tcg", "-k", "arrives", cwd=project)
    assert found == [f"probes/ipi/self_ipi.py::arrives_once[{target}]" for target in ("q35-tcg", "pc-tcg")]


def test_node_ids_and_expressions_select(project: Path) -> None:
    assert collected("probes/ipi/self_ipi.py::vector_is_kept", cwd=project) == SELF_IPI[1:]
    assert collected(SELF_IPI[1], cwd=project) == SELF_IPI[1:2]
    assert collected("-k", "ipi and number0x50", cwd=project) == SELF_IPI[1:2]


def test_configured_folders_are_collected_with_the_tests(project: Path) -> None:
    found = collected(cwd=project)
    assert len([name for name in found if name.startswith("probes/")]) == 7
    assert "tests/test_machine.py::test_the_guest_says_a[q35-tcg]" in found


def test_unconfigured_folders_are_not(project: Path, tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    assert not [name for name in collected(cwd=tmp_path) if name.startswith("probes/")]
    assert len(collected("probes", cwd=tmp_path)) == 7


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_every_outcome(project: Path, tmp_path: Path, workers: list[str]) -> None:
    done = run_pytest(
        "probes",
        "-rA",
        *workers,
        f"--junitxml={tmp_path / 'o.xml'}",
        f"--trapgate-json={tmp_path / 'o.json'}",
        cwd=project,
    )
    assert done.returncode == 1
    assert "2 failed, 3 passed, 1 xfailed, 1 error" in done.stdout
    assert "FAILED probes/ipi/self_ipi.py::vector_is_kept[number0x51-q35-tcg] - assert [0" in done.stdout
    assert "ERROR probes/devices/floppy.py::breaks_in_the_judgement[q35-tcg] - probes/dev" in done.stdout
    first = "First difference at 0: 0x50 came, 0x51 was expected"
    reason = f"assert [0x50] == [0x51]; {first} (recorded: https://example.org/issues/1)"
    assert f"XFAIL probes/ipi/known.py::known_to_differ[q35-tcg] - {reason}" in done.stdout
    document = json.loads((tmp_path / "o.json").read_text())
    assert document["complete"] is True
    assert document["counts"] == {"pass": 3, "fail": 2, "deviation": 1, "unsupported": 0, "error": 1}
    suite = ElementTree.parse(tmp_path / "o.xml").getroot()[0]
    assert [suite.get(name) for name in ("tests", "failures", "errors", "skipped")] == ["7", "2", "1", "1"]
    properties = {(p.get("name"), p.get("value")) for p in suite.iter("property")}
    assert ("trapgate_verdict", "deviation") in properties


def test_a_failure_explains_itself(project: Path) -> None:
    done = run_pytest(SELF_IPI[2], cwd=project)
    text = done.stdout
    order = [
        ">   assert run.vectors == [VECTOR]",
        "E   assert [0x51] == [0x50]",
        "First difference at 0: 0x51 came, 0x50 was expected",
        "probes/ipi/self_ipi.py:28: AssertionError",
        "- Rule -",
        "An IPI arrives on the vector that the ICR names.",
        "SDM, Issuing Interprocessor Interrupts",
        "- Interrupts -",
        "0x51",
        "- Serial -",
        "- Registers -",
        "RIP",
        "- QEMU command line -",
        "qemu-system-x86_64 ",
        "- Run it again -",
        "trapgate run 'probes/ipi/self_ipi.py::vector_is_kept[number0x51]' --target q35-tcg",
        "- Run it again with pytest -",
        f"pytest '{SELF_IPI[2]}' --trapgate-target=q35-tcg",
    ]
    at = 0
    for part in order:
        at = text.find(part, at)
        assert at >= 0, f"{part!r} is missing, or not in its place, in\n{text}"


@pytest.mark.parametrize("option", ["--xfail-tb", "--runxfail"])
def test_a_deviation_explains_itself_where_it_is_shown(project: Path, option: str) -> None:
    text = run_pytest("probes/ipi/known.py", "-k", "known_to_differ", option, cwd=project).stdout
    assert ">   assert run.vectors == [VECTOR + 1]\nE   assert [0x50] == [0x51]\n" in text
    assert "probes/ipi/known.py:19: recorded deviation" in text
    assert "- Rule -" in text
    assert "pytest_items.py" not in text


@pytest.mark.parametrize(("words", "machines"), [((), 1), (("--trapgate-cold",), 2)])
def test_runs_share_a_machine(project: Path, tmp_path: Path, words: tuple[str, ...], machines: int) -> None:
    starts, qemu = tmp_path / "starts", tmp_path / "qemu"
    qemu.write_text(f'#!/bin/sh\necho "$*" >> {starts}\nexec qemu-system-x86_64 "$@"\n')
    qemu.chmod(0o755)
    run_pytest(
        "probes/ipi/self_ipi.py", "-k", "arrives_once or number0x50", f"--trapgate-qemu={qemu}", *words, cwd=project
    )
    assert sum("pvpanic" in line for line in starts.read_text().splitlines()) == machines


def test_unsupported_is_skipped_with_its_reason(project: Path) -> None:
    done = run_pytest("probes/devices", "-k", "hpet", "-rs", "--trapgate-target", "microvm-tcg", cwd=project)
    assert done.returncode == 0
    assert "SKIPPED [1] probes/devices/floppy.py:" in done.stdout
    assert "microvm cannot have hpet" in done.stdout


def test_stop_at_the_first_and_last_failed(tmp_path: Path) -> None:
    write_project(tmp_path)
    first = run_pytest("-q", "probes/ipi", "-x", cwd=tmp_path, cache=True)
    assert "1 failed, 1 xfailed" in first.stdout
    again = run_pytest("-q", "probes/ipi", "--lf", cwd=tmp_path, cache=True)
    assert "no_longer_differs" in again.stdout
    assert again.stdout.splitlines()[-1].startswith("1 failed in")


def test_fixtures(project: Path) -> None:
    done = run_pytest("tests", "-rA", cwd=project)
    assert "4 passed, 2 errors" in done.stdout
    assert "the fixtures machine, serial and qmp need @pytest.mark.trapgate(image=…)" in done.stdout
    assert "unexpected keyword argument 'colour'" in done.stdout
    both = run_pytest("tests", "-k", "shape", "--trapgate-target=q35-tcg,pc-tcg", "-q", cwd=project)
    assert "2 passed" in both.stdout


@pytest.mark.parametrize(
    ("words", "code"), [((), 1), (("--collect-only",), 2), (("-k", "p"), 1), (("-k", "no_such_name"), 1)]
)
def test_a_broken_probe_file_is_an_error(tmp_path: Path, words: tuple[str, ...], code: int) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "broken.py").write_text("from harness import probe\n@probe(spec='S')\ndef p(k): ...\n")
    done = run_pytest("probes/broken.py", *words, cwd=tmp_path)
    assert done.returncode == code, done.stdout
    assert "1 error" in done.stdout
    assert "broken.py:3: p: is not a generator; write `run = yield`" in done.stdout
    assert "loader.py" not in done.stdout


def test_a_probe_of_a_broken_file_is_an_error_of_collection(tmp_path: Path) -> None:
    write_project(tmp_path)
    (tmp_path / "probes" / "broken.py").write_text("from harness import probe\n@probe(spec='S')\ndef p(k): ...\n")
    done = run_pytest("probes/broken.py::p", cwd=tmp_path)
    assert done.returncode in (2, 4), done.stdout
    assert "broken.py:3: p: is not a generator; write `run = yield`" in done.stdout
    assert "loader.py" not in done.stdout


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--trapgate-target=q36-tcg", "no target is named 'q36-tcg'; did you mean q35-tcg"),
        ("--trapgate-json=/no/such/o.json", "--trapgate-json /no/such/o.json: No such file or directory"),
    ],
)
def test_wrong_options(project: Path, option: str, message: str) -> None:
    done = run_pytest("probes", option, cwd=project)
    assert done.returncode == 4
    assert message in done.stderr


def test_a_project_without_probes_loads_nothing(tmp_path: Path) -> None:
    """Every pytest in the environment has the plugin: it must cost nothing where it has nothing to do."""
    (tmp_path / "test_plain.py").write_text(
        "import sys\n"
        "def test_plain():\n"
        "    heavy = ('keystone', 'capstone', 'rich', 'typer', 'qemu.qmp', 'elftools', 'harness.pytest_items')\n"
        "    assert not [name for name in heavy if name in sys.modules]\n"
    )
    (tmp_path / "helper.py").write_text("raise SystemExit('a helper was run')\n")
    (tmp_path / "probe_like.py").write_text("def probe(f): return f\n\n@probe\ndef thing(): pass\n")
    command = [sys.executable, "-m", "pytest", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False)
    assert "1 passed" in done.stdout, done.stdout
    named = run_pytest("-q", tmp_path / "test_plain.py", tmp_path / "helper.py", cwd=tmp_path)
    assert "a helper was run" in named.stdout  # as pytest does with a file that it is given


def test_a_test_module_with_the_word_probe_stays_a_test_module(tmp_path: Path) -> None:
    (tmp_path / "test_text.py").write_text(
        "TEXT = '''\n@probe(spec=1)\ndef p(k): pass\n'''\n\ndef test_it(): assert TEXT\n"
    )
    assert collected(tmp_path / "test_text.py", cwd=tmp_path) == ["test_text.py::test_it"]
