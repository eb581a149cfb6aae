"""A machine's command line, ready to paste, and the files that it names."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from harness.qemu.command import Endpoints, qemu_arguments
from harness.qemu.resources import Resources

__all__ = ["command_line", "export"]

Pieces = Sequence[tuple[int, bytes]]


def _files(resources: Resources, placed: Pieces) -> dict[str, bytes]:
    files = {_image_name(resources): resources.image}
    if resources.initrd is not None:
        files["initrd"] = resources.initrd
    if resources.variables is not None:
        files["variables.fd"] = bytes(resources.variables.view)
    files |= {f"{name}.img": bytes(file.view) for name, file in resources.backings.items()}
    files |= {f"ram-{address:x}.bin": data for address, data in placed}
    return files


def _image_name(resources: Resources) -> str:
    return {"rom": "rom.bin", "kernel": "kernel.elf", "disk": "disk.img", "firmware": "disk.img"}[resources.config.boot]


def command_line(program: str, resources: Resources, cpu: str, placed: Pieces, *, folder: str = "") -> str:
    """The line: COM1 on standard output, files by the names that `export` gives them.

    The guest starts at once, and the machine ends when it is stopped by hand (Ctrl-C).
    """
    config = resources.config

    def at(name: str) -> str:
        return f"{folder}/{name}" if folder else name

    ends = Endpoints(
        ram=f"memory-backend-ram,id=ram,size={config.target.memory_mib}M",
        # The human monitor on a switch: Ctrl-a c.
        qmp=("-mon", "chardev=com1,mode=readline"),
        com1=("-chardev", "stdio,id=com1,mux=on,signal=off"),
        image=at(_image_name(resources)),
        initrd=at("initrd") if resources.initrd is not None else None,
        kernel_arguments=resources.kernel_arguments,
        firmware_code=str(resources.firmware.code) if resources.firmware is not None else None,
        firmware_variables=at("variables.fd") if resources.variables is not None else None,
        backings={name: at(f"{name}.img") for name in resources.backings},
        networks={name: f"hubport,id={name}-net,hubid=0" for name in resources.networks},
        loaders=tuple(
            f"loader,file={at(f'ram-{address:x}.bin')},addr={address:#x},force-raw=on" for address, _ in placed
        ),
        paused=False,
    )
    return shlex.join([program, *qemu_arguments(config, cpu, ends, sandbox=False)])


def export(folder: Path, program: str, resources: Resources, cpu: str, placed: Pieces) -> str:
    """Write every file that the line names into `folder`; returns the line. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in _files(resources, placed).items():
        (folder / name).write_bytes(content)
    return command_line(program, resources, cpu, placed, folder=str(folder))
