"""The host's resources of a machine: memory files and socket pairs. None has a name in a file system."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from contextlib import ExitStack

from harness.qemu.command import Endpoints
from harness.qemu.errors import TargetError
from harness.qemu.firmware import FirmwareFiles
from harness.qemu.interrupt_log import InterruptLog
from harness.qemu.machine_config import MachineConfig
from harness.qemu.memory_file import MemoryFile
from harness.qemu.printout import Printout

__all__ = ["Resources"]

_MIB = 1 << 20


class Resources:
    """The resources that one machine shares with the harness."""

    def __init__(
        self,
        config: MachineConfig,
        image: bytes,
        initrd: bytes | None = None,
        kernel_arguments: str | None = None,
        firmware: FirmwareFiles | None = None,
    ) -> None:
        """Make it; raises TargetError for an image that cannot boot this way."""
        self.config = config
        self.image = _fitting(config, image)
        self.initrd = initrd
        self.kernel_arguments = kernel_arguments
        self.firmware = firmware
        self._inherited: list[int] = []
        self._peers: list[socket.socket] = []
        with ExitStack() as undo:
            self._undo = undo
            self.ram = self._memory("ram", config.memory_bytes)
            self.boot_image = self._memory("image", len(self.image), self.image)
            self.initrd_file = self._memory("initrd", len(initrd), initrd) if initrd else None
            self.variables: MemoryFile | None = None
            if firmware is not None and firmware.variables is not None:
                content = firmware.variables.read_bytes()  # a copy: what a guest stores there ends with its machine
                self.variables = self._memory("variables", len(content), content)
            self.qmp, self._qmp_peer = self._pair(socket.SOCK_STREAM)
            self.com1: socket.socket | Printout
            if config.interactive:
                self.com1, peer = self._pair(socket.SOCK_STREAM)
                self.com1.setblocking(False)
                self._com1_arguments: tuple[str, ...] = ("-chardev", f"socket,id=com1,fd={peer.fileno()}")
            else:
                self.com1 = Printout()
                self._undo.callback(self.com1.close)
                self._inherited.append(self.com1.descriptor)
                self._com1_arguments = self.com1.arguments("com1")
            self.interrupt_log: InterruptLog | None = None
            if config.interrupt_log:
                self.interrupt_log = InterruptLog()
                self._undo.callback(self.interrupt_log.close)
                self._inherited.append(self.interrupt_log.descriptor)
            self.backings: dict[str, MemoryFile] = {}
            self.networks: dict[str, socket.socket] = {}
            self._network_peers: dict[str, socket.socket] = {}
            for device in config.devices:
                if device.backing:
                    self.backings[device.name] = self._memory(device.name, device.backing)
                if device.network:
                    self.networks[device.name], self._network_peers[device.name] = self._pair(socket.SOCK_DGRAM)
            self._undo = undo.pop_all()

    def _memory(self, name: str, size: int, content: bytes = b"") -> MemoryFile:
        file = MemoryFile(f"trapgate-{name}", size, content)
        self._undo.callback(file.close)
        self._inherited.append(file.descriptor)
        return file

    def _pair(self, kind: socket.SocketKind) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self._undo.callback(ours.close)
        self._undo.callback(theirs.close)
        self._peers.append(theirs)
        self._inherited.append(theirs.fileno())
        return ours, theirs

    def place(self, pieces: Iterable[tuple[int, bytes]]) -> None:
        """Write pieces of memory at their guest-physical addresses. Raises TargetError for one outside RAM."""
        for address, data in pieces:
            end = address + len(data)
            if address < 0 or end > self.ram.size:
                raise TargetError(
                    f"cannot place {len(data)} bytes at {address:#x}: guest RAM ends at {self.ram.size:#x}"
                )
            self.ram.view[address:end] = data

    @property
    def descriptors(self) -> tuple[int, ...]:
        """The descriptors that QEMU inherits."""
        return tuple(self._inherited)

    def endpoints(self) -> Endpoints:
        """The paths under which QEMU opens the resources."""
        return Endpoints(
            ram=f"memory-backend-file,id=ram,size={self.config.target.memory_mib}M,mem-path={self.ram.path},share=on",
            qmp=("-chardev", f"socket,id=qmp,fd={self._qmp_peer.fileno()}", "-mon", "chardev=qmp,mode=control"),
            com1=self._com1_arguments,
            image=self.boot_image.path,
            interrupt_log=self.interrupt_log.path if self.interrupt_log is not None else None,
            initrd=self.initrd_file.path if self.initrd_file is not None else None,
            kernel_arguments=self.kernel_arguments,
            firmware_code=str(self.firmware.code) if self.firmware is not None else None,
            firmware_variables=self.variables.path if self.variables is not None else None,
            backings={name: file.path for name, file in self.backings.items()},
            networks={
                name: f"dgram,id={name}-net,local.type=fd,local.str={peer.fileno()}"
                for name, peer in self._network_peers.items()
            },
        )

    def started(self) -> None:
        """Close our copies of QEMU's ends, after it has inherited them, so that its exit is seen as end-of-file."""
        for peer in self._peers:
            peer.close()

    def opened(self) -> None:
        """QEMU has opened all its files."""
        if isinstance(self.com1, Printout):
            self.com1.opened()

    def close(self) -> None:
        """Close everything but the mappings, which views may still read."""
        self._undo.close()


def _fitting(config: MachineConfig, image: bytes) -> bytes:
    if not image:
        raise TargetError(f"boot={config.boot}: the image is empty")
    if config.boot == "rom" and len(image) % 65536:
        # QEMU's x86_bios_rom_init refuses others.
        raise TargetError(f"a ROM image must be a multiple of 64 KiB long, this one has {len(image)} bytes")
    if config.boot in ("disk", "firmware") and len(image) < _MIB:
        # SeaBIOS does not boot from a smaller disk on AHCI.
        return image.ljust(_MIB, b"\0")
    if config.boot in ("disk", "firmware") and len(image) % 512:
        return image.ljust(-(-len(image) // 512) * 512, b"\0")
    return image
