"""A user's own small project, as text: probes with every verdict, and ordinary tests that use the fixtures."""

from __future__ import annotations

from pathlib import Path

__all__ = ["PROBES", "TESTS", "write_project"]

_HEAD = """
from harness import Deviation, Kernel, ProbeBody, probe

VECTOR = 0x50
"""

_SELF_IPI = '''
    """{rule}"""
    k.sti()
    with k.trigger():
        k.lapic.ICR_LOW.write(VECTOR=VECTOR, DESTINATION_SHORTHAND=1)
    k.wait_for(VECTOR)
    k.stay_quiet()
    run = yield
'''

PROBES = {
    "ipi/self_ipi.py": _HEAD
    + """

@probe(spec="SDM, Issuing Interprocessor Interrupts")
def arrives_once(k: Kernel) -> ProbeBody:"""
    + _SELF_IPI.format(rule="A self IPI arrives exactly once.")
    + '''    assert run.vectors == [VECTOR]


@probe.each(number=[0x50, 0x51])
@probe(spec="SDM, Issuing Interprocessor Interrupts")
def vector_is_kept(k: Kernel, number: int) -> ProbeBody:
    """An IPI arrives on the vector that the ICR names."""
    k.sti()
    with k.trigger():
        k.lapic.ICR_LOW.write(VECTOR=number, DESTINATION_SHORTHAND=1)
    k.wait_for(number)
    run = yield
    assert run.vectors == [VECTOR]
''',
    "ipi/known.py": _HEAD
    + """

@probe(
    spec="SDM, Issuing Interprocessor Interrupts",
    deviation=Deviation(targets="*-tcg", versions="*", kind="bug", sees=r"== \\[0x51\\]", ref="https://example.org/issues/1"),
)
def known_to_differ(k: Kernel) -> ProbeBody:"""
    + _SELF_IPI.format(rule="A self IPI arrives on another vector, which no machine does.")
    + """    assert run.vectors == [VECTOR + 1]


@probe(spec="SDM", deviation=Deviation(targets="*", versions="*", kind="bug", sees="never", ref="https://example.org/issues/2"))
def no_longer_differs(k: Kernel) -> ProbeBody:"""
    + _SELF_IPI.format(rule="A self IPI arrives, though a deviation is recorded.")
    + """    assert run.vectors == [VECTOR]
""",
    "devices/floppy.py": _HEAD
    + """

@probe(spec="82077AA", needs=["hpet"])
def needs_an_hpet(k: Kernel) -> ProbeBody:"""
    + _SELF_IPI.format(rule="microvm has no HPET.")
    + """    assert run.vectors == [VECTOR]


@probe(spec="82077AA")
def breaks_in_the_judgement(k: Kernel) -> ProbeBody:"""
    + _SELF_IPI.format(rule="A judgement that is broken says nothing about the rule.")
    + """    assert run.no_such_evidence == [VECTOR]
""",
}

# mov dx, 0x3f8; mov al, 'A'; out dx, al; hlt, at the reset vector of a 64 KiB ROM
_ROM = "bytes(0xFFF0) + bytes.fromhex('baf803 b041 ee f4').ljust(16, b'\\0')"

TESTS = f"""
import pytest

ROM = {_ROM}


@pytest.mark.trapgate(image=ROM)
def test_the_guest_says_a(machine, serial):
    machine.resume()
    serial.expect("A", timeout=20)


@pytest.mark.trapgate(image=ROM, target="pc-tcg")
def test_qmp_answers(machine, qmp):
    assert qmp("query-status")["running"] is False
    assert machine.config.target.name == "pc-tcg"
    (cpu,) = machine.registers()
    assert cpu.rip == 0xFFF0


@pytest.mark.trapgate(image=ROM, cpus=2, needs=["edu"])
def test_shape(qmp):
    assert len(qmp("query-cpus-fast")) == 2


def test_without_a_machine():
    pass


def test_without_an_image(machine):
    pass


@pytest.mark.trapgate(image=ROM, colour="red")
def test_with_an_unknown_argument(machine):
    pass
"""


def write_project(folder: Path) -> Path:
    """Write the project; gives its folder."""
    for name, text in PROBES.items():
        path = folder / "probes" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "tests").mkdir()
    (folder / "tests" / "test_machine.py").write_text(TESTS, encoding="utf-8")
    (folder / "pytest.ini").write_text("[pytest]\ntrapgate_probes = probes\n", encoding="utf-8")
    return folder
