"""Mistakes in a probe that must not pass: each is an error that names the probe's line."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from harness.hardware.platform import PLATFORMS
from harness.kernel.blocks import ProgramBlock
from harness.kernel.builder import Kernel
from harness.kernel.program import Program, ProgramError

HERE = Path(__file__).name


def kernel(cpus: int = 2) -> Kernel:
    return Kernel(Program("wrong"), PLATFORMS["q35"], cpus)


BLOCKS: dict[str, Callable[[Kernel], Any]] = {
    "handler": lambda k: k.handler(0x50),
    "first_time": lambda k: k.first_time(),
    "from_time": lambda k: k.from_time(2),
    "listening": lambda k: k.smp.listening(),
    "trigger": lambda k: k.trigger(),
    "faults": lambda k: k.faults(13),
    "ring3": lambda k: k.ring3(),
    "compatibility_mode": lambda k: k.compatibility_mode(),
    "on": lambda k: k.smp.on(1),
}


def test_the_list_of_blocks_is_complete() -> None:
    """Every verb of the builder that opens a block is in `BLOCKS`: found by what it returns."""
    k = kernel()
    found = set()
    for part in (k, *vars(k).values()):
        for name in dir(type(part)):
            method = getattr(type(part), name, None)
            returned = str(getattr(method, "__annotations__", {}).get("return"))
            if returned.split(" | ")[0] in ("Iterator[None]", "ProgramBlock"):
                found.add(name)
    assert found - {"elsewhere", "triggering"} == set(BLOCKS)


@pytest.mark.parametrize("verb", BLOCKS)
def test_a_block_without_with_is_an_error_at_its_line(verb: str) -> None:
    k = kernel()
    k.smp.start()
    block = BLOCKS[verb](k)
    assert isinstance(block, ProgramBlock)
    with pytest.raises(ProgramError, match=rf"{HERE}:\d+: .*{verb}\(…\) .* never entered"):
        k.program.finish()


def test_a_block_is_entered_once() -> None:
    block = kernel().trigger()
    with block:
        pass
    with pytest.raises(ProgramError, match="entered a second time"), block:
        pass


def _join_of_nothing(k: Kernel) -> None:
    k.smp.start()
    k.smp.join(1)


WRONG: dict[str, tuple[Callable[[Kernel], Any], str]] = {
    "text for a vector": (lambda k: k.wait_for(cast(Any, "0x50")), "the vector is '0x50', of type str"),
    "vector 300": (lambda k: k.wait_for(300), r"the vector is 0x12c. Expected: 0 to 0xff"),
    "vector -1": (lambda k: k.wait_for(-1), "Expected: 0 to 0xff"),
    "vector True": (lambda k: k.wait_for(True), "of type bool"),
    "vector 80.0": (lambda k: k.wait_for(cast(Any, 80.0)), "of type float"),
    "count 0": (lambda k: k.wait_for(0x50, 0), "count=0. Expected: an integer from 1"),
    "negative wait": (lambda k: k.wait_for(0x50, ms=-1), "ms=-1. Expected: a number from 0"),
    "endless wait": (lambda k: k.wait_for(0x50, ms=math.inf), "ms=inf. Expected"),
    "not-a-number wait": (lambda k: k.wait_for(0x50, ms=math.nan), "ms=nan. Expected"),
    "wait of an hour": (lambda k: k.wait_for(0x50, ms=3.6e6), "Expected: a number from 0 to 100000"),
    "text for a time": (lambda k: k.stay_quiet(cast(Any, "1")), "ms='1', of type str"),
    "negative quiet": (lambda k: k.stay_quiet(-1), "ms=-1. Expected"),
    "negative delay": (lambda k: k.delay(-1), "us=-1. Expected"),
    "negative word wait": (lambda k: k.wait_until(0x1000, 1, ms=-1), "ms=-1. Expected"),
    "handler for 256": (lambda k: k.handler(256).__enter__(), "Expected: 0 to 0xff"),
    "faults 300": (lambda k: k.faults(300).__enter__(), "Expected: 0x0 to 0x1f"),
    "int 300": (lambda k: k.int_n(300), "Expected: 0 to 0xff"),
    "processor 2 of 2": (lambda k: k.smp.on(2).__enter__(), r"k.smp.on\(2\): there is no such .*Expected: 1 to 1"),
    "processor 0": (lambda k: k.smp.join(0), r"k.smp.join\(0\): there is no such"),
    "on before start": (lambda k: k.smp.on(1).__enter__(), "no processor was started. To fix: k.smp.start()"),
    "join before start": (lambda k: k.smp.join(1), "no processor was started"),
    "join of nothing": (_join_of_nothing, "processor 1 was given no routine"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_an_error_at_its_line(name: str) -> None:
    wrong, text = WRONG[name]
    with pytest.raises(ProgramError, match=rf"{HERE}:\d+: .*{text}"):
        wrong(kernel())


def test_processors_of_a_probe_with_one() -> None:
    with pytest.raises(ProgramError, match=r"To fix: @probe\(cpus=2\)"):
        kernel(cpus=1).smp.start()
    with pytest.raises(ProgramError, match=r"@probe\(cpus=2\)"):
        kernel(cpus=1).smp.join(1)
