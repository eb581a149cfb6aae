"""A QEMU that changes behind a script is never judged as the one before."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.probes.loader import load_probes
from harness.qemu.features import features
from harness.qemu.target import target
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict


def test_each_process_queries_a_script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = str(target("q35-tcg").find_binary())
    script = tmp_path / "qemu"
    script.write_text(f'#!/bin/sh\nexec {program} "$@"\n')
    script.chmod(0o755)
    written = []
    monkeypatch.setattr("harness.qemu.answer_cache.AnswerCache.write", lambda self, value: written.append(value))
    assert features(str(script)).version == features(program).version
    assert all(value.get("program") != str(script) for value in written)


def test_a_program_that_changed_meanwhile_is_an_error_of_its_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "qemu"
    script.write_text(f'#!/bin/sh\nexec {target("q35-tcg").find_binary()} "$@"\n')
    script.chmod(0o755)
    (case,) = next(p for p in load_probes() if p.id == "lapic/self_ipi.py::request_collapses_in_the_irr").cases()
    before = features(str(script))
    monkeypatch.setattr("harness.qemu.features.features", lambda program: replace(before, version="6.0.0"))
    with Executor(replace(target("q35-tcg"), binary=str(script)), RunOptions(cold=True)) as executor:
        record = executor.run(case)
        assert record.verdict is Verdict.ERROR
        assert f"was QEMU 6.0.0 when it was first started, and is {before.version} now" in record.reason
        monkeypatch.undo()
        assert executor.run(case).verdict is Verdict.PASS
