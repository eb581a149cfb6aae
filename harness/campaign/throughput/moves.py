"""DMA benchmarks besides disks: edu's engine, the 82574's transmit ring."""

from __future__ import annotations

from random import Random
from threading import Thread

from harness.campaign.throughput.gate import CountingGate
from harness.campaign.throughput.sampling import Benchmark, Unit, differs, fill, write_value
from harness.devices.e1000e import E1000E_RING_SIZE, E1000eCard
from harness.devices.edu import EduDevice
from harness.evidence.failures import RunFailure
from harness.evidence.run import Run
from harness.hardware.edu import EDU_BUFFER_SIZE, EDU_DMA_INTERRUPT
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.window import PAGE, Window

__all__ = ["E1000eFrames", "EduTransfers"]

_VECTOR = 0x53
_BLOCK = EDU_BUFFER_SIZE - 1  # QEMU 7.2 takes a transfer that reaches the last byte for one beyond it


class EduTransfers(Benchmark):
    """edu's buffer, all but one of 4096 bytes, one way; QEMU's model takes 100 ms of guest time for each transfer.

    QEMU documentation, "EDU device".
    """

    device = "edu"
    unit: Unit = "bytes"
    per_round = _BLOCK
    needs = ("edu",)
    concludes = True

    def __init__(self, *, to_device: bool) -> None:
        self.to_device = to_device
        self.operation = "memory to device" if to_device else "device to memory"
        self._in_device = bytes(_BLOCK)

    def prepare(self, k: Kernel) -> None:
        """Two pages: the device's buffer is filled from one, and copied to the other."""
        self._source = k.buffer("source", _BLOCK, align=PAGE)
        self._found = k.buffer("found", _BLOCK, align=PAGE)
        self._edu = EduDevice(k)
        acknowledge = [f"mov eax, {EDU_DMA_INTERRUPT:#x}", *k.bus.store(self._edu.INTERRUPT_ACKNOWLEDGE.place)]
        self._gate = CountingGate(k, _VECTOR, acknowledge)
        self._edu.enable_msi(_VECTOR)

    def round(self, k: Kernel) -> None:
        """One transfer, asleep until its interrupt."""
        self._transfer(k, to_device=self.to_device)

    def conclude(self, k: Kernel) -> None:
        """Read back what the device was given, or give it other bytes for the next sample."""
        self._transfer(k, to_device=not self.to_device)

    def _transfer(self, k: Kernel, *, to_device: bool) -> None:
        k.program.step("the count to come", *self._gate.expect_one())
        if to_device:
            self._edu.to_device(self._source.address, _BLOCK)
        else:
            self._edu.from_device(self._found.address, _BLOCK)
        k.program.step("sleep until the interrupt", *self._gate.sleep())

    def before(self, run: Run, rounds: int) -> None:
        """Write new bytes to memory, and other bytes to the place where they are expected."""
        self._content = Random(rounds).randbytes(_BLOCK)
        self._expected = self._content if self.to_device else self._in_device
        fill(run, self._found, bytes(byte ^ 0xFF for byte in self._expected))
        fill(run, self._source, self._content)

    def after(self, run: Run, rounds: int) -> None:
        """Check the bytes that the device has moved."""
        if rounds:
            differs("what edu gave", run.memory(self._found), self._expected)
            self._in_device = self._content


class E1000eFrames(Benchmark):
    """Frames of full size out of the 82574's transmit ring, to a socket that the host reads meanwhile.

    The guest stops when the last has arrived, and never has many outstanding: QEMU discards what its queues hold when
    the machine stops, or when there are too many (net/net.c, net/queue.c). So the figure is that of the device, of
    QEMU's network and of the reader together. Intel 82574 datasheet, "Transmit Descriptors".
    """

    device, operation = "e1000e", "transmit"
    unit: Unit = "bytes"
    needs = ("e1000e",)
    _LENGTH = 1514
    _HALF = E1000E_RING_SIZE // 2  # descriptors of one tail write: a full ring would be an empty one
    per_round = E1000E_RING_SIZE * _LENGTH
    _UNDER_WAY = 64  # frames
    _SILENCE_S = 2.0  # after which no more frames are awaited

    def prepare(self, k: Kernel) -> None:
        """A frame in each descriptor."""
        self._windows = [Window.make(k, f"frame{number}", self._LENGTH) for number in range(E1000E_RING_SIZE)]
        self._seen = k.value("seen")  # frames that have arrived; the host writes it
        k.store(self._seen, 0)
        self._card = E1000eCard(k)
        self._card.transmit([[window] for window in self._windows])
        k.program.step("frames sent", "xor ebx, ebx")

    def round(self, k: Kernel) -> None:
        """Half of the ring, then the other."""
        ring = self._card.TX[0]
        for tail in (self._HALF, 0):
            ring.TDT.write(tail)
            again = k.program.unique("sending")
            sent = [*k.bus.load(ring.TDH.place), f"cmp eax, {tail}", f"jne {again}"]
            k.program.step("until the head is at the tail", f"{again}:", *sent)
        k.program.step("frames sent", f"add rbx, {E1000E_RING_SIZE}")
        self._until_under_way(k, self._UNDER_WAY)

    def drain(self, k: Kernel) -> None:
        """All frames have arrived."""
        self._until_under_way(k, 0)

    def _until_under_way(self, k: Kernel, most: int) -> None:
        again = k.program.unique("under_way")
        compare = ["mov rax, rbx", f"sub rax, {slot(self._seen)}", f"cmp rax, {most}", f"ja {again}"]
        k.program.step(f"until at most {most} frames are under way", f"{again}:", *compare)

    def before(self, run: Run, rounds: int) -> None:
        """Write new bytes to all frames, and start the thread that reads them from the socket."""
        header = b"\xff" * 6 + b"\x02\x00\x00\x00\x00\x01" + b"\x88\xb5"  # broadcast, local, experimental
        random = Random(rounds)
        self._frames = [header + random.randbytes(self._LENGTH - len(header)) for _ in self._windows]
        for window, frame in zip(self._windows, self._frames, strict=True):
            run.machine.ram[window.address : window.address + window.size] = frame
        self._arrived: list[bytes] = []
        self._reader = Thread(target=self._read, args=(run, rounds * E1000E_RING_SIZE), daemon=True)
        self._reader.start()

    def _read(self, run: Run, frames: int) -> None:
        """Read so many frames from the socket, and write their number for the guest."""
        cable = run.machine.networks[self.device]
        cable.settimeout(self._SILENCE_S)
        before = run[self._seen]
        try:
            while len(self._arrived) < frames:
                self._arrived.append(cable.recv(2048))
                write_value(run, self._seen, before + len(self._arrived))
        except OSError:  # a time-out, or QEMU ended: the guest may continue, and `after` reports what is missing
            write_value(run, self._seen, before + frames)

    def after(self, run: Run, rounds: int) -> None:
        """Every frame has arrived, whole and in order."""
        self._reader.join()
        if len(self._arrived) != rounds * E1000E_RING_SIZE:
            raise RunFailure(f"{len(self._arrived)} frames arrived, {rounds * E1000E_RING_SIZE} were sent")
        for number, frame in enumerate(self._arrived):
            if frame != self._frames[number % E1000E_RING_SIZE]:
                differs(
                    f"frame {number} of {rounds * E1000E_RING_SIZE}", frame, self._frames[number % E1000E_RING_SIZE]
                )
