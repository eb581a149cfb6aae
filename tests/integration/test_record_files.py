"""A file of records beside the probes: `--deviations`, `--record`, and pytest's option."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import commands
import pytest
from example_project import write_project

NAMES = ["ipi/self_ipi.py::vector_is_kept", "ipi/self_ipi.py::arrives_once"]


def trapgate(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`trapgate run` of the project's self IPI probes."""
    return commands.trapgate("run", "--probes", "probes", *NAMES, *words, cwd=folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    write_project(tmp_path)
    return tmp_path


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_what_is_red_becomes_a_draft_and_counts_with_a_reference(project: Path, jobs: str) -> None:
    done = trapgate(project, "--record", "own.toml", "-j", jobs)
    assert done.returncode == 1
    own = project / "own.toml"
    text = own.read_text(encoding="utf-8")
    assert text.count("[[deviation]]") == 1
    assert 'cases = "number0x51"' in text and 'targets = "q35-tcg"' in text

    assert trapgate(project, "--deviations", "own.toml", "-j", jobs).returncode == 1, "a draft does not count"
    own.write_text(text.replace('ref = ""', 'ref = "https://example.org/7"'), encoding="utf-8")
    done = trapgate(project, "--deviations", "own.toml", "--json", "r.json", "-j", jobs)
    assert done.returncode == 0, done.stdout
    records = json.loads((project / "r.json").read_text(encoding="utf-8"))["runs"]
    verdicts = {record["probe"]: record["verdict"] for record in records}
    assert verdicts["ipi/self_ipi.py::vector_is_kept[number0x51]"] == "deviation"
    assert list(verdicts.values()).count("pass") == 2
    assert "https://example.org/7" in done.stdout


def test_a_record_of_what_passes_is_a_failure(project: Path) -> None:
    record = '[[deviation]]\nprobes = "ipi/self_ipi.py::arrives_once"\ntargets = "*"\nversions = "*"\nkind = "bug"\n'
    (project / "own.toml").write_text(record + 'sees = "x"\nref = "y"\n', encoding="utf-8")
    done = trapgate(project, "--deviations", "own.toml")
    assert done.returncode == 1
    assert "has disappeared" in done.stdout and "remove it from the file of records" in done.stdout


def test_wrong_files_are_wrong_usage(project: Path) -> None:
    (project / "own.toml").write_text('[[deviation]]\nprobes = "x"\n', encoding="utf-8")
    done = trapgate(project, "--deviations", "own.toml")
    assert done.returncode == 2
    assert re.search(r"own.toml:1: targets, sees, ref, kind, versions: missing", done.stderr)
    done = trapgate(project, "--record", "own.toml")
    assert done.returncode == 2
    assert "--record own.toml: exists" in done.stderr


def test_pytest_takes_the_file_from_its_option_or_ini(project: Path) -> None:
    record = '[[deviation]]\nprobes = "*::vector_is_kept"\ncases = "number0x51"\ntargets = "*"\nversions = "*"\n'
    record += 'kind = "bug"\nsees = "0x51"\nref = "https://example.org/7"\n'
    (project / "own.toml").write_text(record, encoding="utf-8")
    (project / "pytest.ini").write_text("[pytest]\ntrapgate_deviations = own.toml\n", encoding="utf-8")
    done = commands.run_pytest("-q", "probes/ipi/self_ipi.py", cwd=project)
    assert "2 passed, 1 xfailed" in done.stdout, done.stdout
    done = commands.run_pytest("probes/ipi/self_ipi.py", "--trapgate-deviations", "none.toml", cwd=project)
    assert done.returncode == 4 and "none.toml: cannot be read" in done.stderr
