"""QMP to one QEMU process, and the state of the guest that follows from its events. Everything here runs in the
engine's thread."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from qemu.qmp import ExecInterruptedError, ExecuteError, Message, QMPClient, QMPError
from qemu.qmp.models import ErrorResponse
from qemu.qmp.protocol import Runstate

from harness.qemu.errors import QemuDied, QemuHung, QmpCommandError
from harness.qemu.process import QemuProcess
from harness.qemu.scheduling import Allowance
from harness.qemu.stop import GuestReset, Stop, StopKind

__all__ = ["Command", "Monitor"]

Command = tuple[str, Mapping[str, object] | None]
"""A QMP command and its arguments."""

_NO_RUN_STATE = (StopKind.DIED, StopKind.TIMEOUT, StopKind.NOT_RUN, StopKind.OTHER)
_RUN_STATES = {kind.value: kind for kind in StopKind if kind not in _NO_RUN_STATE}


_CONT: Command = ("cont", None)
_RESET: Command = ("system_reset", None)
_LIFT: Command = ("set-action", {"reboot": "reset"})
_HOLD: Command = ("set-action", {"reboot": "shutdown"})
_SPOILS = b',"":0}'  # ends a command with a member that none has (QMP specification, 2.3 Issuing Commands)


class _Client(QMPClient):
    """A QMP client for short round trips.

    QEMU reads its monitor byte by byte, in about 4 µs each, which is most of the cost of a command.
    Identifiers are short; several commands go out before the first answer is waited for; and all bytes but the last one
    of the most likely next command are sent in advance. If another command comes, the incomplete one is ended so that
    QEMU refuses it. Messages are formatted for the log only where the log is read.
    """

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._begun: tuple[Command, Message] | None = None
        self._spoilt: set[object] = set()  # identifiers of those that QEMU refuses

    async def execute_all(self, commands: Sequence[Command], then: Command | None = None) -> list[object]:
        """Execute the commands in order; returns their results. Raises ExecuteError for the first that fails.

        `then`: the most likely next command; any other may follow.
        """
        writer = self._writer
        assert writer is not None
        data = b""
        messages: list[Message] = []
        if self._begun is not None:
            (expected, message), self._begun = self._begun, None
            if commands[0] == expected:
                messages.append(message)
                data = bytes(message)[-1:]
            else:
                self._spoilt.add(message["id"])
                data = _SPOILS
        for command in commands[len(messages) :]:
            messages.append(self._message(command))
            data += bytes(messages[-1])
        identities: list[Any] = [message["id"] for message in messages]  # those of qemu.qmp are longer
        try:
            for identity in identities:
                self._pending[identity] = asyncio.Queue(maxsize=1)
            if then is not None:
                self._begun = (then, self._message(then))
                data += bytes(self._begun[1])[:-1]
            writer.write(data)
            answers = [await self._reply(identity) for identity in identities]
        finally:  # when we are cancelled, or the first wait fails, the others have no waiter any more
            for identity in identities:
                self._pending.pop(identity, None)
        for message, answer in zip(messages, answers, strict=True):
            if "return" not in answer:
                raise ExecuteError(ErrorResponse(answer), message, answer)
        return [answer["return"] for answer in answers]

    def _message(self, command: Command) -> Message:
        name, arguments = command
        self._execute_id = (self._execute_id + 1) % 100  # far more than are ever under way at once
        content: dict[str, object] = {"execute": name, "id": self._execute_id}
        return self._cb_outbound(Message(content | {"arguments": arguments} if arguments else content))

    async def _on_message(self, msg: Message) -> None:
        if self._spoilt and msg.get("id") in self._spoilt:
            self._spoilt.discard(msg["id"])
        else:
            await super()._on_message(msg)

    def _cb_outbound(self, msg: Message) -> Message:
        return super()._cb_outbound(msg) if self.logger.isEnabledFor(logging.DEBUG) else msg

    def _cb_inbound(self, msg: Message) -> Message:
        return super()._cb_inbound(msg) if self.logger.isEnabledFor(logging.DEBUG) else msg


class Monitor:
    """The QMP connection of one process: commands, and the state of the guest according to the events."""

    def __init__(self, process: QemuProcess) -> None:
        self.process = process
        self.patience = 30.0  # seconds in which QEMU must answer a command
        self._hung = ""  # why it was killed, where it did not answer
        self.running = False
        self.executed = False  # the guest has run since power-on or reset: a RESUME event came
        self.used = False  # a guest ran, and was reset
        self.fresh = True  # not run since power-on or reset
        self.resets = 0  # by us
        # reasons of the resets by the guest that did not stop the machine, in this run
        self.guest_resets: list[str] = []
        self.events: list[Mapping[str, Any]] = []  # of this run, as QMP sent them
        self._client = _Client(f"pid{process.pid}")
        # One of ours in the log is enough: qemu.qmp reports each end of a connection as an error.
        logging.getLogger(f"qemu.qmp.protocol.pid{process.pid}").addFilter(_only_debug)
        # The client's own listener keeps every event for its readers. A filter that is called for each as it comes, in
        # order, and takes none, keeps that queue empty.
        self._client.events.event_filter = self._on_event
        self._cause: Stop | None = None
        self._stopped: asyncio.Future[Stop | None] = asyncio.get_running_loop().create_future()
        self._was_reset: asyncio.Future[None] | None = None
        self._guest_reset: GuestReset = "stop"
        self._sleep = ""  # the ACPI state that a SHUTDOWN belongs to
        self._end = asyncio.ensure_future(self._watch_end())

    async def connect(self, connection: socket.socket) -> None:
        """Negotiate over a connected socket, which then belongs to the client. Raises QMPError."""
        await self._client.connect(connection)

    @property
    def version(self) -> str:
        """QEMU's version according to its greeting, as `7.2.22`; empty before the negotiation."""
        greeting = self._client.greeting
        number: Any = greeting.QMP.version["qemu"] if greeting is not None else {}
        return ".".join(str(number[part]) for part in ("major", "minor", "micro") if part in number)

    async def _watch_end(self) -> None:
        returncode = await asyncio.shield(self.process.exited)
        # Messages that QEMU sent before it ended are still in the socket: read all of them first.
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
        reason = self._cause.reason if self._cause is not None else ""
        self.running = False
        self._stop_with(Stop(StopKind.DIED, reason, returncode, self.process.stderr))
        if self._was_reset is not None and not self._was_reset.done():
            self._was_reset.set_exception(QemuDied(returncode, self.process.stderr, "a reset"))

    def _on_event(self, message: Message) -> bool:
        name = message["event"]
        data: Any = message.get("data", {})
        if len(self.events) < 1000:
            self.events.append(message)
        match name:
            case "RESUME":
                self.running = self.executed = True
            case "SUSPEND":  # no STOP follows
                self.running = False
                self._stop_with(Stop(StopKind.SUSPENDED, "S3"))
            case "SUSPEND_DISK":
                self._sleep = "S4"
            case "BLOCK_IO_ERROR" if data.get("action") == "stop":
                device = data.get("device") or data.get("node-name") or data.get("qom-path")
                self._cause = Stop(StopKind.IO_ERROR, f"{data.get('operation')} on {device}: {data.get('reason')}")
            case "GUEST_PANICKED" if data.get("action") == "pause":
                self._cause = Stop(StopKind.SIGNAL)
            case "SHUTDOWN":
                reason = str(data.get("reason", ""))
                kind = StopKind.RESET if reason == "guest-reset" else StopKind.SHUTDOWN
                self._cause = Stop(kind, f"{reason}, ACPI {self._sleep}" if self._sleep else reason)
            case "RESET":
                if data.get("guest"):
                    self.guest_resets.append(str(data.get("reason", "")))
                elif self._was_reset is not None and not self._was_reset.done():
                    self._was_reset.set_result(None)
            case "STOP":
                self.running = False
                self._stop_with(self._cause)
        return False

    def _stop_with(self, cause: Stop | None) -> None:
        self._cause = cause
        if not self._stopped.done():
            self.process.scheduling.end()
            self._stopped.set_result(cause)

    async def execute(self, command: str, arguments: Mapping[str, object] | None = None) -> Any:
        """One QMP command. Raises QmpCommandError, or QemuDied where the process is gone."""
        return (await self.execute_all([(command, arguments)]))[0]

    async def execute_all(self, commands: Sequence[Command], then: Command | None = None) -> list[Any]:
        """Execute QMP commands, sent together, in order; returns their results. Raises as `execute`, and QemuHung.

        `then`: the command that most likely comes next.
        """
        command = ", ".join(name for name, _ in commands)
        patience = _Patience(self)
        try:
            if self._client.runstate is not Runstate.RUNNING:
                raise ExecInterruptedError("not connected")
            return await self._client.execute_all(commands, then)
        except ExecuteError as error:
            raise QmpCommandError(command, error.error_class, str(error)) from None
        except Exception as error:  # QMPError, or what asyncio and the client raise for a connection that has closed
            if self._hung:
                await self._wait_gone()
                raise QemuHung(self.process.returncode, self.process.stderr, command, self._hung) from None
            if not isinstance(error, QMPError):
                await self._wait_gone()  # the transport closed meanwhile
            if not self.process.alive or self._client.runstate is not Runstate.RUNNING:
                await self._wait_gone()
                raise QemuDied(self.process.returncode, self.process.stderr, command) from None
            raise QmpCommandError(command, type(error).__name__, str(error)) from error
        finally:
            patience.cancel()

    def give_up(self, why: str) -> None:
        """Kill QEMU, which has not answered in time: what waits for it raises QemuHung."""
        self._hung = why
        self.process.kill()

    async def _wait_gone(self) -> None:
        # The connection closes a little before the process is gone; how it ended is worth the wait.
        await asyncio.wait({self.process.exited}, timeout=5)

    async def resume(self, then: Command | None = None) -> None:
        """Let the guest continue. Raises QemuDied where the process is gone already.

        `then`: the command that most likely comes next.
        """
        if not self.process.alive:
            raise QemuDied(self.process.returncode, self.process.stderr, "cont")
        self._cause = None
        if self._stopped.done():
            self._stopped = asyncio.get_running_loop().create_future()
        self.fresh = False
        self.process.scheduling.begin()
        try:
            await self.execute_all([_CONT], then)
        except QemuHung:
            raise
        except QemuDied:
            pass  # the guest may end QEMU before QEMU has answered: the Stop then has the cause

    async def pause(self) -> None:
        """Hold the guest where it is."""
        await self.execute("stop")

    async def on_guest_reset(self, what: GuestReset) -> None:
        """Set the effect of a reset by the guest from now on."""
        if (what == "stop") != (self._guest_reset == "stop"):
            await self.execute_all([_HOLD if what == "stop" else _LIFT])
        self._guest_reset = what

    @property
    def reset_begins(self) -> Command | None:
        """The command that a reset begins with, where it is worth sending it early."""
        return self._reset_commands()[0] if self.resets else None

    def _reset_commands(self) -> list[Command]:
        # `reboot=shutdown` turns our reset into a shutdown as well; lift it for this one. QEMU takes the action when
        # the reset is requested, so that it can be restored at once.
        return [_LIFT, _RESET, _HOLD] if self._guest_reset == "stop" else [_RESET]

    def forget(self) -> None:
        """The last run is over: its guest does not cause what happens from now on."""
        self.used = self.used or self.executed
        self.executed = False
        self._sleep = ""
        self.process.scheduling.clear()

    async def reset(self) -> None:
        """Reset the machine and leave it paused at the reset vector. RAM keeps its content.

        Raises QemuDied where the process is gone, and QemuHung where no reset has followed its command in `patience`.
        """
        self.forget()
        if self.running:
            await self.pause()
        self._was_reset = asyncio.get_running_loop().create_future()
        # Where a command fails first, the exception of this future is not retrieved.
        self._was_reset.add_done_callback(lambda future: future.cancelled() or future.exception())
        await self.execute_all(self._reset_commands(), _CONT)
        # `cont` before the end of the reset would let the old guest continue for a moment.
        await self._wait_reset(self._was_reset)
        self._was_reset = None
        self.fresh = True
        self.resets += 1
        self.guest_resets = []
        self.events = []

    async def _wait_reset(self, done: asyncio.Future[None]) -> None:
        patience = _Patience(self)
        try:
            await done
        except QemuDied as error:
            if self._hung:
                raise QemuHung(error.returncode, error.stderr, "the reset", self._hung) from None
            raise
        finally:
            patience.cancel()

    async def wait_stop(self, timeout: float) -> Stop:
        """Wait until the guest stops, or `timeout` seconds."""
        stopped = self._stopped
        if not stopped.done():
            allowance = Allowance(self.process.scheduling, timeout)
            if not await self._wait_stopped(stopped, allowance):
                if allowance.exhausted:
                    return Stop(StopKind.NOT_RUN, allowance.denied(), seconds=timeout)
                return Stop(StopKind.TIMEOUT, seconds=timeout, ran=allowance.ran)
        cause = stopped.result()
        if cause is None:
            # A STOP without a cause before it: the run state has the cause.
            try:
                status = (await self.execute("query-status"))["status"]
            except QemuDied:
                return await self.wait_end()
            cause = Stop(_RUN_STATES.get(status, StopKind.OTHER), status)
            self._cause = cause
        return cause

    async def _wait_stopped(self, stopped: asyncio.Future[Stop | None], allowance: Allowance) -> bool:
        """Wait for `stopped` while the allowance lasts. An idle QEMU is sent a command.

        QEMU 11.1 sometimes stays asleep although its guest has requested the stop (`vm_stop` on the processor's
        thread). A command wakes its main loop, which then handles the stop.
        """
        waking: asyncio.Task[Any] | None = None

        def wake() -> None:
            nonlocal waking
            if waking is None or waking.done():
                waking = asyncio.ensure_future(self.execute("query-status"))
                waking.add_done_callback(lambda task: task.cancelled() or task.exception())

        return await allowance.wait(stopped, wake)

    async def wait_end(self) -> Stop:
        """Wait until the process is gone; its last Stop."""
        await asyncio.shield(self._end)
        assert self._cause is not None
        return self._cause

    async def close(self) -> None:
        """Close the connection of a process that has ended."""
        await asyncio.shield(self._end)
        if self._client.runstate is not Runstate.IDLE:
            try:
                await self._client.disconnect()
            except Exception:
                pass  # how the connection ended does not matter here


class _Patience:
    """Kills QEMU when it has not answered for `Monitor.patience` seconds in which the host let it run."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._allowance: Allowance | None = None
        self._loop = asyncio.get_running_loop()
        # The first check is that late: most commands are answered in a fraction of a millisecond.
        self._timer = self._loop.call_later(min(monitor.patience, 0.25), self._check)

    def _check(self) -> None:
        monitor = self._monitor
        if self._allowance is None:
            self._allowance = Allowance(monitor.process.scheduling, monitor.patience)
        elif not self._allowance.count():
            denied = self._allowance.denied() if self._allowance.exhausted else ""
            monitor.give_up(denied or f"within {monitor.patience:g} s")
            return
        self._timer = self._loop.call_later(self._allowance.step, self._check)

    def cancel(self) -> None:
        """QEMU has answered."""
        self._timer.cancel()


def _only_debug(record: logging.LogRecord) -> bool:
    return record.levelno <= logging.DEBUG
