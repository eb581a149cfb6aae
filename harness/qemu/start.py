"""From a command line to a paused machine that answers over QMP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from harness.qemu.errors import QemuStartError, describe_exit
from harness.qemu.monitor import Monitor
from harness.qemu.process import QemuProcess
from harness.qemu.resources import Resources

__all__ = ["start"]


async def start(
    program: str, arguments: Sequence[str], resources: Resources, timeout: float, explain: Callable[[], str]
) -> Monitor:
    """Start QEMU and negotiate; `timeout` in seconds. `explain` gives the command line for the error.

    Raises QemuNotFound, or QemuStartError with what QEMU said; no process is left behind then.
    """
    try:
        process = QemuProcess(program, arguments, resources.descriptors)
    except OSError as error:
        raise QemuStartError(f"{program} cannot be run: {error.strerror}", "", explain()) from None
    monitor = Monitor(process)
    try:
        resources.started()
        try:
            async with asyncio.timeout(timeout):
                await monitor.connect(resources.qmp)
            resources.opened()
        except TimeoutError:
            await process.end()
            raise QemuStartError(f"QEMU did not answer within {timeout:g} s:", process.stderr, explain()) from None
        except Exception:  # QMPError, and what the library does not turn into one: a greeting that is no QMP
            returncode = await process.end(patience=5)
            what = f"QEMU {describe_exit(returncode)} before the guest could start:"
            raise QemuStartError(what, process.stderr, explain(), returncode) from None
    except BaseException:
        process.kill()
        await monitor.close()  # its socket is the caller's again only when the connection has ended
        raise
    return monitor
