"""The HTML report of real runs, and the evidence that its timelines are drawn from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from commands import run_pytest, trapgate

PROBES = """
from harness import Kernel, ProbeBody, probe

@probe(spec="SDM vol. 3A, Interrupt, Task, and Processor Priority")
def nests(k: Kernel) -> ProbeBody:
    "40h is interrupted by 50h; 60h has no handler, 70h sends its own EOI."
    with k.handler(0x50):
        k.asm("nop")
    with k.handler(0x40):
        k.lapic.self_ipi(0x50)
        k.sti()
        k.wait_for(0x50)
        k.cli()
    with k.handler(0x70, eoi=False):
        k.lapic.eoi()
    k.sti()
    for vector in (0x40, 0x60, 0x70):
        k.lapic.self_ipi(vector)
        k.wait_for(vector)
    k.checkpoint("stopped")

    run = yield

    with run.stopped_at("stopped"):
        run.hmp("info pic")
    assert run.vectors == [0x40, 0x50, 0x60, 0x70]

@probe(spec="SDM vol. 3A, Exception and Interrupt Handling")
def unexpected(k: Kernel) -> ProbeBody:
    "An exception that nothing handles ends the run."
    k.asm("ud2")

    run = yield

    assert run.vectors == []
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "probes" / "mine"
    folder.mkdir(parents=True)
    (folder / "nests.py").write_text(PROBES)
    return tmp_path


def records(project: Path, *words: str) -> dict[str, dict[str, Any]]:
    trapgate("run", "--probes", "probes", "--json", "o.json", *words, cwd=project)
    return {run["probe"].partition("::")[2]: run for run in json.loads((project / "o.json").read_text())["runs"]}


def test_the_times_of_handlers_are_recorded(project: Path) -> None:
    run = records(project)["nests"]
    assert run["verdict"] == "pass", run["reason"]
    outer, nested, plain, own = run["interrupts"]
    assert (
        outer["tsc"] < nested["tsc"] < nested["eoi_tsc"] < nested["iretq_tsc"] < outer["eoi_tsc"] < outer["iretq_tsc"]
    )
    assert outer["iretq_tsc"] < plain["tsc"] < plain["eoi_tsc"] < plain["iretq_tsc"] < own["tsc"]
    assert own["eoi_tsc"] is None, "the probe sends it"
    assert own["tsc"] < own["iretq_tsc"] < run["end_tsc"]
    assert [each["handled"] for each in run["interrupts"]] == [True, True, False, True]
    assert not any(each["if_on_entry"] for each in run["interrupts"])
    (stop,) = run["checkpoints"]
    assert (stop["name"], stop["actions"]) == ("stopped", ["monitor info pic"])
    assert own["iretq_tsc"] < stop["tsc"] < run["end_tsc"]
    assert (run["tsc_khz"], run["sections"], run["rerun"].split()[:2]) == (1_000_000, [], ["trapgate", "run"])
    assert run["command_line"].split()[0].endswith("qemu-system-x86_64")


def test_a_handler_that_does_not_end_has_no_time_of_iretq(project: Path) -> None:
    run = records(project)["unexpected"]
    (fault,) = run["interrupts"]
    assert (run["verdict"], fault["name"], fault["iretq_tsc"], fault["eoi_tsc"]) == ("fail", "#UD", None, None)
    assert fault["tsc"] < run["end_tsc"]
    assert run["frozen"]
    assert {"Registers at the exception", "Serial"} <= {section["title"] for section in run["sections"]}


HOSTILE = """
from harness import Kernel, ProbeBody, probe

@probe(spec="none: this guest is here to misbehave")
def prints(k: Kernel) -> ProbeBody:
    "A guest whose console is meant for a browser."
    k.print("</script><script>alert(1)</script>]]>\\x1b[31m")
    k.asm("mov ecx, 300000; mov dx, 0x3f8; mov al, 0x3c; again: out dx, al; dec ecx; jnz again".replace("; ", chr(10)))

    run = yield

    assert run.vectors == VECTORS
"""


