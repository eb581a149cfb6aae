"""Mistakes of a probe's author: each is an error at the probe's line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.hardware.platform import PLATFORMS
from harness.kernel.builder import Kernel
from harness.kernel.program import Program, ProgramError
from harness.probes.loader import load_probes
from harness.probes.mistakes import MISTAKES, explain_mistake
from harness.qemu.target import target
from harness.run.build import build

HERE = Path(__file__)


def kernel(cpus: int = 2) -> Kernel:
    return Kernel(Program("test"), PLATFORMS["q35"], cpus)


def test_a_block_still_open_at_the_yield_is_an_error_at_its_line() -> None:
    k = kernel()
    with k.handler(0x50):
        line = inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
        with pytest.raises(ProgramError, match=rf"test_mistakes\.py:{line}: .*handler.*still open at the yield"):
            k.program.finish()
    k.program.finish()


def test_a_second_handler_for_a_vector_is_an_error_unless_it_takes_over() -> None:
    k = kernel()
    k.expect(0x50)
    k.expect(0x50)
    with pytest.raises(ProgramError, match=r"vector 0x50 has a handler already, of .*test_mistakes\.py"):
        k.handler(0x50).__enter__()
    with k.handler(0x50, replace=True):
        k.asm("nop")


Mistake = tuple[Callable[[Kernel], object], str]

WRONG: list[Mistake] = [
    (lambda k: k.wait_for("0x50"), "remove the quotes"),  # type: ignore[arg-type]
    (lambda k: k.expect(1000), "vector is 0x3e8"),
    (lambda k: k.serve_8259(16), "input is 0x10"),
    (lambda k: k.cpuid(1, rbx="b"), "rbx: expected registers of eax, ebx, ecx, edx"),
    (lambda k: k.cpuid(1, eax="a b"), "must be an identifier"),
    (lambda k: k.require_cpuid(1, "rcx", 21, "x2APIC"), "rcx: expected one of eax, ebx, ecx, edx"),
    (lambda k: k.require_cpuid(1, "ecx", 32, "x2APIC"), "bit is 0x20"),
    (lambda k: k.handler(0x50).do(k.require_cpuid, 1, "ecx", 21, "x2APIC"), "in a handler"),
    (lambda k: k.wrmsr(0x1B, 1 << 64), "content is 0x1"),
    (lambda k: k.peek(0x1000, "seen", width=24), "width=24. Expected: 8, 16, 32 or 64"),
    (lambda k: k.poke(0x1000, 0x100, width=8), "content is 0x100"),
    (lambda k: k.peek(-8, "seen"), "address is -0x8"),
    (lambda k: k.from_time(0).__enter__(), "count=0"),
    (lambda k: k.delay(us=1, real_us=-1), "real_us=-1"),
    (lambda k: k.stay_quiet(real_ms=-1), "real_ms=-1"),
    (lambda k: k.pic.level(16), "input is 0x10"),
    (lambda k: k.wait_until(0x1000, 0x101, mask=0xFF), "can never end"),
    (lambda k: k.wait_until(0x1000, 0, mask=0), "mask is 0x0"),
    (lambda k: k.wait_until(0x1000, -1), "equals is -0x1"),
    (lambda k: k.faults(32).__enter__(), "vector is 0x20"),
    (lambda k: k.recover_at("there", 32), "vector is 0x20"),
    (lambda k: k.count(k.value("v"), by=1 << 40), "by is 0x10000000000"),
    (lambda k: k.print("Grüße"), "the console takes ASCII"),
    (lambda k: k.buffer("b", 16, fill=256), "fill is 0x100"),
    (lambda k: k.buffer("b", 0), "do not fit"),
    (lambda k: k.buffer("b", 16, align=3), "no power of two"),
    (lambda k: k.buffer("b", 1, fill=b"12"), "2 bytes of content"),
    (lambda k: (k.buffer("b", 1), k.buffer("b", 1)), "already"),
    (lambda k: (k.value("v"), k.value("v")), "already"),
    (lambda k: [k.checkpoint(name) for name in ("c", "c")], "already"),  # type: ignore[func-returns-value]
    (lambda k: k.store(k.value("v"), 1 << 64), "number is"),
    (lambda k: k.store(k.value("v"), -1), "number is -0x1"),
    (lambda k: k.tables.gate(256, dpl=0), "vector is 0x100"),
    (lambda k: k.tables.gate(3, dpl=4), "dpl is 0x4"),
    (lambda k: k.tables.gate(3, ist=8), "ist is 0x8"),
    (lambda k: k.tables.gate(3, colour=8), "no field 'colour'"),
    (lambda k: k.tables.gate_offset(-1, "x"), "vector is -0x1"),
    (lambda k: k.lapic.LVT_TIMR, "lapic has no attribute 'LVT_TIMR'. Did you mean LVT_TIMER"),  # type: ignore[attr-defined]
    (lambda k: k.lapci, "k has no attribute 'lapci'. Did you mean lapic"),  # type: ignore[attr-defined]
    (lambda k: k.wait_fro(0x50), "Did you mean wait_for"),  # type: ignore[attr-defined]
    (lambda k: k.lapic.LVT_TIMER.wirte(VECTOR=1), "Did you mean write"),  # type: ignore[attr-defined]
    (lambda k: k.lapic.LVT_TIMER.write(VEKTOR=1), "did you mean VECTOR"),  # type: ignore[call-arg]
    (lambda k: k.lapic.LVT_TIMER.write(VECTOR=256), "8 bit"),
    (lambda k: bool(k.value("seen")), r"truth of the guest value 'seen'.*run\[seen\]"),
    (lambda k: k.value("seen") == 5, r"comparing the guest value 'seen'.*run\[seen\]"),
    (lambda k: k.value("seen") + 5, r"calculating with the guest value 'seen'.*run\[seen\]"),
]


@pytest.mark.parametrize(("mistake", "text"), WRONG, ids=[text for _, text in WRONG])
def test_a_mistake_is_an_error_with_the_probe_line(mistake: Callable[[Kernel], object], text: str) -> None:
    with pytest.raises((ProgramError, *MISTAKES)) as caught:
        mistake(kernel())
    error = caught.value
    shown = explain_mistake(error, HERE) if isinstance(error, MISTAKES) else str(error)
    assert re.search(rf"test_mistakes\.py:{mistake.__code__.co_firstlineno}: .*{text}", shown), shown


PROBE = """
from harness import probe

@probe(spec="SDM, somewhere")
def wrong(k):
    \"\"\"A rule.\"\"\"
    {line}
    run = yield
    assert run.vectors == []
"""


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("k.trigger()", "wrong.py:7: trigger(…) opens a block, but the block was never entered"),
        ("k.lapic.LVT_TIMR.read()", "wrong.py:7: lapic has no attribute 'LVT_TIMR'. Did you mean LVT_TIMER?"),
        ("k.wait_for(0x50, ms=-1)", "wrong.py:7: ms=-1"),
        ("k.lapic.LVT_TIMER.write(MAKS=1)", "wrong.py:7: lapic.LVT_TIMER"),
        ("if k.value('seen'): pass", "wrong.py:7: taking the truth of the guest value 'seen'"),
    ],
)
def test_build_names_the_line_of_a_probe(tmp_path: Path, line: str, text: str) -> None:
    file = tmp_path / "area" / "wrong.py"
    file.parent.mkdir()
    file.write_text(PROBE.format(line=line))
    (found,) = load_probes([tmp_path], tmp_path)
    (case,) = found.cases()
    with pytest.raises(ProgramError, match=re.escape(text)):
        build(case, target("q35-tcg"))
