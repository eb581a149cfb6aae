"""Takes the state of all devices of a stopped machine, as QEMU would send it to another host."""

from __future__ import annotations

import os
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.qemu.errors import QmpCommandError
from harness.qemu.machine import Machine
from harness.qemu.vmstate import VmStateError, parse_vmstate

__all__ = ["device_state"]

_CHUNK = 1 << 20
_STEP_S = 0.002  # between two readings of the status
_PATIENCE_S = 30.0  # the state is sent in some milliseconds


def device_state(machine: Machine) -> dict[str, bytes]:
    """Every field of every device that QEMU would migrate, by its path. The machine cannot run afterwards.

    Raises VmStateError where QEMU cannot migrate a device, or sends what is not known; QemuDied.
    """
    with _listening() as (listener, address):
        stream = bytearray()
        receiver = threading.Thread(target=_receive, args=(listener, stream), daemon=True)
        receiver.start()
        status: dict[str, Any] = {}
        try:
            # RAM is a file that is mapped here.
            machine.qmp("migrate-set-capabilities", capabilities=[{"capability": "x-ignore-shared", "state": True}])
            machine.qmp("migrate", uri=f"unix:{address}")
            allowance = machine.allowance(_PATIENCE_S)
            while (status := machine.qmp("query-migrate"))["status"] not in ("completed", "failed", "cancelled"):
                time.sleep(_STEP_S)
                if not allowance.count():
                    machine.kill()  # closes the connection, so that the receiver ends
                    why = allowance.denied() if allowance.exhausted else f"within {_PATIENCE_S:g} s"
                    raise VmStateError(f"QEMU did not send the state of this machine {why}: {status}")
        except QmpCommandError as error:
            raise VmStateError(f"QEMU does not send the state of this machine: {error.description}") from error
        finally:
            if status.get("status") != "completed":
                listener.shutdown(socket.SHUT_RDWR)  # QEMU may never have connected
            receiver.join()
        if status["status"] != "completed":
            raise VmStateError(f"QEMU did not send the state of this machine: {status.get('error-desc', status)}")
    return parse_vmstate(bytes(stream))


@contextmanager
def _listening() -> Iterator[tuple[socket.socket, str]]:
    """A listening socket without a name, and the path by which another process of this user reaches it."""
    with socket.socket(socket.AF_UNIX) as listener:
        with tempfile.TemporaryDirectory(prefix="trapgate-") as folder:
            path = Path(folder) / "state"
            listener.bind(str(path))
            listener.listen(1)
            handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            yield listener, f"/proc/{os.getpid()}/fd/{handle}"
        finally:
            os.close(handle)


def _receive(listener: socket.socket, stream: bytearray) -> None:
    try:
        connection, _ = listener.accept()
    except OSError:  # shut down: QEMU never connected
        return
    with connection:
        while chunk := connection.recv(_CHUNK):
            stream += chunk
