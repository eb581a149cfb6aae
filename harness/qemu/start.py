"""From a command line to a paused machine that answers over QMP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from harness.qemu.errors import QemuStartError, describe_exit
from harness.qemu.monitor import Monitor
from harness.qemu.process import QemuProcess
from harness.qemu.resources import Resources
from harness.qemu.scheduling import Allowance

__all__ = ["start"]

END_S = 5.0  # seconds in which a QEMU whose connection broke may exit, so that its own exit status is reported


async def start(
    program: str, arguments: Sequence[str], resources: Resources, timeout: float, explain: Callable[[], str]
) -> Monitor:
    """Start QEMU and negotiate; `timeout` in seconds. `explain` returns the command line for the error.

    Raises QemuNotFound, or QemuStartError with QEMU's message; no process remains then.
    """
    try:
        process = QemuProcess(program, arguments, resources.descriptors)
    except OSError as error:
        raise QemuStartError(f"{program} cannot be run: {error.strerror}", "", explain()) from None
    monitor = Monitor(process)
    try:
        resources.started()
        connecting = asyncio.ensure_future(monitor.connect(resources.qmp))
        try:
            allowance = Allowance(process.scheduling, timeout)
            if not await allowance.wait(connecting):
                connecting.cancel()
                await asyncio.wait({connecting})
                await process.end()
                why = allowance.denied() if allowance.exhausted else f"within {timeout:g} s"
                raise QemuStartError(f"QEMU did not answer {why}:", process.stderr, explain())
            connecting.result()
        finally:
            if not connecting.done():  # we are cancelled
                connecting.cancel()
                await asyncio.wait({connecting})
        resources.opened()
        process.scheduling.watch_threads()
    except QemuStartError:
        await monitor.close()  # the caller may use its socket again only after the end of the connection
        raise
    except Exception as error:  # any exception of the library for a peer that ends, or that is not QEMU
        returncode = await process.end(patience=END_S)
        await monitor.close()
        if process.killed:  # by `end`
            what = f"QEMU's QMP greeting is not understood ({type(error).__name__}: {_first_line(error)}):"
            raise QemuStartError(what, process.stderr, explain()) from None
        what = f"QEMU {describe_exit(returncode)} before the guest could start:"
        raise QemuStartError(what, process.stderr, explain(), returncode) from None
    except BaseException:
        process.kill()
        await monitor.close()
        raise
    return monitor


def _first_line(error: Exception) -> str:
    return ascii(str(error).partition("\n")[0][:200])[1:-1]