@pytest.mark.parametrize("verdict", ["pass", "fail"])
def test_what_a_guest_prints_is_bounded_and_escaped(tmp_path: Path, verdict: str) -> None:
    folder = tmp_path / "probes" / "mine"
    folder.mkdir(parents=True)
    (folder / "prints.py").write_text(HOSTILE.replace("VECTORS", "[]" if verdict == "pass" else "[1]"))
    words = ("run", "--probes", "probes", "--json", "o.json", "--html", "o.html")
    assert trapgate(*words, cwd=tmp_path).returncode == (0 if verdict == "pass" else 1)
    (run,) = json.loads((tmp_path / "o.json").read_text())["runs"]
    assert run["verdict"] == verdict
    assert run["console"].startswith("</script><script>alert(1)</script>]]>\x1b[31m")
    assert len(run["console"]) <= 33 * 401
    text = (tmp_path / "o.html").read_text(encoding="utf-8")
    assert len(text) < 200_000
    assert "alert(1)</script>" not in text and "\x1b" not in text


def test_each_way_to_the_report(project: Path) -> None:
    cache = str(project / "cache")
    none = trapgate("report", cwd=project, TRAPGATE_CACHE=cache)
    assert (none.returncode, none.stderr.startswith("trapgate: there is no last run of this folder.")) == (2, True)
    words = ("run", "--probes", "probes", "--html", "run.html", "--json", "run.json")
    done = trapgate(*words, cwd=project, TRAPGATE_CACHE=cache)
    assert done.returncode == 1
    last = trapgate("report", "--html", "last.html", cwd=project, TRAPGATE_CACHE=cache)
    assert (last.returncode, last.stdout) == (0, "last.html: 2 runs on 1 target: 1 pass, 1 fail\n")
    elsewhere = trapgate("report", cwd=project / "probes", TRAPGATE_CACHE=cache)
    assert elsewhere.returncode == 2, "each folder has a last run of its own"
    again = trapgate("report", "run.json", cwd=project, TRAPGATE_CACHE=cache)
    assert (again.returncode, again.stdout) == (0, "trapgate-report.html: 2 runs on 1 target: 1 pass, 1 fail\n")
    for name in ("run.html", "last.html", "trapgate-report.html"):
        text = (project / name).read_text(encoding="utf-8")
        assert "mine/nests.py::unexpected" in text and "Registers at the exception" in text
    assert run_pytest("probes", "--trapgate-html=p.html", "-q", cwd=project).returncode == 1
    assert "Registers at the exception" in (project / "p.html").read_text(encoding="utf-8")


def test_a_matrix_has_a_grid(project: Path) -> None:
    words = ("matrix", "--probes", "probes", "-t", "q35-tcg,microvm-tcg", "--html", "m.html", "--json", "m.json")
    assert trapgate(*words, cwd=project, TRAPGATE_QEMU="").returncode == 1
    text = (project / "m.html").read_text(encoding="utf-8")
    assert "Targets compared" in text and 'href="#run-3"' in text
    assert trapgate("report", "m.json", "--html", "n.html", cwd=project).returncode == 0
    assert (project / "n.html").read_text(encoding="utf-8") == text


MISSING = "No such file or directory"
FULL = "No space left on device"


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("report", "missing.json"), 2, f"trapgate: missing.json: {MISSING}\n"),
        (("report", "probes/mine/nests.py"), 2, "trapgate: probes/mine/nests.py: it is not JSON: "),
        (("report", "ok.json", "--html", "no/x.html"), 3, f"--html no/x.html: {MISSING}; it was not written\n"),
        (("report", "ok.json", "--html", "/dev/full"), 3, f"--html /dev/full: {FULL}; it was not written\n"),
        (("run", "lapic", "--html", "no/x.html"), 2, f"trapgate: --html no/x.html: {MISSING}\n"),
        (("run", "0000", "--html", "x.html"), 2, "trapgate: no probe is named '0000'"),
        (("matrix", "lapic", "--html", "probes"), 2, "trapgate: --html probes: Is a directory\n"),
    ],
)
def test_wrong_use_is_one_clear_line(project: Path, words: tuple[str, ...], code: int, message: str) -> None:
    (project / "ok.json").write_text('{"schema": 1, "runs": []}')
    done = trapgate(*words, cwd=project)
    assert (done.returncode, done.stderr.count("\n")) == (code, 1)
    assert done.stderr.startswith(message)
    assert not (project / "x.html").exists()


def test_pytest_checks_the_path_first(project: Path) -> None:
    done = run_pytest("probes", "--trapgate-html=no/x.html", cwd=project)
    assert done.returncode == 4
    assert "--trapgate-html no/x.html: No such file or directory" in done.stderr + done.stdout
