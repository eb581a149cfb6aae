"""Finds state that survives `system_reset`, so that one guest of a warm machine would affect the next.

A hostile guest writes a part of the machine. Then the machine is reset as between two runs, and a second guest is held
at its first instruction. The state of all devices, as QEMU would migrate it, is compared with that of machines whose
first guest was harmless. Fields that also differ between harmless machines (clocks, counters) are listed and not
compared.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count

from harness import abi
from harness.abi import Boots
from harness.campaign.hostile import Attack, attacks
from harness.evidence.failures import RunBroken, RunFailure
from harness.evidence.run import Run
from harness.hardware.platform import PLATFORMS
from harness.image.image import Parameters
from harness.kernel.builder import Kernel
from harness.probes.probe import Case, Probe, ProbeBody, probe
from harness.qemu.device_state import device_state
from harness.qemu.devices import devices_named
from harness.qemu.errors import QemuDied
from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig
from harness.qemu.target import Target
from harness.run.build import Built, build
from harness.run.leftovers import leaves_state, stage
from harness.run.sticky_writes import sticky_write

__all__ = ["Leaks", "Leftover", "find_leaks", "hostile_case"]

_TSC_KHZ = 1_000_000
_WATCHDOG_S = 1.0  # of a guest that is silent for longer the machine is not used again
_SPEC = "none: what is left behind is compared with a fresh machine"
_IO_RANGE = re.compile(r"^\s+([0-9a-f]{16})-([0-9a-f]{16}) \(prio -?\d+, i/o\): (?!io\b)(\S+)", re.MULTILINE)
_WHOLE = 8  # bytes of a field that is compared as one
UNOBSERVABLE: Mapping[re.Pattern[str], str] = {
    re.compile(r"^i8254/channels\[\d\]/(write_latch|status)$"): "used only after the guest has written it again",
    re.compile(r"^ps2(kbd|mouse)/.*queue\.data\+"): "bytes that were removed from the queue",
    re.compile(r"^fdc/.*fifo(\[\d+\])?(\+|$)"): "read only while a result is there, which the controller writes",
    re.compile(r"^iommu-intel/intr_size$"): "set with the table's pointer, which must be set before it is used",
    re.compile(r"^mc146818rtc/"): "a guest that reads the RTC or CMOS runs on a fresh machine",
    re.compile(r"^timer/icount/"): "virtual time, which a reset does not stop; its two parts depend on host timing",
    re.compile(r"^pckbd/kbd/extended_state/obsrc$"): "used only while the output buffer is full, which sets it",
}
"""Fields that differ and that no guest of a warm machine can see, with the reason."""
_MOST_PORTS = 0x40  # of one range


@dataclass(frozen=True)
class Leftover:
    """One field that a guest left changed. `reason`: why the machine serves no further run; empty for a leak."""

    path: str
    fresh: bytes | None
    left: bytes | None
    attack: str
    reason: str = ""

    @property
    def leak(self) -> bool:
        """Whether the difference reaches the next guest."""
        return not self.reason


@dataclass
class Leaks:
    """What was found for one machine configuration."""

    config: MachineConfig
    findings: list[Leftover] = field(default_factory=list)
    attacks: int = 0
    broken: list[str] = field(default_factory=list)  # attacks whose guest did not end in order: no next guest
    varying: set[str] = field(default_factory=set)
    fields: int = 0

    @property
    def leaks(self) -> list[Leftover]:
        """Those that reach the next guest."""
        return [finding for finding in self.findings if finding.leak]


def find_leaks(
    target: Target, devices: Iterable[str] = (), *, kinds: Iterable[str] = (), report: Callable[[str], object] = str
) -> Leaks:
    """Attack every part of a machine with these devices (of `kinds` alone, where there are any), a QEMU for each guest.

    Raises VmStateError where the state of the machine cannot be read, and what `Machine.launch` raises.
    """
    devices = tuple(devices)
    config = MachineConfig(target, devices=devices_named(devices))
    finder = _Finder(config)
    found = finder.found
    fresh = finder.harmless()
    found.fields = len(fresh)
    chosen = set(kinds)
    waiting = [
        part
        for attack in attacks(PLATFORMS[target.machine], devices, finder.ports())
        if not chosen or attack.kind in chosen
        for part in attack.parts(lambda text: sticky_write(text.splitlines(), target.machine) is None)
    ]
    waiting.reverse()
    while waiting:
        attack = waiting.pop()
        report(f"{attack.kind}: {attack.name}")
        if not finder.attack(attack, fresh):
            halves = attack.halves()
            waiting += reversed(halves)
            if not halves:
                found.broken.append(attack.name)
    return found


class _Finder:
    def __init__(self, config: MachineConfig) -> None:
        self.found = Leaks(config)
        self._config = config
        self._ids = (number << 16 for number in count(1))
        self._victim = self._build(_victim)

    def harmless(self) -> dict[str, bytes]:
        """The state that the second guest has after harmless first guests; also collects the fields that vary."""
        states = [self._after(self._build(first))[0] for first in (_idle, _idle, _waits, _waits_long, _busy)]
        first = states[0]
        for other in states[1:]:
            self.found.varying |= {path for path, *_ in _differences(first, other)}
        return self._constant(first)

    def attack(self, attack: Attack, fresh: Mapping[str, bytes]) -> bool:
        """Make one attack; returns whether its guest reached its end, or cannot be split further."""
        self.found.attacks += 1
        try:
            state, reason = self._after(self._build(_hostile, attack=attack))
        except (RunFailure, RunBroken, QemuDied):
            return False
        self.found.findings += [
            Leftover(path, before, after, attack.name, reason)
            for path, before, after in _differences(fresh, self._constant(state))
            if not any(pattern.search(path) for pattern in UNOBSERVABLE)
        ]
        return True

    def _constant(self, state: Mapping[str, bytes]) -> dict[str, bytes]:
        return {path: data for path, data in state.items() if path not in self.found.varying}

    def ports(self) -> set[int]:
        """The ports that a device decodes."""
        with Machine.launch(self._config, self._victim.image.rom) as machine:
            text = machine.hmp("info mtree -f")
        ports: set[int] = set()
        for start, end, name in _IO_RANGE.findall(text):
            if name != "io" and int(start, 16) <= 0xFFFF and int(end, 16) - int(start, 16) < _MOST_PORTS:
                ports |= set(range(int(start, 16), int(end, 16) + 1))
        return ports

    def _after(self, first: Built) -> tuple[dict[str, bytes], str]:
        """The devices' state at the second guest's first instruction, and why there is no second guest."""
        with Machine.launch(self._config, first.image.rom) as machine:
            run = self._run(machine, first)
            if not run.ended:
                raise RunBroken("the guest came to a checkpoint")
            snapshot = machine.memory(abi.SNAPSHOTS, abi.SNAPSHOT.size)
            reason = leaves_state(run, snapshot) or self._config.why_single() or ""
            if not machine.config.reusable:
                machine.reset()
            self._run(machine, self._victim)
            return dict(_by_bytes(device_state(machine))), reason

    def _run(self, machine: Machine, built: Built) -> Run:
        parameters = Parameters(_TSC_KHZ, next(self._ids) & 0xFFFF_FFFF, 1)
        run = Run(machine, built, parameters.run_id, _WATCHDOG_S, held=False)
        pieces = stage(machine, built.image, parameters, Boots.ONCE)
        run.stopped(machine.run_once(pieces, _WATCHDOG_S, guest_reset="unexpected"))
        return run

    def _build(self, program: Callable[..., ProbeBody], **parameters: object) -> Built:
        declared = probe(spec=_SPEC, needs=[device.name for device in self._config.devices])(program)
        return build(Case(declared, parameters), self._config.target)


def _by_bytes(state: Mapping[str, bytes]) -> Iterator[tuple[str, bytes]]:
    """The state with each byte of a long field as a field of its own, because some may be clocks (CMOS)."""
    for path, data in state.items():
        if len(data) <= _WHOLE:
            yield path, data
        else:
            yield from ((f"{path}+{offset:#x}", data[offset : offset + 1]) for offset in range(len(data)))


def _differences(
    fresh: Mapping[str, bytes], other: Mapping[str, bytes]
) -> Iterator[tuple[str, bytes | None, bytes | None]]:
    for path in sorted(fresh.keys() | other.keys()):
        if fresh.get(path) != other.get(path):
            yield path, fresh.get(path), other.get(path)


def hostile_case(attack: Attack, beside: Probe) -> Case:
    """The guest of an attack as a case that runs on the machine of another probe. It judges nothing."""
    declared = probe(spec=_SPEC, needs=beside.needs, cpus=beside.cpus, interactive=beside.interactive)(_hostile)
    return Case(declared, {"attack": attack})


def _hostile(k: Kernel, attack: Attack) -> ProbeBody:
    """Writes a part of the machine."""
    if attack.kind in ("BAR", "PCI configuration"):
        k.program.uses.add("pci")
    for text in attack.texts:
        with k.faults(optional=True):
            k.asm(text)
    yield


def _victim(k: Kernel) -> ProbeBody:
    k.checkpoint("start")
    yield


def _idle(k: Kernel) -> ProbeBody:
    k.asm("nop")
    yield


def _waits(k: Kernel) -> ProbeBody:
    k.delay(us=3456)
    yield


def _waits_long(k: Kernel) -> ProbeBody:
    k.delay(us=2_345_678)
    yield


def _busy(k: Kernel) -> ProbeBody:
    k.lapic.LVT_TIMER.write(VECTOR=0x50, TIMER_MODE=1)
    k.sti()
    k.lapic.INITIAL_COUNT.write(10_007)
    k.wait_for(0x50, count=17)
    k.int_n(0x51)
    yield
