"""QEMU's own log of interrupts against the guest's record: a guest that forges its record is caught."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest
from commands import run_pytest

from harness.probes.loader import load_file, load_probes
from harness.probes.probe import Case
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

SPINE = Path(__file__).parents[1] / "data" / "spine"
PROBES = '''
"""Guests that lie about their interrupts."""
from harness import Kernel, ProbeBody, abi, probe

FORGE = """
    mov eax, dword ptr [MAILBOX+MB_HEAD]
    imul edi, eax, REC_SIZE
    add edi, RECORDER
    mov dword ptr [rdi+REC_SEQ], eax
    mov byte ptr [rdi+REC_VECTOR], 0x60
    mov byte ptr [rdi+REC_FLAGS], 2
    mov qword ptr [rdi+REC_ERROR], -1
    lea rcx, [rip]
    mov qword ptr [rdi+REC_RIP], rcx
    mov qword ptr [rdi+REC_CS], 8
    mov qword ptr [rdi+REC_SS], 16
    mov qword ptr [rdi+REC_RSP], rsp
    mov ecx, dword ptr [MAILBOX+MB_RUN_ID]
    lea ecx, [rcx+rax+1]
    mov dword ptr [rdi+REC_COMMIT], ecx
    inc dword ptr [MAILBOX+MB_HEAD]
    inc dword ptr [COUNTS+4*0x60]
"""

@probe(spec="none: the harness itself")
def forges_a_record(k: Kernel) -> ProbeBody:
    """Interrupt 60h came."""
    k.asm(FORGE)
    run = yield
    assert run.vectors == [0x60]

@probe(spec="none: the harness itself")
def forges_between_real_ones(k: Kernel) -> ProbeBody:
    """Interrupts 50h, 60h and 51h came."""
    k.asm("int 0x50")
    k.asm(FORGE)
    k.asm("int 0x51")
    run = yield
    assert run.vectors == [0x50, 0x60, 0x51]

@probe(spec="none: the harness itself")
def hides_one(k: Kernel) -> ProbeBody:
    """Only interrupt 50h came."""
    k.asm("""
        int 0x50
        int 0x60
        dec dword ptr [MAILBOX+MB_HEAD]
        dec dword ptr [COUNTS+4*0x60]
    """)
    run = yield
    assert run.vectors == [0x50]

@probe(spec="none: the harness itself")
def renames_one(k: Kernel) -> ProbeBody:
    """Interrupt 51h came."""
    k.asm("""
        int 0x50
        mov byte ptr [RECORDER+REC_VECTOR], 0x51
        dec dword ptr [COUNTS+4*0x50]
        inc dword ptr [COUNTS+4*0x51]
    """)
    run = yield
    assert run.vectors == [0x51]

@probe(spec="none: the harness itself")
def changes_an_error_code(k: Kernel) -> ProbeBody:
    """#GP had error code 18h."""
    with k.faults(13):
        k.asm("mov eax, 0x100\\nmov fs, ax")
    k.asm("mov qword ptr [RECORDER+REC_ERROR], 0x18")
    run = yield
    assert run.interrupts[0].error_code == 0x18

@probe(spec="none: the harness itself")
def counts_alone(k: Kernel) -> ProbeBody:
    """By the counts interrupt 60h came three times."""
    k.asm("mov dword ptr [COUNTS+4*0x60], 3")
    run = yield
    assert run.count(0x60) == 3
'''
LIES = {
    "forges_a_record": "interrupt 0 of processor 0: the guest recorded vector 60h at 08:1100",
    "forges_between_real_ones": "interrupt 1 of processor 0: the guest recorded vector 60h at",
    "hides_one": "interrupt 1 of processor 0: the guest recorded no more, QEMU's interrupt log has vector 60h at",
    "renames_one": "interrupt 0 of processor 0: the guest recorded vector 51h at",
    "changes_an_error_code": "error code 18, CR2 0), QEMU's",
}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Case]:
    file = tmp_path_factory.mktemp("forged") / "forged.py"
    file.write_text(dedent(PROBES))
    return {found.name: found.cases()[0] for found in load_file(file, file.parent)}


@pytest.fixture(scope="module")
def executor() -> Iterator[Executor]:
    with Executor(target("q35-tcg"), RunOptions(cold=False, second_source=True)) as made:
        yield made


@pytest.mark.parametrize("name", LIES)
def test_a_forged_record_is_an_error_that_names_both(executor: Executor, cases: dict[str, Case], name: str) -> None:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as plain:
        assert plain.run(cases[name]).verdict is Verdict.PASS, "the guest's own witnesses agree"
    record = executor.run(cases[name])
    assert record.verdict is Verdict.ERROR
    assert "witnesses disagree" in record.reason
    assert LIES[name] in record.reason
    assert "QEMU's interrupt log has" in record.reason


def test_counts_that_the_recorder_does_not_have(cases: dict[str, Case]) -> None:
    with Executor(target("q35-tcg"), RunOptions(cold=False)) as plain:
        record = plain.run(cases["counts_alone"])
    assert record.verdict is Verdict.ERROR
    assert "vector 60h of processor 0: the recorder has 0, the counts have 3" in record.reason


def test_honest_guests_pass(executor: Executor) -> None:
    for case in [case for found in load_probes([SPINE]) for case in found.cases()]:
        for _ in range(2):
            record = executor.run(case)
            assert record.verdict is Verdict.PASS, f"{case.id}: {record.reason}"


def test_it_is_not_available_under_kvm(cases: dict[str, Case]) -> None:
    with Executor(target("q35-kvm"), RunOptions(second_source=True)) as executor:
        record = executor.run(cases["hides_one"])
    assert record.verdict is Verdict.UNSUPPORTED
    assert record.reason == "there is no second source of interrupts: only TCG has an interrupt log"


def test_pytest_has_the_option(tmp_path: Path) -> None:
    (tmp_path / "probes").mkdir()
    (tmp_path / "probes" / "forge.py").write_text(dedent(PROBES))
    without = run_pytest("probes/forge.py", "-k", "forges_a_record", cwd=tmp_path)
    assert without.returncode == 0, without.stdout
    compared = run_pytest("probes/forge.py", "-k", "forges_a_record", "--trapgate-second-source", cwd=tmp_path)
    assert compared.returncode == 1 and "QEMU" in compared.stdout, compared.stdout
