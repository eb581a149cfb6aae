"""A liar between the harness and QEMU: in each run one changed byte of RAM or COM1, or field of a QMP answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any, Self

from harness import abi
from harness.evidence.failures import RunBroken, RunFailure
from harness.evidence.run import Run
from harness.image.image import Parameters
from harness.probes.probe import Case
from harness.qemu.devices import devices_named
from harness.qemu.dumps import parse_registers
from harness.qemu.errors import QemuError
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import target
from harness.run.build import build
from harness.run.judge import judge
from harness.run.record import Verdict

TARGET = target("q35-tcg")
_RUN_ID = 1 << 16
_FIELD = re.compile(r"[0-9a-f]+")


@dataclass(frozen=True)
class Lie:
    """What is changed: the byte at `place` of RAM or COM1, or the field of that number of an answer, to `value`."""

    channel: str  # "RAM", "COM1", or the command whose answer it is
    place: int
    value: int


def evidence_places(case: Case, ram: memoryview) -> list[int]:
    """The addresses of RAM that hold evidence, each region as likely as the others."""
    head = abi.MAILBOX_STRUCT.read(ram, "HEAD", abi.MAILBOX)
    regions = [
        (abi.MAILBOX, abi.MAILBOX_STRUCT.size),
        (abi.VALUES, 64),
        (abi.COUNTS, 0x800),
        (abi.SNAPSHOTS, abi.SNAPSHOT_SEALED),
        (abi.SEALS, 4 * abi.SEALS_RANGES + 16),
        (abi.RECORDER, max(head, 1) * abi.RECORD.size),
        (abi.BUFFERS, 0x1000),
        (abi.CPU_SNAPSHOTS + abi.SNAPSHOT.size, abi.SNAPSHOT_SEALED if case.probe.cpus > 1 else 16),
    ]
    longest = max(size for _, size in regions)
    return [start + offset % size for start, size in regions for offset in range(longest)]


def change_field(text: str, number: int, value: int) -> str:
    """The text with its field of that number replaced; a field is a run of hexadecimal digits."""
    fields = list(_FIELD.finditer(text))
    if not fields:
        return text
    found = fields[number % len(fields)]
    old = found.group()
    new = f"{value % 16 ** len(old):0{len(old)}x}"
    return text[: found.start()] + (new if new != old else f"{int(old, 16) ^ 1:0{len(old)}x}") + text[found.end() :]


class Scene:
    """One guest at its end on a machine that waits: judged again and again, with one lie each time."""

    def __init__(self, case: Case) -> None:
        self.case = case
        config = MachineConfig(TARGET, cpus=case.probe.cpus, devices=devices_named(case.probe.needs))
        built = build(case, TARGET)
        parameters = Parameters(1_000_000, _RUN_ID, case.probe.cpus, paced=config.host_paced)
        self.machine = Machine.launch(config, built.image.rom)
        self.built = built
        self.stop = self.machine.run_once(built.image.staged(parameters), 10.0)
        self.output, self.cpus = self.machine.stop_evidence()
        self.dump = str(self.machine.hmp("info registers -a"))
        assert parse_registers(self.dump) == self.cpus
        self.answers: dict[tuple[str, int | None], str] = {}
        self._ask = self.machine.hmp
        self._told: tuple[bytes, str, Lie | None] = (self.output, self.dump, None)
        machine: Any = self.machine  # answers are those of the first time, which QEMU gave
        machine.hmp = self._hmp
        machine.registers = lambda: parse_registers(self._told[1])
        machine.witness = lambda: (self._told[0], parse_registers(self._told[1]))
        self.places = evidence_places(case, self.machine.ram)

    def _hmp(self, line: str, cpu: int | None = None) -> str:
        answer = self.answers.setdefault((line, cpu), "") or self._ask(line, cpu)
        self.answers[line, cpu] = answer
        lie = self._told[2]
        return change_field(answer, lie.place, lie.value) if lie is not None and lie.channel == line else answer

    def judge(self, lie: Lie | None = None) -> Verdict:
        """The verdict with this lie. The judgement is a generator, so the probe writes its program again."""
        ram = self.machine.ram
        honest = -1
        self._told = (self.output, self.dump, lie)
        match lie:
            case Lie("RAM", place, value):
                honest, ram[place] = ram[place], value
            case Lie("COM1", place, value):
                output = bytearray(self.output)
                output[place % len(output)] = value
                self._told = (bytes(output), self.dump, lie)
            case Lie("info registers -a", place, value):
                self._told = (self.output, change_field(self.dump, place, value), lie)
        try:
            built = build(self.case, TARGET)
            run = Run(self.machine, built, _RUN_ID, 10.0)
            run.stopped(self.stop)
            judge(run, built, lambda error: False)
        except (RunFailure, AssertionError):
            return Verdict.FAIL
        except (RunBroken, QemuError):
            return Verdict.ERROR
        finally:
            if lie is not None and honest >= 0:
                ram[lie.place] = honest
        return Verdict.PASS

    def random_lie(self, random: Random) -> Lie:
        """Half of the lies are about RAM; a byte becomes any other, or one that differs in one bit or by one."""
        kinds = ["RAM", "RAM", "RAM", "COM1", "info registers -a", *{line for line, _ in self.answers}]
        channel = random.choice(kinds)
        if channel == "RAM":
            place = random.choice(self.places)
            old = self.machine.ram[place]
        elif channel == "COM1":
            place = random.randrange(len(self.output))
            old = self.output[place]
        else:
            return Lie(channel, random.randrange(1 << 16), random.choice([0, 1, random.getrandbits(64)]))
        new = random.choice([old ^ 1 << random.randrange(8), old + 1 & 0xFF, old - 1 & 0xFF, random.randrange(256)])
        return Lie(channel, place, new if new != old else old ^ 1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.machine.kill()


@contextmanager
def lying_channel(patch: Callable[[object, str, object], None], lies: list[Lie], told: list[Lie]) -> Iterator[None]:
    """Apply the next change of the list in each run, on the channel itself: QMP's messages, COM1's file, guest RAM."""
    from harness.qemu.monitor import _Client
    from harness.qemu.printout import Printout

    skipped: Lie | None = None
    stopped, on_message, read = Run.stopped, _Client._on_message, Printout.read

    def now(*channels: str) -> Lie | None:
        return lies[0] if lies and lies[0].channel in channels else None

    def lie_in_ram(self: Run, stop: Any) -> None:
        if (lie := now("RAM")) is not None:
            self.machine.ram[lie.place] = lie.value
            told.append(lies.pop())
        stopped(self, stop)

    async def lie_in_qmp(self: Any, message: Any) -> None:
        nonlocal skipped
        lie = now("QMP")
        if lie is not None and isinstance(message.get("return"), str) and message["return"]:
            if lie.value & 1 and skipped is not lie:  # every second one is about the second answer
                skipped = lie
            else:
                message["return"] = change_field(message["return"], lie.place, lie.value)
                told.append(lies.pop())
        await on_message(self, message)

    def lie_on_com1(self: Any, start: int, end: int) -> bytes:
        if (lie := now("COM1")) is not None and end > start:
            self._map[start + lie.place % (end - start)] = lie.value
            told.append(lies.pop())
        return read(self, start, end)

    patch(Run, "stopped", lie_in_ram)
    patch(_Client, "_on_message", lie_in_qmp)
    patch(Printout, "read", lie_on_com1)
    yield
