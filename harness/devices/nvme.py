"""`NvmeController`: an NVMe controller driven by the guest: admin queue, I/O queues, PRPs.

NVM Express Base Specification 1.4, "Controller Initialization", "Submission Queue & Completion Queue Definition",
"Physical Region Page Entry and List".
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.hardware.block import Value
from harness.hardware.nvme import (
    COMPLETION_ENTRY_SIZE,
    DOORBELL_OFFSET,
    SUBMISSION_ENTRY_SIZE,
    AdminOpcode,
    CommandDword0,
    CompletionEntry,
    CreateCompletionQueueDword11,
    CreateQueueDword10,
    CreateSubmissionQueueDword11,
    Nvme,
    NvmOpcode,
)
from harness.kernel.builder import Kernel
from harness.kernel.bus import slot
from harness.kernel.patience import DEVICE_MS
from harness.kernel.poll import wait_register
from harness.kernel.window import PAGE, ReadsMemory

__all__ = ["NvmeController", "NvmeQueue"]

COMMAND_SIZE = SUBMISSION_ENTRY_SIZE
COMPLETION_SIZE = COMPLETION_ENTRY_SIZE


class NvmeQueue:
    """A pair of queues: commands in, completions out. The builder counts what it submits and consumes."""

    def __init__(self, controller: NvmeController, index: int, size: int) -> None:
        k = controller.k
        self.k = k
        self.controller = controller
        self.index = index
        self.size = size
        self.submission = k.buffer(f"nvme_sq{index}", COMMAND_SIZE * size, align=PAGE)
        self.completion = k.buffer(f"nvme_cq{index}", COMPLETION_SIZE * size, align=PAGE)
        self.tail_doorbell = controller.doorbell(2 * index)
        self.head_doorbell = controller.doorbell(2 * index + 1)
        self.submitted = 0

    def command(
        self, opcode: int, *, cid: int, nsid: int = 0, prps: tuple[int, int] = (0, 0), dwords: Sequence[int] = ()
    ) -> None:
        """Write a command into the next slot: CDW0, NSID, PRP1, PRP2, and CDW10 on from `dwords`."""
        words = [int(CommandDword0.of(OPC=opcode, CID=cid)), nsid, 0, 0, 0, 0]
        words += [half for prp in prps for half in (prp & 0xFFFF_FFFF, prp >> 32)]
        words += [*dwords, *[0] * (6 - len(dwords))]
        label = self.k.program.add_data(b"".join(word.to_bytes(4, "little") for word in words))
        at = self.submission.address + COMMAND_SIZE * (self.submitted % self.size)
        self.submitted += 1
        self.k.program.step(
            f"NVMe command {opcode:#x} into queue {self.index}",
            f"mov edi, {at:#x}",
            f"lea rsi, [rip+{label}]",
            f"mov ecx, {COMMAND_SIZE // 8}",
            "rep movsq",
        )

    def ring(self, tail: int | None = None) -> None:
        """Write the tail doorbell: every command so far may be fetched."""
        value = self.submitted % self.size if tail is None else tail
        self.k.program.step(
            f"tail doorbell of NVMe queue {self.index}",
            f"mov rdi, {slot(self.tail_doorbell)}",
            f"mov dword ptr [rdi], {value:#x}",
        )

    def wait(self, count: int, *, ms: float = DEVICE_MS) -> None:
        """Until completion number `count` (from 1) is there: until its phase tag has the value of that round."""
        entry, turn = (count - 1) % self.size, (count - 1) // self.size
        at = self.completion.address + COMPLETION_SIZE * entry + 8
        self.k.wait_until(at, (1 - turn % 2) << 48, mask=1 << 48, ms=ms)

    def consume(self, count: int) -> None:
        """Write the head doorbell: completions up to number `count` have been taken."""
        self.k.program.step(
            f"head doorbell of NVMe queue {self.index}",
            f"mov rdi, {slot(self.head_doorbell)}",
            f"mov dword ptr [rdi], {count % self.size:#x}",
        )

    def run(self, opcode: int, *, cid: int, **command: object) -> None:
        """One command, start to end: submit, ring, wait, consume."""
        self.command(opcode, cid=cid, **command)  # type: ignore[arg-type]
        self.ring()
        self.wait(self.submitted)
        self.consume(self.submitted)

    def read(self, address: int, block: int, *, cid: int = 1, blocks: int = 1, nsid: int = 1) -> None:
        """A read of a namespace to memory of one page, into the next slot; `ring` submits it."""
        self.transfer(NvmOpcode.READ, cid=cid, block=block, blocks=blocks, prps=(address, 0), nsid=nsid)

    def transfer(
        self, opcode: NvmOpcode, *, cid: int, block: int, blocks: int, prps: tuple[int, int], nsid: int = 1
    ) -> None:
        """A read, write or compare of a namespace into the next slot."""
        dwords = (block & 0xFFFF_FFFF, block >> 32, blocks - 1)
        self.command(opcode, cid=cid, nsid=nsid, prps=prps, dwords=dwords)

    def completions(self, run: ReadsMemory) -> list[CompletionEntry]:
        """All entries of the completion queue after the run, in slot order."""
        memory = run.memory(self.completion)
        return [
            CompletionEntry(int.from_bytes(memory[at : at + COMPLETION_SIZE], "little"))
            for at in range(0, len(memory), COMPLETION_SIZE)
        ]


class NvmeController(Nvme):
    """The controller, enabled, with its admin queue (index 0, 16 entries)."""

    def __init__(
        self, k: Kernel, *, start: bool = True, device: str = "nvme", vectors: Sequence[int] | None = None
    ) -> None:
        """`vectors`: MSI-X is enabled with these in its table's first entries; entry 0 is the admin queue's."""
        self.k = k
        self.function = k.pci.device(device)
        self.function.enable()
        super().__init__(k.bus, self.function.bar(0))
        self.msix = self.function.msix()
        if vectors is not None:
            self.msix.enable(dict(enumerate(vectors)))
        if start:
            self.begin()

    def begin(self) -> None:
        """Disable, set the admin queues, enable, wait for ready."""
        self.CC.write(0)
        wait_register(self.k, self.CSTS, RDY=0, ms=2000)
        self.admin = NvmeQueue(self, 0, 16)
        self.AQA.write(ASQS=15, ACQS=15)
        self.ASQ.write(self.admin.submission.address)
        self.ACQ.write(self.admin.completion.address)
        self.CC.write(EN=1, IOSQES=6, IOCQES=4)
        wait_register(self.k, self.CSTS, RDY=1, ms=2000)

    def identify(self, address: int, *, cid: int) -> None:
        """Write Identify Controller into the admin queue's next slot: 4096 bytes to `address`, which starts a page."""
        self.admin.command(AdminOpcode.IDENTIFY, cid=cid, prps=(address, 0), dwords=(1,))

    def doorbell(self, index: int) -> Value[int]:
        """Address of doorbell `index` (2n: tail of submission queue n, 2n+1: head of completion queue n)."""
        program = self.k.program
        value = program.add_value(program.fresh_value_name(f"nvme_doorbell_{index}"), int)
        program.step(
            f"NVMe doorbell {index}",
            *self.k.bus.load(self.CAP.place),
            "shr rax, 32",
            "mov ecx, eax",
            "and ecx, 15",  # DSTRD
            f"mov eax, {4 * index}",
            "shl eax, cl",
            f"add eax, {DOORBELL_OFFSET:#x}",
            f"mov rcx, {slot(self._bar)}",
            "add rax, rcx",
            f"mov {slot(value)}, rax",
        )
        return value

    @property
    def _bar(self) -> Value[int]:
        assert isinstance(self.base, Value)
        return self.base

    def queue(self, index: int, size: int, *, vector: int | None = None) -> NvmeQueue:
        """Create an I/O queue pair over the admin queue. `vector`: MSI-X table entry (`None`: no interrupts)."""
        pair = NvmeQueue(self, index, size)
        where = int(CreateQueueDword10.of(QID=index, QSIZE=size - 1))
        completion = CreateCompletionQueueDword11.of(PC=1, IEN=int(vector is not None), IV=vector or 0)
        submission = CreateSubmissionQueueDword11.of(PC=1, CQID=index)
        for opcode, buffer, attributes in (
            (AdminOpcode.CREATE_IO_COMPLETION_QUEUE, pair.completion, completion),
            (AdminOpcode.CREATE_IO_SUBMISSION_QUEUE, pair.submission, submission),
        ):
            self.admin.run(opcode, cid=0x100 + index, prps=(buffer.address, 0), dwords=(where, int(attributes)))
        return pair

    def prps(self, pages: Sequence[int]) -> tuple[int, int]:
        """PRP1 and PRP2 for a transfer over these addresses: the first at any offset, the others page-aligned.

        More than two need a list, which is put into memory of its own.
        """
        if len(pages) <= 2:
            return pages[0], pages[1] if len(pages) == 2 else 0
        content = b"".join(page.to_bytes(8, "little") for page in pages[1:])
        table = self.k.buffer(self.k.program.unique("prp_list"), len(content), align=PAGE, fill=content)
        return pages[0], table.address
