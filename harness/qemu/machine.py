"""One running machine: a QEMU process with its memory, its QMP connection and its console."""

from __future__ import annotations

import asyncio
import mmap
import socket
import weakref
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from harness.qemu.command import qemu_arguments
from harness.qemu.console import Console, SerialSpawn
from harness.qemu.dumps import CpuRegisters, parse_registers
from harness.qemu.engine import engine
from harness.qemu.errors import QemuError
from harness.qemu.features import cpu_model, features, hold_version, require
from harness.qemu.firmware import find_uefi
from harness.qemu.idle import wait_while_awake
from harness.qemu.interrupt_log import Delivery
from harness.qemu.machine_config import MachineConfig
from harness.qemu.machine_process import MachineProcess
from harness.qemu.monitor import Command, Monitor
from harness.qemu.reproduce import command_line
from harness.qemu.resources import Resources
from harness.qemu.start import start
from harness.qemu.stop import GuestReset, Stop

__all__ = ["Machine"]

T = TypeVar("T")
Pieces = Iterable[tuple[int, bytes]]
_REGISTERS = ("human-monitor-command", {"command-line": "info registers -a"})


class Machine(MachineProcess):
    """One machine. Make it with `launch`; it is also a context manager that ends it.

    A fresh machine is paused before its first instruction. The methods are synchronous; one thread at a time.
    """

    def __init__(
        self, resources: Resources, monitor: Monitor, program: str, cpu: str, placed: tuple[tuple[int, bytes], ...]
    ) -> None:
        """For `launch` only."""
        super().__init__(resources, monitor, program, cpu, placed)
        self._console = Console(resources.com1, monitor)
        self._preparing: asyncio.Task[None] | None = None
        self._stop_evidence: tuple[bytes, str] | None = None
        self.host_wrote = False  # a cable was used: frames in it survive a reset
        # An interrupt may end the call of `launch` before its caller has the machine.
        self._abandoned = weakref.finalize(self, _abandon, monitor, self._console, resources)
        self._abandoned.atexit = False

    @classmethod
    def launch(
        cls,
        config: MachineConfig,
        image: bytes,
        place: Pieces = (),
        *,
        initrd: bytes | None = None,
        kernel_arguments: str | None = None,
        timeout: float = 60.0,
    ) -> Self:
        """Start QEMU and leave the guest paused before its first instruction.

        `image` is of the kind of `config.boot`: a ROM, a kernel file, or a disk. `place`: pieces of guest RAM,
        (address, bytes), written before the start. `timeout`: seconds until QEMU must answer.

        Raises QemuNotFound, Unsupported, TargetError, QemuStartError.
        """
        require(config)
        program = str(config.target.find_binary())
        cpu = cpu_model(config.target)
        firmware = find_uefi(config.target.machine) if config.boot == "firmware" else None
        pieces = tuple(place)
        resources = Resources(config, image, initrd, kernel_arguments, firmware)
        made: list[Self] = []
        try:
            resources.place(pieces)
            arguments = qemu_arguments(config, cpu, resources.endpoints(), sandbox=features(program).sandbox)
            engine().run(cls._launch(made, resources, program, cpu, arguments, pieces, timeout))
            hold_version(program, made[0]._monitor.version)
        except BaseException:
            for machine in made:  # an interrupt may come after the start
                machine.kill()
            resources.close()
            raise
        return made[0]

    @classmethod
    async def _launch(
        cls,
        made: list[Self],
        resources: Resources,
        program: str,
        cpu: str,
        arguments: Sequence[str],
        placed: tuple[tuple[int, bytes], ...],
        timeout: float,
    ) -> None:
        def explain() -> str:
            return command_line(program, resources, cpu, placed)

        if resources.interrupt_log is not None:
            resources.interrupt_log.watch()
        made.append(cls(resources, await start(program, arguments, resources, timeout, explain), program, cpu, placed))

    # ---- the guest ----

    def run_once(
        self,
        place: Pieces = (),
        timeout: float = 10.0,
        *,
        guest_reset: GuestReset = "stop",
        until_asleep: bool = False,
    ) -> Stop:
        """Reset the machine where it has run, write `place`, let it run and wait: a whole run in one call.

        `timeout` in seconds. Returns a Stop; TIMEOUT leaves the guest running. `until_asleep`: see `wait_stop`.
        """
        return self._do(self._run_once(place, timeout, guest_reset, until_asleep))

    async def _run_once(self, place: Pieces, timeout: float, guest_reset: GuestReset, until_asleep: bool) -> Stop:
        if not self._monitor.fresh and not self.config.reusable and guest_reset == "stop":
            raise QemuError(f"this machine cannot run again under guest_reset='stop': {self.config.why_single()}")
        if not self._monitor.fresh:
            self._monitor.forget()
        await self._monitor.on_guest_reset(guest_reset)
        if not self._monitor.fresh:
            await self._reset()
        self._resources.place(place)
        await self._resume(None)
        return await self._wait_stop(timeout, until_asleep)

    def prepare(self) -> None:
        """Begin the reset that the next run needs, and return at once: the reset then costs that run no time.

        Take the evidence of the last run first; only RAM outlives it. Every other method waits for its end.
        """
        engine().post(self._prepare)

    def _prepare(self) -> None:
        if self._preparing is None and not self._monitor.fresh and self.alive:
            self._preparing = asyncio.ensure_future(self._reset())

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return engine().run(self._in_order(coroutine))

    async def _in_order(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._preparing is not None:
            preparing, self._preparing = self._preparing, None
            try:
                await preparing
            except BaseException:
                coroutine.close()
                raise
        return await coroutine

    async def _reset(self) -> None:
        self._stop_evidence = None
        await self._monitor.reset()
        self._console.restart()
        if self._resources.interrupt_log is not None:
            self._resources.interrupt_log.restart()

    def clear(self, keep: tuple[int, int] = (0, 0)) -> None:
        """Zero guest RAM and every disk, as a fresh machine has them, but for the bytes from `keep[0]` to `keep[1]`.

        The guest must be stopped, and must write code again before it executes it: TCG does not see changes by the
        host.
        """
        start, end = keep
        page_end = -(-end // mmap.PAGESIZE) * mmap.PAGESIZE
        self._resources.ram.clear(0, start)
        self._resources.ram.view[end:page_end] = bytes(page_end - end)
        self._resources.ram.clear(page_end)
        for disk in self._resources.backings.values():
            disk.clear()

    def resume(self, guest_reset: GuestReset | None = None) -> None:
        """Let the guest continue. `guest_reset` changes the effect of its own reset; `None` does not."""
        self._do(self._resume(guest_reset))

    async def _resume(self, guest_reset: GuestReset | None) -> None:
        if guest_reset is not None:
            await self._monitor.on_guest_reset(guest_reset)
        self._stop_evidence = None
        await self._monitor.resume(_REGISTERS)

    def on_guest_reset(self, what: GuestReset) -> None:
        """Choose what a reset by the guest does from now on."""
        self._do(self._monitor.on_guest_reset(what))

    def wait_stop(self, timeout: float = 10.0, *, until_asleep: bool = False) -> Stop:
        """Wait until the guest stops, `timeout` seconds at most: then the Stop is TIMEOUT and the guest continues.

        `until_asleep`: no longer than until the guest can never run again, where virtual time shows that.
        """
        return self._do(self._wait_stop(timeout, until_asleep))

    async def _wait_stop(self, timeout: float, until_asleep: bool = False) -> Stop:
        if until_asleep and self.config.target.deterministic and not self.config.host_paced:
            stop = await wait_while_awake(self._monitor, self._dump, timeout)
        else:
            stop = await self._monitor.wait_stop(timeout)
        if stop.signalled:  # `stop_evidence` follows: to wake the caller twice would cost more than the commands do
            try:
                self._stop_evidence = await self._take_stop_evidence()
            except QemuError:
                pass  # `stop_evidence` raises it, if it is called
        return stop

    def stop(self) -> None:
        """Hold the guest where it is."""
        self._do(self._monitor.pause())

    def reset(self) -> None:
        """Reset the machine, RAM aside, and hold it before its first instruction."""
        self._do(self._reset())

    @property
    def running(self) -> bool:
        """Whether the guest executes."""
        return self._monitor.running

    @property
    def guest_resets(self) -> tuple[str, ...]:
        """The reason of each reset by the guest in this run that did not stop the machine."""
        return tuple(self._monitor.guest_resets)

    @property
    def events(self) -> tuple[Mapping[str, Any], ...]:
        """The QMP events of this run, the first 1000."""
        return tuple(self._monitor.events)

    # ---- QMP ----

    def qmp(self, command: str, **arguments: object) -> Any:
        """One QMP command; `_` in the name of an argument becomes `-`. Raises QmpCommandError, QemuDied."""
        named = {name.replace("_", "-"): value for name, value in arguments.items()}
        return self._do(self._monitor.execute(command, named))

    def hmp(self, line: str, cpu: int | None = None) -> str:
        """Execute one line of the human monitor; returns its output, with newlines."""
        arguments: dict[str, object] = {"command-line": line}
        if cpu is not None:
            arguments["cpu-index"] = cpu
        answer = self._do(self._monitor.execute("human-monitor-command", arguments))
        return str(answer).replace("\r\n", "\n")

    # ---- the state of the guest ----

    @property
    def ram(self) -> memoryview:
        """Guest RAM, shared with the guest: index it by guest-physical address. Stays readable after the end."""
        return self._resources.ram.view

    def memory(self, address: int, length: int) -> bytes:
        """A copy of guest RAM. Raises QemuError outside of it."""
        if address < 0 or address + length > self._resources.ram.size:
            raise QemuError(f"{length} bytes at {address:#x}: guest RAM ends at {self._resources.ram.size:#x}")
        return bytes(self._resources.ram.view[address : address + length])

    def registers(self) -> tuple[CpuRegisters, ...]:
        """Every CPU's registers. Raises DumpError."""
        return parse_registers(self._do(self._dump_registers()))

    async def _dump(self, line: str) -> str:
        answer = await self._monitor.execute("human-monitor-command", {"command-line": line})
        return str(answer).replace("\r\n", "\n")

    async def _dump_registers(self, then: Command | None = None) -> str:
        return str((await self._monitor.execute_all([_REGISTERS], then))[0]).replace("\r\n", "\n")

    def stop_evidence(self) -> tuple[bytes, tuple[CpuRegisters, ...]]:
        """The evidence that each run needs at its stop, together: `serial_output()` and `registers()`. Raises as they
        do."""
        output, dump = self._stop_evidence or self._do(self._take_stop_evidence())
        return output, parse_registers(dump)

    async def _take_stop_evidence(self) -> tuple[bytes, str]:
        dump = await self._dump_registers(self._monitor.reset_begins)
        return self._console.output(), dump

    def deliveries(self) -> tuple[Delivery, ...]:
        """The interrupts that the processors took in this run, by QEMU's log; the guest must be stopped.

        Raises QemuError where the machine has no log, DumpError.
        """
        return self._do(self._deliveries())

    async def _deliveries(self) -> tuple[Delivery, ...]:
        if self._resources.interrupt_log is None:
            raise QemuError("this machine has no interrupt log: launch it with MachineConfig(interrupt_log=True)")
        return self._resources.interrupt_log.deliveries()

    # ---- console, disks, networks ----

    @property
    def serial(self) -> SerialSpawn:
        """COM1 as a pexpect spawn, over the bounded log of this run."""
        return self._console.spawn

    def serial_overflow(self) -> int | None:
        """The number of stored bytes of COM1, where the guest sent more in this run and the rest was dropped."""
        return self._console.log.total if self._console.overflowed else None

    def serial_output(self) -> bytes:
        """The guest's output on COM1 in this run; of a flood, the beginning and the end."""
        return self._do(self._output())

    async def _output(self) -> bytes:
        return self._console.output()

    @property
    def backings(self) -> Mapping[str, memoryview]:
        """The content of each device's disk, by name, shared with the device."""
        return {name: file.view for name, file in self._resources.backings.items()}

    @property
    def networks(self) -> Mapping[str, socket.socket]:
        """The host's end of each network card's cable, by device: one datagram is one Ethernet frame.

        Frames stay in the cable, and in QEMU, over a reset: a machine whose cable was used serves no further run.
        """
        self.host_wrote |= bool(self._resources.networks)
        return dict(self._resources.networks)

    # ---- the end ----

    def kill(self) -> None:
        """End QEMU and wait until it is gone. Harmless when it already is."""
        engine().run(self._kill())

    async def _kill(self) -> None:
        preparing, self._preparing = self._preparing, None
        await self._monitor.process.end()
        if preparing is not None:
            # The end of the connection ends it; a command cancelled in the middle would stay pending in the client.
            await asyncio.gather(preparing, return_exceptions=True)
        await _close(self._monitor, self._console, self._resources)
        self._abandoned.detach()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


async def _close(monitor: Monitor, console: Console, resources: Resources) -> None:
    """End QEMU, and release its resources."""
    await monitor.process.end()
    await monitor.close()
    console.close()
    if resources.interrupt_log is not None:
        resources.interrupt_log.unwatch()
    resources.close()


def _abandon(monitor: Monitor, console: Console, resources: Resources) -> None:
    engine().spawn(_close(monitor, console, resources))
