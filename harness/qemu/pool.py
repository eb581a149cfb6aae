"""Warm machines, one for each configuration; the least recently used one is ended first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

from harness.qemu.machine import Machine
from harness.qemu.machine_config import MachineConfig

__all__ = ["MachinePool"]


class MachinePool:
    """Lends machines that boot from the ROM. `limit`: how many stay up at once."""

    def __init__(self, limit: int = 4) -> None:
        self._limit = limit
        self._idle: OrderedDict[MachineConfig, Machine] = OrderedDict()

    @contextmanager
    def lend(self, config: MachineConfig, rom: bytes) -> Iterator[Machine]:
        """A machine of that configuration, warm if there is one. It is ended afterwards unless `keep` was called with
        it.

        Raises what `Machine.launch` raises.
        """
        machine = self._idle.pop(config, None)
        if machine is not None and not machine.fit:  # it ended, or was stopped, while it was idle
            machine.kill()
            machine = None
        if machine is None:
            while len(self._idle) >= self._limit:
                _, oldest = self._idle.popitem(last=False)
                oldest.kill()
            machine = Machine.launch(config, rom)
        try:
            yield machine
        finally:
            if self._idle.get(config) is machine:
                machine.prepare()  # it resets itself while the host builds the next guest
            else:
                machine.kill()

    def keep(self, machine: Machine) -> None:
        """The run ended in order: the next run of this configuration may use the machine."""
        self._idle[machine.config] = machine

    def close(self) -> None:
        """End all."""
        while self._idle:
            _, machine = self._idle.popitem()
            machine.kill()
