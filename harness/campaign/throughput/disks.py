"""Reads and writes whole disks, with sixteen requests outstanding, as a driver's queue has."""

from __future__ import annotations

from random import Random

from harness.campaign.throughput.gate import CountingGate, sleep_until
from harness.campaign.throughput.sampling import Benchmark, Unit, differs, fill
from harness.devices.ahci import AhciDisk
from harness.devices.ide import IdeDisk
from harness.devices.nvme import COMPLETION_SIZE, NvmeController
from harness.devices.virtio_blk import VirtioDisk
from harness.devices.virtqueue import Part
from harness.evidence.failures import RunFailure
from harness.evidence.run import Run
from harness.hardware.ata import SECTOR_SIZE, AtaCommand
from harness.hardware.ide import PRIMARY_IRQ
from harness.hardware.nvme import NvmOpcode
from harness.hardware.virtio_devices import BLOCK_HEADER_SIZE, BlockRequest, BlockRequestHeader
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.program import Buffer
from harness.kernel.window import PAGE

__all__ = ["AhciTransfers", "DiskTransfers", "IdeTransfers", "NvmeTransfers", "VirtioTransfers"]

_VECTOR = 0x52
_PIECE = 0x1_0000  # bytes of one request: 64 KiB
_PIECES = 16
_DISK = _PIECE * _PIECES
_BLOCKS = _PIECE // SECTOR_SIZE


class DiskTransfers(Benchmark):
    """Every round moves the whole disk of 1 MiB; the host compares memory with the disk, and with QEMU's statistics.

    The disk is a memory file: what is measured is the device's model, not a medium.
    """

    unit: Unit = "bytes"
    per_round = _DISK

    def __init__(self, *, write: bool) -> None:
        self.write = write
        self.operation = "write" if write else "read"

    def data(self, k: Kernel) -> list[int]:
        """Allocate memory for the disk's content; returns the address of each request's part."""
        self._memory: Buffer = k.buffer("content", _DISK, align=_PIECE)
        return [self._memory.address + _PIECE * number for number in range(_PIECES)]

    def before(self, run: Run, rounds: int) -> None:
        """Random bytes on one side, their complement's on the other: no byte is right before it has been moved."""
        self._content = Random(rounds).randbytes(_DISK)
        wrong = self._content.translate(bytes(range(255, -1, -1)))
        disk = run.backing(self.device)
        if self.write:
            fill(run, self._memory, self._content)
            disk[:] = wrong
        else:
            disk[:] = self._content
            fill(run, self._memory, wrong)
        self._account = _account(run, write=self.write)

    def after(self, run: Run, rounds: int) -> None:
        """Check the bytes, and that QEMU's block layer has counted as many."""
        counted = _account(run, write=self.write) - self._account
        claimed = rounds * self.per_round
        if counted != claimed:
            raise RunFailure(f"QEMU's block layer counts {counted} bytes ({self.operation}), not {claimed}")
        if rounds:
            if self.write:
                differs("the disk", run.backing(self.device), self._content)
            else:
                differs("guest memory", run.memory(self._memory), self._content)


def _account(run: Run, *, write: bool) -> int:
    """Bytes that all block devices have read, or written, since QEMU's start: `query-blockstats`."""
    key = "wr_bytes" if write else "rd_bytes"
    return sum(int(device["stats"][key]) for device in run.qmp("query-blockstats"))


class VirtioTransfers(DiskTransfers):
    """virtio-blk, split queue, an interrupt: VIRTIO 1.2, "Block Device"."""

    device = "virtio-blk"
    needs = ("virtio-blk",)
    _SIZE = 64  # entries: sixteen chains of three

    def prepare(self, k: Kernel) -> None:
        """Sixteen chains, their heads over and over in the available ring."""
        kind = BlockRequest.OUT if self.write else BlockRequest.IN
        headers = b"".join(
            int(BlockRequestHeader.of(TYPE=kind, SECTOR=_BLOCKS * n)).to_bytes(BLOCK_HEADER_SIZE, "little")
            for n in range(_PIECES)
        )
        pieces = self.data(k)
        header = k.buffer("headers", len(headers), fill=headers)
        self._status = k.buffer("statuses", _PIECES)
        CountingGate(k, _VECTOR)
        queue = self._queue = VirtioDisk(k, vector=_VECTOR, size=self._SIZE).queue
        heads = []
        for number, piece in enumerate(pieces):
            parts = (
                Part(header.address + BLOCK_HEADER_SIZE * number, BLOCK_HEADER_SIZE),
                Part(piece, _PIECE, not self.write),
                Part(self._status.address + number, 1, True),
            )
            heads.append(queue.chain(parts, first=3 * number))
        ring = b"".join(heads[n % _PIECES].to_bytes(2, "little") for n in range(self._SIZE))
        label = k.program.add_data(ring)
        k.program.step(
            "the chains in the available ring",
            f"mov edi, {queue.layout.avail_entry(0):#x}",
            f"lea rsi, [rip+{label}]",
            f"mov ecx, {len(ring)}",
            "rep movsb",
        )

    def round(self, k: Kernel) -> None:
        """Offer all, notify once, sleep until all are used."""
        layout, status = self._queue.layout, self._status.address
        k.program.step(
            "offer sixteen requests",
            "mov rax, -1",
            *(f"mov qword ptr [{status + at:#x}], rax" for at in range(0, _PIECES, 8)),
            f"movzx ebx, word ptr [{layout.avail_index:#x}]",
            f"add bx, {_PIECES}",
            "mfence",
            f"mov word ptr [{layout.avail_index:#x}], bx",
            "mfence",
        )
        self._queue.notify()
        k.program.step("sleep until all are used", *sleep_until(k, f"cmp word ptr [{layout.used + 2:#x}], bx"))
        collect = [f"or rax, qword ptr [{status + at:#x}]" for at in range(0, _PIECES, 8)]
        k.program.step("their statuses", "xor eax, eax", *collect, f"or {slot(self.failed)}, rax")


