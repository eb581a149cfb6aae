"""Interrupts one after the other: each is caused when the one before has been taken."""

from __future__ import annotations

from abc import abstractmethod
from random import Random

from harness.campaign.throughput.gate import CountingGate
from harness.campaign.throughput.sampling import Benchmark, Unit, differs
from harness.devices.edu import EduDevice
from harness.devices.nvme import COMPLETION_SIZE, NvmeController
from harness.devices.virtio_blk import BlockOperation, VirtioDisk
from harness.evidence.failures import RunFailure
from harness.evidence.run import Run
from harness.hardware.nvme import NvmOpcode
from harness.hardware.virtio_devices import SECTOR_SIZE, BlockRequest
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.window import PAGE, Window

__all__ = ["EduMessages", "HpetEdges", "IoApicEdges", "NvmeMessages", "SelfIpis", "VirtioMessages"]

_VECTOR = 0x51


class _Interrupts(Benchmark):
    """Every interrupt that a round causes is taken, and no other is."""

    unit: Unit = "interrupts"
    per_round = 1
    gate: CountingGate

    def before(self, run: Run, rounds: int) -> None:
        """Store the count so far."""
        self._taken = run[self.gate.taken]

    def after(self, run: Run, rounds: int) -> None:
        """As many were taken as were caused."""
        taken, caused = run[self.gate.taken] - self._taken, rounds * self.per_round
        if taken != caused:
            raise RunFailure(f"{taken} interrupts were taken, {caused} were caused")


class _OneByOne(_Interrupts):
    """A round is one interrupt."""

    sleeps = False  # through the wait: for what does not interrupt at once

    def round(self, k: Kernel) -> None:
        """Cause one, wait until it has been taken."""
        k.program.step("the count to come", *self.gate.expect_one())
        self.cause(k)
        k.program.step("wait for the interrupt", *(self.gate.sleep() if self.sleeps else self.gate.spin()))

    @abstractmethod
    def cause(self, k: Kernel) -> None:
        """Write what causes it; RBX is taken."""


class SelfIpis(_OneByOne):
    """A fixed interrupt to this processor through the ICR: SDM vol. 3A, "Interrupt Command Register (ICR)"."""

    device, operation = "local APIC", "self-IPI"

    def prepare(self, k: Kernel) -> None:
        """Nothing but the handler."""
        self.gate = CountingGate(k, _VECTOR)

    def cause(self, k: Kernel) -> None:
        """Write the ICR."""
        k.lapic.self_ipi(_VECTOR)


class IoApicEdges(_OneByOne):
    """An edge on a pin of the IO APIC, from a line that the guest moves by port writes."""

    device, operation = "IO APIC", "edge of an ISA line"
    needs = ("pc-testdev",)
    _LINE = 5

    def prepare(self, k: Kernel) -> None:
        """Route the line's pin."""
        self.gate = CountingGate(k, _VECTOR)
        k.lines.down(self._LINE)
        k.ioapic.redirect(self._LINE, _VECTOR)

    def cause(self, k: Kernel) -> None:
        """Up and down again."""
        k.lines.pulse(self._LINE)


class HpetEdges(_OneByOne):
    """A one-shot comparator of the HPET, armed again after each interrupt: IA-PC HPET 1.0a, "Non-Periodic Mode"."""

    device, operation = "IO APIC", "edge of the HPET, one-shot"
    needs = ("hpet",)
    sleeps = True
    _TICKS = 100  # from the write of the comparator to its match: 1 µs in QEMU

    def prepare(self, k: Kernel) -> None:
        """Route comparator 0, let the counter run, and leave its first match behind."""
        self.gate = CountingGate(k, _VECTOR)
        k.pit.silence()
        k.hpet.CONFIG.write(ENABLE=0)
        k.hpet.MAIN_COUNTER.write(0)
        k.ioapic.redirect(k.hpet.pin, _VECTOR)
        k.hpet.TIMER[0].CONFIG.write(ROUTE=k.hpet.pin, INT_ENABLE=1)
        k.hpet.TIMER[0].COMPARATOR.write(self._TICKS)
        k.program.step("the count to come", *self.gate.expect_one())
        k.hpet.CONFIG.write(ENABLE=1)
        k.program.step("wait for the interrupt", *self.gate.sleep())

    def cause(self, k: Kernel) -> None:
        """The counter plus a little into the comparator: its low half alone, which is one write for QEMU."""
        counter, comparator = k.hpet.MAIN_COUNTER.place, k.hpet.TIMER[0].COMPARATOR.place
        k.program.step(
            "arm the comparator",
            *k.bus.load(counter),
            f"add eax, {self._TICKS}",
            f"mov edi, {comparator.address:#x}",
            "mov dword ptr [rdi], eax",
        )


