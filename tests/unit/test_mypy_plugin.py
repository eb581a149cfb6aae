"""A wrong field of a register is an error of mypy, at the line of the probe."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import import_module
from inspect import Parameter, signature
from pathlib import Path

import pytest

from harness.hardware.register import Register
from harness.mypy_plugin import VERBS

ROOT = Path(__file__).parents[2]
PROBE = '''
from harness import Kernel, MessageAddress, RedirectionEntry, wait_register
from harness.devices import EduDevice

MODE = {"UIE": 1, "SET": 1}


def guest(k: Kernel) -> None:
    """Every way to name a field."""
    k.lapic.LVT_TIMER.write(VECTOR=0x50)
    k.lapic.LVT_TIMER.write(0x10000, VECTOR=0x50)
    k.lapic.LVT_TIMER.write(k.value("wanted"))
    k.lapic.LVT_TIMER.update(MASK=1)
    k.rtc.B.write(**MODE)
    k.ioapic.REDIRECTION[2].ENTRY.write(VECTOR=0x50, MASK=1)
    k.ioapic.redirect(pin=2, vector=0x50, DELIVERY_MODE=1)
    k.lapic.send(destination=1, VECTOR=0x50)
    k.pic.initialize(0x20, AEOI=1)
    k.pci.device("edu").enable_msi(0x50, TRIGGER_MODE=1)
    wait_register(k, EduDevice(k).STATUS, ms=1, bits=1)
    wait_register(k, k.hpet.CONFIG, ENABLE=1)
    k.trigger(k.lapic.INITIAL_COUNT.write, 10_000)
    k.trigger(k.lapic.ICR_LOW.write, VECTOR=0x50, LEVEL=1)
    k.trigger(k.lapic.send, destination=1, VECTOR=0x51)
    k.trigger(k.stay_quiet, ms=1)
    with k.trigger():
        k.sti()
    print(RedirectionEntry.of(VECTOR=1), MessageAddress.to(1, REDIRECTION_HINT=1))
'''
WRONG = {
    "LVT_TIMER.write(VECTOR=0x50)": "LVT_TIMER.write(VECTR=0x50)",
    "LVT_TIMER.write(0x10000, VECTOR=0x50)": "LVT_TIMER.write(0x10000, DELIVERY_MODE=1)",
    "LVT_TIMER.update(MASK=1)": "LVT_TIMER.update(MASKED=1)",
    "ENTRY.write(VECTOR=0x50, MASK=1)": "ENTRY.write(VECTOR=0x50, MASKED=1)",
    "redirect(pin=2, vector=0x50, DELIVERY_MODE=1)": "redirect(pin=2, vector=0x50, DELIVERY=1)",
    "send(destination=1, VECTOR=0x50)": "send(destination=1, VEKTOR=0x50)",
    "initialize(0x20, AEOI=1)": "initialize(0x20, AEIO=1)",
    "enable_msi(0x50, TRIGGER_MODE=1)": "enable_msi(0x50, TRIGGER=1)",
    "k.hpet.CONFIG, ENABLE=1": "k.hpet.CONFIG, ENABEL=1",
    "ICR_LOW.write, VECTOR=0x50": "ICR_LOW.write, VECTR=0x50",
    "k.lapic.send, destination=1, VECTOR=0x51": "k.lapic.send, destination=1, VEKTOR=0x51",
    "RedirectionEntry.of(VECTOR=1)": "RedirectionEntry.of(VECTR=1)",
    "MessageAddress.to(1, REDIRECTION_HINT=1)": "MessageAddress.to(1, HINT=1)",
}


def mypy(path: Path) -> str:
    command = [sys.executable, "-m", "mypy", "--no-error-summary", "--no-pretty", str(path)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300).stdout


def test_fields_that_the_register_has_are_accepted_and_others_are_errors(tmp_path: Path) -> None:
    right = tmp_path / "right.py"
    right.write_text(PROBE)
    assert mypy(right) == ""
    text = PROBE
    for good, bad in WRONG.items():
        assert text.count(good) == 1
        text = text.replace(good, bad)
    wrong = tmp_path / "wrong.py"
    wrong.write_text(text)
    reported = mypy(wrong)
    lines = {int(number) for number in re.findall(r"wrong\.py:(\d+): error: Unexpected keyword argument", reported)}
    assert lines == {number for number, line in enumerate(text.splitlines(), 1) if line not in PROBE.splitlines()}
    assert 'Unexpected keyword argument "VECTR" for "write" of "Bound"; did you mean "VECTOR"?' in reported


@pytest.mark.parametrize("verb", VERBS)
def test_the_verbs_of_the_plugin_exist(verb: str) -> None:
    module, owner, name = verb.rsplit(".", 2)
    method = getattr(getattr(import_module(module), owner), name)
    assert [p.name for p in signature(method).parameters.values() if p.kind is Parameter.VAR_KEYWORD]
    home, register = VERBS[verb].rsplit(".", 1)
    assert issubclass(getattr(import_module(home), register), Register)
