"""Interrupts of `run`: fields of the records, and acting at a checkpoint."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from harness.evidence.evidence import Evidence
from harness.evidence.failures import ProbeBroken, RunFailure
from harness.evidence.interrupts import InterruptRecord, Mark
from harness.evidence.recorder import Recording
from harness.evidence.run import Run


def interrupt(seq: int, vector: int, error_code: int | None, rip: int) -> InterruptRecord:
    return InterruptRecord(seq, 0, vector, "", error_code, 8, rip, "", 2, 0, 0, 0, 0, False)


class Recorded(Evidence):
    recording = Recording(
        (interrupt(0, 13, 0, 0x1000), Mark(1, 0, "between", 5), interrupt(2, 6, None, 0x1002)), 3, 0, {}
    )

    def __init__(self) -> None:
        pass


def test_fields_are_those_of_each_record_in_order() -> None:
    assert Recorded().fields("vector", "error_code", "rip") == [(13, 0, 0x1000), (6, None, 0x1002)]
    assert Recorded().fields("cs") == [(8,), (8,)]


def test_an_unknown_field_is_named() -> None:
    with pytest.raises(ProbeBroken, match=r"no field 'error'.*error_code"):
        Recorded().fields("vector", "error")


class Standing(Run):
    """A run whose guest is stopped at a checkpoint; no machine."""

    def __init__(self) -> None:
        self.built = SimpleNamespace(  # type: ignore[assignment]
            program=SimpleNamespace(checkpoints=["armed", "later"], omit=frozenset()), symbols={"culprit": 0x11_0000}
        )
        self.ended = False
        self._checkpoint = "armed"
        self.resumed = 0

    def resume(self, guest_reset: object = None) -> None:
        self.resumed += 1


def test_a_block_at_a_checkpoint_lets_the_guest_go_on_at_its_end() -> None:
    run = Standing()
    with run.stopped_at("armed"):
        assert run.resumed == 0
    assert run.resumed == 1


def test_a_block_at_another_checkpoint_is_not_entered() -> None:
    run = Standing()
    with pytest.raises(RunFailure, match="'later' was not reached"), run.stopped_at("later"):
        pytest.fail("the block was entered")
    assert run.resumed == 0


def test_a_failing_judgement_does_not_resume() -> None:
    run = Standing()
    with pytest.raises(AssertionError), run.stopped_at("armed"):
        raise AssertionError
    assert run.resumed == 0


def test_an_address_is_that_of_a_label() -> None:
    run = Standing()
    assert run.address("culprit") == 0x11_0000
    with pytest.raises(ProbeBroken, match=r"no label 'culprits'.*culprit"):
        run.address("culprits")


def test_a_label_that_was_left_out_is_nowhere() -> None:
    """Else removing the step that defines it would break the judgement, where the probe must turn red."""
    run = Standing()
    run.built.program.omit = frozenset({3})
    assert run.address("culprit") == 0x11_0000
    assert run.address("culprits") == -1