class EduMessages(_OneByOne):
    """edu's message at a register write; the handler acknowledges. QEMU documentation, "EDU device"."""

    device, operation = "edu", "MSI"
    needs = ("edu",)

    def prepare(self, k: Kernel) -> None:
        """Enable its message."""
        self._edu = EduDevice(k)
        acknowledge = ["mov eax, 1", *k.bus.store(self._edu.INTERRUPT_ACKNOWLEDGE.place)]
        self.gate = CountingGate(k, _VECTOR, acknowledge)
        self._edu.enable_msi(_VECTOR)

    def cause(self, k: Kernel) -> None:
        """Write the interrupt raise register."""
        self._edu.INTERRUPT_RAISE.write(1)


class VirtioMessages(_OneByOne):
    """A request for the disk's identity, which moves no block, and the message of its queue.

    VIRTIO 1.2, "Block Device", "Device Operation".
    """

    device, operation = "virtio-blk", "MSI-X, one per GET_ID"
    needs = ("virtio-blk",)
    sleeps = True

    def prepare(self, k: Kernel) -> None:
        """One request, in every entry of the available ring."""
        self.gate = CountingGate(k, _VECTOR)
        identity = Window.make(k, "identity", 20)
        self._request = BlockOperation.make(k, "get_id", BlockRequest.GET_ID, data=[identity])
        queue = self._queue = VirtioDisk(k, vector=_VECTOR).queue
        head = queue.chain(self._request.parts)
        k.program.step(
            "the request in every entry of the available ring",
            f"mov edi, {queue.layout.avail_entry(0):#x}",
            f"mov eax, {head}",
            f"mov ecx, {queue.size}",
            "rep stosw",
        )

    def cause(self, k: Kernel) -> None:
        """Move the available ring's index, and ring the doorbell."""
        k.program.step(
            "offer the request again",
            f"mov byte ptr [{self._request.status.address:#x}], 0xFF",
            f"inc word ptr [{self._queue.layout.avail_index:#x}]",
            "mfence",
        )
        self._queue.notify()

    def round(self, k: Kernel) -> None:
        """One request, its interrupt, its status."""
        super().round(k)
        status = f"byte ptr [{self._request.status.address:#x}]"
        k.program.step("status of the request", f"movzx eax, {status}", f"or {slot(self.failed)}, rax")


class NvmeMessages(_Interrupts):
    """A read of one block, and the message of its completion queue: NVMe Base 1.4, "Interrupts"."""

    device, operation = "nvme", "MSI-X, one per block read"
    needs = ("nvme",)
    per_round = 2

    def prepare(self, k: Kernel) -> None:
        """A pair of queues with two entries: there is one command at a time in them."""
        self.gate = CountingGate(k, _VECTOR)
        controller = NvmeController(k)
        controller.msix.entry(1, _VECTOR)
        controller.msix.enable()
        self._data = k.buffer("block", SECTOR_SIZE, align=PAGE)
        self._queue = controller.queue(1, 2, vector=1)
        for cid in range(2):
            self._queue.transfer(NvmOpcode.READ, cid=cid, block=0, blocks=1, prps=(self._data.address, 0))

    def round(self, k: Kernel) -> None:
        """The two commands, one after the other."""
        queue = self._queue
        for number in range(2):
            behind = 1 - number
            status = queue.completion.address + COMPLETION_SIZE * number + 14
            k.program.step("the count to come", *self.gate.expect_one())
            queue.ring(behind)
            k.program.step("wait for the interrupt", *self.gate.sleep())
            k.program.step("status", f"movzx eax, word ptr [{status:#x}]", "shr eax, 1", f"or {slot(self.failed)}, rax")
            queue.consume(behind)

    def before(self, run: Run, rounds: int) -> None:
        """Other bytes into the block."""
        super().before(run, rounds)
        self._content = Random(rounds).randbytes(SECTOR_SIZE) if rounds else bytes(run.memory(self._data))
        run.backing("nvme")[:SECTOR_SIZE] = self._content

    def after(self, run: Run, rounds: int) -> None:
        """The block has been read."""
        super().after(run, rounds)
        differs("the block read by NVMe", run.memory(self._data), self._content)
