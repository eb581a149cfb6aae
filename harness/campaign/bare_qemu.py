"""QEMU without Trapgate: a plain process that exits on its own. Other figures are compared with its time."""

from __future__ import annotations

import subprocess
import time
from dataclasses import replace
from functools import cache

from harness.assembly import assemble, source_from_text
from harness.image.image import Image, Parameters
from harness.kernel.runtime import RESET_VECTOR, ROM_BASE, ROM_SIZE
from harness.qemu.command import qemu_arguments
from harness.qemu.devices import devices_named
from harness.qemu.features import cpu_model, features
from harness.qemu.machine_config import MachineConfig
from harness.qemu.resources import Resources
from harness.qemu.target import Target

__all__ = ["BareQemuError", "floor_ms", "guest_alone_ms"]

_EXIT_AT_ONCE = """
    .code16
    out 0xF4, al  # isa-debug-exit
    hlt
"""


class BareQemuError(Exception):
    """The plain process did not end with the expected status."""


@cache
def _exit_rom() -> bytes:
    """A ROM whose first instruction ends QEMU."""
    code = assemble(source_from_text(_EXIT_AT_ONCE, "exit at once"), address=RESET_VECTOR, mode=16).code
    return code.rjust(len(code) + RESET_VECTOR - ROM_BASE, b"\0").ljust(ROM_SIZE, b"\0")


def floor_ms(target: Target) -> float:
    """Milliseconds of a process that starts QEMU, executes one instruction and ends: `isa-debug-exit`.

    Raises QemuError, BareQemuError.
    """
    config = MachineConfig(target, devices=devices_named(["isa-debug-exit"]))
    # The exit status is value << 1 | 1 (hw/misc/debugexit.c), and EAX is 0 (SDM vol. 3A, Processor State After Reset).
    return _timed(config, _exit_rom(), expected=1)


def guest_alone_ms(target: Target, image: Image) -> float:
    """Milliseconds of a process that starts QEMU with this guest in its RAM and ends when the guest has.

    The guest's own signal, pvpanic, ends QEMU here. Raises QemuError, BareQemuError.
    """
    config = MachineConfig(target, extra_args=("-action", "panic=exit-failure"))
    parameters = Parameters(1_000_000 if target.deterministic else 0, 1, 1)
    return _timed(config, image.rom, expected=1, pieces=image.staged(parameters))


def _timed(config: MachineConfig, rom: bytes, *, expected: int, pieces: list[tuple[int, bytes]] | None = None) -> float:
    program = str(config.target.find_binary())
    resources = Resources(config, rom)
    try:
        resources.place(pieces or [])
        ends = replace(resources.endpoints(), paused=False)
        arguments = qemu_arguments(config, cpu_model(config.target), ends, sandbox=features(program).sandbox)
        started = time.perf_counter()
        done = subprocess.run(
            [program, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            pass_fds=resources.descriptors,
            timeout=60,
            check=False,
        )
        elapsed = (time.perf_counter() - started) * 1e3
        resources.started()
    finally:
        resources.close()
    if done.returncode != expected:
        output = done.stderr.decode(errors="replace").strip()
        raise BareQemuError(f"bare QEMU ended with {done.returncode}, not {expected}: {output}")
    return elapsed