class NvmeTransfers(DiskTransfers):
    """NVMe, one queue pair with an interrupt, PRP lists: NVMe Base 1.4, "Physical Region Page Entry and List"."""

    device = "nvme"
    needs = ("nvme",)
    per_round = 2 * _DISK
    _SIZE = 2 * _PIECES

    def prepare(self, k: Kernel) -> None:
        """The whole disk in the first half of the queue's entries, and again in the second."""
        pieces = self.data(k)
        CountingGate(k, _VECTOR)
        controller = NvmeController(k)
        controller.msix.entry(1, _VECTOR)
        controller.msix.enable()
        queue = self._queue = controller.queue(1, self._SIZE, vector=1)
        opcode = NvmOpcode.WRITE if self.write else NvmOpcode.READ
        prps = [controller.prps(range(piece, piece + _PIECE, PAGE)) for piece in pieces]
        for cid in range(self._SIZE):
            number = cid % _PIECES
            queue.transfer(opcode, cid=cid, block=_BLOCKS * number, blocks=_BLOCKS, prps=prps[number])
        k.program.step("phase of the first pass", "mov ebx, 1")

    def round(self, k: Kernel) -> None:
        """Each half: ring, sleep until the last of its entries has the phase, check every status."""
        queue = self._queue
        for first in (0, _PIECES):
            behind = (first + _PIECES) % self._SIZE
            entries = queue.completion.address + COMPLETION_SIZE * first
            last = entries + COMPLETION_SIZE * (_PIECES - 1) + 14
            queue.ring(behind)
            k.program.step(
                "sleep until half of the queue is completed",
                *sleep_until(k, f"movzx eax, word ptr [{last:#x}]", "and eax, 1", "cmp eax, ebx"),
            )
            again = k.program.unique("status")
            k.program.step(
                "their statuses",
                f"mov edi, {entries + 14:#x}",
                f"mov ecx, {_PIECES}",
                f"{again}:",
                "movzx eax, word ptr [rdi]",
                "shr eax, 1",  # past the phase tag
                f"or {slot(self.failed)}, rax",
                f"add edi, {COMPLETION_SIZE}",
                "dec ecx",
                f"jnz {again}",
            )
            queue.consume(behind)
        k.program.step("the other phase", "xor ebx, 1")


class AhciTransfers(DiskTransfers):
    """A SATA disk on AHCI, sixteen command slots: AHCI 1.3.1, "Basic Steps when Building a Command"."""

    device = "ahci"
    needs = ("ahci",)

    def prepare(self, k: Kernel) -> None:
        """A command in each of sixteen slots."""
        pieces = self.data(k)
        disk = self._disk = AhciDisk(k)
        everything = ["mov eax, -1", *k.bus.store(disk.port.IS.place), "mov eax, 1", *k.bus.store(disk.IS.place)]
        CountingGate(k, _VECTOR, everything)
        disk.function.enable_msi(_VECTOR)
        disk.enable_interrupts()
        command = AtaCommand.WRITE_DMA_EXT if self.write else AtaCommand.READ_DMA_EXT
        for number, piece in enumerate(pieces):
            disk.prepare(command, _BLOCKS * number, _BLOCKS, [(piece, _PIECE)], slot=number)

    def round(self, k: Kernel) -> None:
        """Issue all, sleep until PxCI is clear, check the task file's ERR."""
        port = self._disk.port
        port.CI.write((1 << _PIECES) - 1)
        k.program.step("sleep until all are done", *sleep_until(k, *k.bus.load(port.CI.place), "test eax, eax"))
        k.program.step("ERR", *k.bus.load(port.TFD.place), "and eax, 1", f"or {slot(self.failed)}, rax")


class IdeTransfers(DiskTransfers):
    """The PIIX3's bus master, one command after the other: Intel 82371SB, "Bus Master IDE Interface Registers"."""

    device = "ide"
    needs = ("ide",)

    def prepare(self, k: Kernel) -> None:
        """The disk's interrupt, whose handler reads the status register."""
        self._pieces = self.data(k)
        self._disk = IdeDisk(k)
        self._gate = CountingGate(k, _VECTOR, k.bus.load(self._disk.STATUS.place))
        k.ioapic.redirect(PRIMARY_IRQ, _VECTOR)

    def round(self, k: Kernel) -> None:
        """Sixteen commands, each with its set-up, its interrupt and its status."""
        disk = self._disk
        command = AtaCommand.WRITE_DMA if self.write else AtaCommand.READ_DMA
        for number, piece in enumerate(self._pieces):
            k.program.step("the count to come", *self._gate.expect_one())
            disk.prepare(command, _BLOCKS * number, _BLOCKS, [(piece, _PIECE)])
            disk.go(command)
            k.program.step("wait for the interrupt", *self._gate.sleep())
            disk.bus_master.COMMAND.write(0)
            error = [*k.bus.load(disk.control.ALTERNATE_STATUS.place), "and eax, 1", f"or {slot(self.failed)}, rax"]
            k.program.step("ERR", *error)
