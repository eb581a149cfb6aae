"""The catalogue's documents: each deviation has one, each has a probe, the index is whole; every bullet is answered."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from commands import trapgate

from harness.probes.loader import load_probes
from harness.probes.probe import Probe

ROOT = Path(__file__).parents[2]
DEVIATIONS = ROOT / "docs" / "deviations"
DOCUMENTS = sorted(DEVIATIONS.glob("*.md"))
SECTIONS = ["Rule", "Citation", "What happens", "Targets", "Class", "Versions", "Smallest guest program", "Upstream"]


@pytest.fixture(scope="module")
def probes() -> list[Probe]:
    return load_probes()


@pytest.fixture(scope="module")
def references(probes: list[Probe]) -> Mapping[str, list[str]]:
    """The references of all deviations, each with the probes that have it."""
    found: dict[str, list[str]] = {}
    for probe in probes:
        for deviation in probe.deviations:
            found.setdefault(deviation.ref, []).append(probe.id)
    assert found, "the catalogue has no deviations: they were not found"
    return found


def anchors(path: Path) -> set[str]:
    """The headings of a document, as GitHub makes anchors of them."""
    headings = re.findall(r"(?m)^#+ (.*)$", path.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_each_reference_is_there(references: Mapping[str, list[str]]) -> None:
    """A document of the project, with its anchor if one is named, or an address."""
    missing = {}
    for reference, users in references.items():
        if reference.startswith("https://"):
            continue
        name, _, anchor = reference.partition("#")
        path = ROOT / name
        if not path.is_file() or (anchor and anchor not in anchors(path)):
            missing[reference] = users
    assert missing == {}


def test_each_document_is_referred_to(references: Mapping[str, list[str]]) -> None:
    referred = {reference.partition("#")[0] for reference in references}
    assert {path.relative_to(ROOT).as_posix() for path in DOCUMENTS} - referred == set()


def test_documents_and_index_agree_with_the_records(probes: list[Probe]) -> None:
    """Class, versions and the index's sections are those of the records: scripts/deviation_documents.py writes them."""
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "deviation_documents.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_silent_manual_has_its_readings() -> None:
    """A document of this class has the possible readings of the manual."""
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        silent = "- Class: manual silent or contradictory." in text
        assert ("- Readings: " in text) is silent, path.name


def test_each_document_has_one_class(probes: list[Probe]) -> None:
    kinds: dict[str, set[str]] = {}
    for probe in probes:
        for deviation in probe.deviations:
            kinds.setdefault(deviation.ref, set()).add(deviation.kind)
    assert {reference for reference, found in kinds.items() if len(found) > 1} == set()


def test_the_index_has_each_document_once() -> None:
    index = DEVIATIONS.with_suffix(".md").read_text(encoding="utf-8")
    titles = re.findall(r"(?m)^\| \[(.*)\]\(([^)]*)\) \| \S.* \|$", index)
    expected = [
        (path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# "), f"deviations/{path.name}")
        for path in DOCUMENTS
    ]
    assert sorted(titles, key=lambda row: row[1]) == expected


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_each_document_has_its_parts_and_names_real_probes(path: Path, probes: list[Probe]) -> None:
    text = path.read_text(encoding="utf-8")
    names = re.findall(r"(?m)^- ([A-Z][^:]*):", text)
    assert text.startswith("# ")
    assert [name for name in SECTIONS if name not in [name.replace("Target:", "Targets") for name in names]] == []
    files = {probe.relative for probe in probes}
    ids = {probe.id for probe in probes}
    last = ""
    for quoted in re.findall(r"`((?:[a-z0-9_/]+\.py)?(?:::\w+)?)(?:\[[^`]*\])?`", text.partition("\n- Probe")[2]):
        file, _, name = quoted.partition("::")
        last = file or last
        if quoted:
            assert (f"{last}::{name}" in ids) if name else (last in files), f"{path.name}: there is no {quoted}"
    assert last, f"{path.name} names no probe"


def test_every_bullet_is_answered() -> None:
    done = trapgate("list", "--coverage", "--json", "-", cwd=ROOT)
    document = json.loads(done.stdout)
    missing = {bullet["id"] for bullet in document["bullets"] if bullet["state"] == "missing"}
    assert missing == set()
    assert document["problems"] == []
    assert done.returncode == 0
    assert document["counts"]["covered"] == sum(bool(bullet["probes"]) for bullet in document["bullets"]) > 100


def test_coverage_of_one_area() -> None:
    done = trapgate("list", "--coverage", "descriptors", cwd=ROOT)
    assert done.returncode == 0
    assert "descriptors.int-n-256" in done.stdout
    assert "timers." not in done.stdout


def test_an_unknown_area_is_a_usage_error() -> None:
    done = trapgate("list", "--coverage", "nowhere", cwd=ROOT)
    assert done.returncode == 2
    assert "no coverage file for nowhere" in done.stderr
