"""`trapgate doctor`: its two forms, and which kind of KVM it names. No machine is started: the trials are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from harness.cli import app
from harness.qemu.features import Features, Trial
from harness.run.host_faults import kvm_kind

JSON_DOCUMENT = Path(__file__).parents[3] / "docs" / "json.md"


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """A host on which everything but microvm works, with one QEMU."""
    has = Features("/bin/qemu", "10.0.2", frozenset({"q35", "pc"}), frozenset(), sandbox=True)
    monkeypatch.setattr("harness.commands.host_survey.features", lambda program: has)
    monkeypatch.setattr("harness.commands.host_survey.trial", lambda *words: Trial("max", None))
    monkeypatch.setattr("harness.commands.host_survey.unsupported", lambda config: None)
    monkeypatch.setattr("harness.commands.host_survey.shutil.which", lambda name: f"/bin/{name}")
    monkeypatch.setattr("harness.commands.host_survey.kvm_kind", lambda: "software")
    return monkeypatch


def doctor(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["doctor", *words])
    return done.exit_code, done.output


@pytest.mark.parametrize("kind", ["hardware", "software", ""])
def test_the_kind_of_kvm_is_named(host: pytest.MonkeyPatch, kind: str) -> None:
    host.setattr("harness.commands.host_survey.kvm_kind", lambda: kind)
    code, output = doctor()
    text = " ".join(output.split())
    assert code == 0
    assert (("yes, without" in text) and ("docs/software-kvm.md" in text)) == (kind == "software")
    assert ("KVM with hardware virtualisation" in text) == (kind == "hardware")
    assert ("there is no /dev/kvm" in text) == (kind == "")
    document = json.loads(doctor("--json", "-")[1])
    assert document["kvm"] == kind
    assert {target["kvm"] for target in document["targets"] if target["accelerator"] == "kvm"} == {kind}
    assert {target["kvm"] for target in document["targets"] if target["accelerator"] == "tcg"} == {""}


def test_the_document_is_complete_and_documented(host: pytest.MonkeyPatch, tmp_path: Path) -> None:
    code, output = doctor("--json", str(tmp_path / "o.json"))
    assert code == 0
    assert "q35-tcg" in output
    document = json.loads((tmp_path / "o.json").read_text())
    assert (document["schema"], document["works"]) == (1, True)
    section = JSON_DOCUMENT.read_text(encoding="utf-8").partition("## `trapgate doctor --json FILE`")[2]
    described = set(re.findall(r"`(\w+)`", section))
    (program, *_) = document["qemus"]
    names = {*document, *program, *program["runs"][0], *document["targets"][0], *document["devices"][0]}
    assert names - described == set()
    assert program["lacks"]["edu"] == ["edu"]
    assert [run["reason"] for run in program["runs"] if run["machine"] == "microvm"] == ["no such machine type"] * 2


def test_a_host_on_which_nothing_works(host: pytest.MonkeyPatch) -> None:
    host.setattr("harness.commands.host_survey.unsupported", lambda config: "lacks it")
    code, output = doctor()
    assert code == 1
    assert "No target works on this host." in output
    code, output = doctor("--json", "-")
    assert (code, json.loads(output)["works"]) == (1, False)


def test_targets_of_a_file(host: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('[mine]\nbase = "q35-tcg"\n')
    document = json.loads(doctor("--target-file", str(tmp_path / "t.toml"), "--json", "-")[1])
    assert "mine" in [target["name"] for target in document["targets"]]
    assert doctor("--target-file", str(tmp_path / "no.toml"))[0] == 2


def test_targets_and_qemu_are_those_of_the_options(host: pytest.MonkeyPatch) -> None:
    document = json.loads(doctor("--target", "pc-tcg,q35-kvm", "--qemu", "qemu-mine", "--json", "-")[1])
    assert [target["name"] for target in document["targets"]] == ["pc-tcg", "q35-kvm"]
    assert {target["qemu"] for target in document["targets"]} == {"/bin/qemu-mine"}
    assert [found["program"] for found in document["qemus"]] == ["/bin/qemu-mine"]
    assert doctor("--qemu", "a", "--qemu", "b")[0] == 2
    assert doctor("--target", "none")[0] == 2


@pytest.mark.parametrize(
    ("flags", "there", "kind"),
    [("fpu vmx", True, "hardware"), ("fpu svm", True, "hardware"), ("fpu", True, "software"), ("fpu vmx", False, "")],
)
def test_kinds_of_kvm(tmp_path: Path, flags: str, there: bool, kind: str) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    if there:
        (tmp_path / "kvm").touch()
    assert kvm_kind(tmp_path / "kvm", tmp_path / "cpuinfo") == kind


def test_a_cache_that_is_not_used_is_reported(host: pytest.MonkeyPatch, tmp_path: Path) -> None:
    host.setenv("TRAPGATE_CACHE", str(tmp_path))
    document = json.loads(doctor("--json", "-")[1])
    assert (document["cache"], document["cache_unused"]) == (str(tmp_path), "")
    (tmp_path / "qemu").mkdir()
    (tmp_path / "qemu").chmod(0o777)
    reason = json.loads(doctor("--json", "-")[1])["cache_unused"]
    assert str(tmp_path / "qemu") in reason and "can be written by others" in reason
    assert "can be written by others" in " ".join(doctor()[1].split())
    host.setenv("TRAPGATE_CACHE", "")
    document = json.loads(doctor("--json", "-")[1])
    assert (document["cache"], document["cache_unused"]) == ("", "TRAPGATE_CACHE is empty")
    (tmp_path / "file").touch()
    host.setenv("TRAPGATE_CACHE", str(tmp_path / "file"))
    assert "cannot be written" in json.loads(doctor("--json", "-")[1])["cache_unused"]
