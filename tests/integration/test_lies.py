"""From a guest whose honest verdict is fail, no lie of one byte or field makes a pass.

Most false values are applied to the stored answers of one correct run that waits at its end; the same code judges them.
`TRAPGATE_LIES=12000 pytest -s tests/integration/test_lies.py` applies that many, and 400 more on the real channel.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from liar import TARGET, Lie, Scene, lying_channel

from harness import abi
from harness.abi import MAILBOX_STRUCT, RECORD, SNAPSHOT
from harness.evidence import run as evidence
from harness.probes.loader import load_probes
from harness.run.execute import Executor
from harness.run.options import RunOptions
from harness.run.record import Verdict

DATA = Path(__file__).parents[1] / "data" / "lies"
CASES = {found.name: found.cases()[0] for found in load_probes([DATA])}
LIES = int(os.environ.get("TRAPGATE_LIES", "300"))
SEED = 20


def record(field: str, number: int = 0) -> int:
    return abi.RECORDER + number * RECORD.size + RECORD.offset(field)


def frozen(field: str, index: int = 0, *, table: int = abi.SNAPSHOTS) -> int:
    return table + SNAPSHOT.offset(field) + index


# The lie that makes a pass of each, where nothing is compared.
AIMED = {
    "lapic_timer_vector": Lie("RAM", record("VECTOR"), 0x51),
    "lapic_timer_count": Lie("RAM", frozen("LAPIC", 4 * 0x39), 1),
    "error_status": Lie("RAM", frozen("LAPIC", 4 * 0x28), 0x40),
    "ipi_count": Lie("RAM", abi.COUNTS + 1024 + 4 * 0x61, 1),
    "other_processors_tpr": Lie("RAM", frozen("LAPIC", 4 * 8, table=abi.CPU_SNAPSHOTS + SNAPSHOT.size), 0x20),
    "ioapic_vector": Lie("RAM", frozen("IOAPIC", 8 + 8 * 16), 0x53),
    "pic_mask": Lie("RAM", frozen("PIC", 2), 0xFD),
    "hpet_comparator": Lie("RAM", frozen("HPET", 8 * 5 + 1), 0x30),
    "pit_status": Lie("RAM", frozen("PIT", 8), 0x36),
    "msix_in_service": Lie("RAM", record("FLAGS"), 0),
    "error_code": Lie("RAM", record("ERROR"), 1),
    "nesting_depth": Lie("RAM", record("DEPTH", 1), 0),
    "dma_content": Lie("RAM", abi.BUFFERS + 0x2000, 0x56),
    "value_read": Lie("RAM", abi.VALUES, 0x35),
    "counter_rate": Lie("RAM", abi.MAILBOX + MAILBOX_STRUCT.offset("TSC_KHZ"), 0x41),
    "page_fault_address": Lie("info registers -a", 0, 0),  # the test finds the field
}


@pytest.fixture(scope="module")
def scenes() -> Iterator[dict[str, Scene]]:
    made: dict[str, Scene] = {}
    try:
        for name, case in CASES.items():
            made[name] = Scene(case)
        yield made
    finally:
        for scene in made.values():
            scene.machine.kill()


def aimed(scene: Scene) -> Lie:
    lie = AIMED[scene.case.probe.name]
    if lie.channel == "RAM":
        return lie
    before = scene.dump[: scene.dump.index("CR2=") + 4]
    return Lie(lie.channel, len(re.findall("[0-9a-f]+", before)), 0x1001)


def test_there_is_a_lie_for_each() -> None:
    assert AIMED.keys() == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_the_aimed_lie_makes_an_error(scenes: dict[str, Scene], name: str) -> None:
    scene = scenes[name]
    assert scene.judge() is Verdict.FAIL, "honest"
    assert scene.judge(aimed(scene)) is Verdict.ERROR
    assert scene.judge() is Verdict.FAIL, "the lie is taken back"


@pytest.mark.parametrize("name", CASES)
def test_without_comparisons_it_would_be_believed(
    monkeypatch: pytest.MonkeyPatch, scenes: dict[str, Scene], name: str
) -> None:
    """Else the test above would show nothing."""

    def nothing(*args: object, **kwargs: object) -> None:
        pass

    monkeypatch.setattr(evidence, "check_witnesses", nothing)
    monkeypatch.setattr(evidence, "check_registers", nothing)
    for compare in ("compare_lapic", "compare_ioapic", "compare_pic", "compare_hpet"):
        monkeypatch.setattr(evidence, compare, nothing)
    assert scenes[name].judge(aimed(scenes[name])) is Verdict.PASS


def test_no_random_lie_is_believed(scenes: dict[str, Scene]) -> None:
    random = Random(SEED)
    verdicts: Counter[tuple[str, Verdict]] = Counter()
    believed = []
    for number in range(LIES):
        scene = list(scenes.values())[number % len(scenes)]
        lie = scene.random_lie(random)
        if number % 8 == 0 and aimed(scene).channel == "RAM":  # any other value where it counts
            place = aimed(scene).place
            lie = Lie("RAM", place, scene.machine.ram[place] ^ random.randrange(1, 256))
        verdict = scene.judge(lie)
        verdicts[lie.channel, verdict] += 1
        if verdict is Verdict.PASS:
            believed.append((scene.case.id, lie))
    print(f"\n{LIES} lies, {len(believed)} believed: {dict(sorted(verdicts.items()))}")
    assert believed == []
    assert sum(number for (_, verdict), number in verdicts.items() if verdict is Verdict.ERROR) > LIES // 3


def test_no_lie_on_the_real_channel_is_believed(monkeypatch: pytest.MonkeyPatch, scenes: dict[str, Scene]) -> None:
    """RAM and COM1 are changed in the files that QEMU writes, QMP's messages as they come."""
    random = Random(SEED)
    lies: list[Lie] = []
    told: list[Lie] = []
    verdicts: Counter[Verdict] = Counter()
    runs = max(32, LIES // 30)
    with Executor(TARGET, RunOptions(cold=False)) as executor, lying_channel(monkeypatch.setattr, lies, told):
        for number in range(runs):
            scene = list(scenes.values())[number % len(scenes)]
            lie = aimed(scene) if number < len(scenes) else scene.random_lie(random)
            lies[:] = [lie if lie.channel in ("RAM", "COM1") else Lie("QMP", lie.place, lie.value)]
            result = executor.run(scene.case)
            verdicts[result.verdict] += 1
            assert result.verdict is not Verdict.PASS, (scene.case.id, lie, result.reason)
    print(f"\n{runs} runs, {len(told)} lies: {dict(verdicts)}")
    assert len(told) >= runs * 3 // 4, "a lie about a second answer has no effect where there is none"
    assert verdicts[Verdict.ERROR] > runs // 3
