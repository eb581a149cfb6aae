"""NVMe and a guest that errs: bad queues, bad pointers, a completion queue that is never emptied."""

from harness import GUARD, PAGE, Deviation, Kernel, ProbeBody, Window, probe, wait_register
from harness.devices import (
    AdminOpcode,
    CreateCompletionQueueDword11,
    CreateQueueDword10,
    CreateSubmissionQueueDword11,
    NvmeController,
    NvmeQueue,
    NvmOpcode,
)

BLOCK = 512
BLOCKS = 2048
NVME = ["nvme"]
NOWHERE = 0x0800_0000  # 128 MiB: behind RAM, before any device
GENERIC, SPECIFIC = 0, 1  # status code types
MDTS = 77  # offset of the Maximum Data Transfer Size in Identify Controller: a power of two of smallest pages, 0: none
MOST_MDTS = 12  # a read has 65536 blocks at most, 32 MiB of 512 bytes
NLB = 48  # offset of the number of blocks (from 0 on) in a read or write command


CREATE_CQ, CREATE_SQ = AdminOpcode.CREATE_IO_COMPLETION_QUEUE, AdminOpcode.CREATE_IO_SUBMISSION_QUEUE
DELETE_CQ, DELETE_SQ = AdminOpcode.DELETE_IO_COMPLETION_QUEUE, AdminOpcode.DELETE_IO_SUBMISSION_QUEUE
CONTIGUOUS = int(CreateCompletionQueueDword11.of(PC=1))
TO_CQ_1 = int(CreateSubmissionQueueDword11.of(PC=1, CQID=1))
TO_CQ_3 = int(CreateSubmissionQueueDword11.of(PC=1, CQID=3))
VECTOR_2047 = int(CreateCompletionQueueDword11.of(PC=1, IEN=1, IV=0x7FF))
NO_CQ, BAD_IDENTIFIER, BAD_SIZE = (SPECIFIC, 0x00), (SPECIFIC, 0x01), (SPECIFIC, 0x02)
BAD_VECTOR, BAD_DELETION, BAD_OFFSET = (SPECIFIC, 0x08), (SPECIFIC, 0x0C), (GENERIC, 0x13)
TRANSFER_ERROR = (GENERIC, 0x04)

CASES: dict[str, tuple[AdminOpcode, int, int, int, int, tuple[int, int]]] = {
    # name: (opcode, queue, its size minus 1, CDW11, offset of its address in a page, status); queue 1 exists
    "cq_zero": (CREATE_CQ, 0, 7, CONTIGUOUS, 0, BAD_IDENTIFIER),
    "cq_beyond": (CREATE_CQ, 0xFFFE, 7, CONTIGUOUS, 0, BAD_IDENTIFIER),
    "cq_twice": (CREATE_CQ, 1, 7, CONTIGUOUS, 0, BAD_IDENTIFIER),
    "cq_one_entry": (CREATE_CQ, 2, 0, CONTIGUOUS, 0, BAD_SIZE),
    "cq_too_long": (CREATE_CQ, 2, 0xFFFF, CONTIGUOUS, 0, BAD_SIZE),
    "cq_unaligned": (CREATE_CQ, 2, 7, CONTIGUOUS, 8, BAD_OFFSET),
    "cq_vector": (CREATE_CQ, 2, 7, VECTOR_2047, 0, BAD_VECTOR),
    "sq_zero": (CREATE_SQ, 0, 7, TO_CQ_1, 0, BAD_IDENTIFIER),
    "sq_twice": (CREATE_SQ, 1, 7, TO_CQ_1, 0, BAD_IDENTIFIER),
    "sq_no_cq": (CREATE_SQ, 2, 7, TO_CQ_3, 0, NO_CQ),
    "sq_too_long": (CREATE_SQ, 2, 0xFFFF, TO_CQ_1, 0, BAD_SIZE),
    "sq_unaligned": (CREATE_SQ, 2, 7, TO_CQ_1, 8, BAD_OFFSET),
    "cq_in_use": (DELETE_CQ, 1, 0, 0, 0, BAD_DELETION),
    "delete_no_cq": (DELETE_CQ, 5, 0, 0, 0, BAD_IDENTIFIER),
    "delete_admin_cq": (DELETE_CQ, 0, 0, 0, 0, BAD_IDENTIFIER),
    "delete_no_sq": (DELETE_SQ, 5, 0, 0, 0, BAD_IDENTIFIER),
    "delete_admin_sq": (DELETE_SQ, 0, 0, 0, 0, BAD_IDENTIFIER),
}


@probe.each(case=list(CASES))
@probe(
    spec="NVM Express 1.4, Create I/O Completion Queue command; NVM Express 1.4, Create I/O Submission Queue command; "
    "NVM Express 1.4, Delete I/O Completion Queue command; NVM Express 1.4, Delete I/O Submission Queue command",
    needs=NVME,
    covers=["nvme.hostile"],
    deviation=(
        Deviation(
            targets="*",
            cases="delete_no_cq",
            kind="bug",
            sees=["Completion Queue Invalid", r"\(1, 1\) == \(1, 0\)"],
            ref="dma-nvme-delete-cq",
        ),
        Deviation(
            targets="*",
            cases="delete_admin_cq",
            kind="bug",
            sees=["Completion Queue Invalid", r"\(1, 1\) == \(1, 0\)"],
            ref="dma-nvme-delete-cq",
        ),
    ),
)
def a_bad_queue_command_is_refused(k: Kernel, case: str) -> ProbeBody:
    """A queue that cannot be made or deleted is refused with the status for its fault, and queue 1 works."""
    opcode, identifier, size, attributes, offset, status = CASES[case]
    window = Window.make(k, "data", BLOCK)
    page = k.buffer("page", 2 * PAGE, align=PAGE, fill=GUARD)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 8)
    k.checkpoint("disk")
    with k.trigger():
        nvme.admin.run(
            opcode,
            cid=0x66,
            prps=(page.address + offset, 0),
            dwords=(int(CreateQueueDword10.of(QID=identifier, QSIZE=size)), attributes),
        )
    number = nvme.admin.submitted
    queue.read(window.address, 1, cid=1)
    queue.ring()
    queue.wait(1)

    run = yield

    content = run.fill_disk("nvme")
    entry = nvme.admin.completions(run)[number - 1]
    assert entry.CID == 0x66
    assert status == NO_CQ or (entry.SCT, entry.SC) != NO_CQ, "the status is Completion Queue Invalid"
    assert status == (entry.SCT, entry.SC)
    assert window.read(run) == content[BLOCK : 2 * BLOCK]
    assert set(run.memory(page)) == {GUARD}


@probe.each(kind=["second", "list_entry", "too_long"])
@probe(
    spec="NVM Express 1.4, Physical Region Page Entry and List; NVM Express 1.4, Generic Command Status Definition",
    needs=NVME,
    covers=["nvme.hostile"],
)
def a_bad_prp_is_refused(k: Kernel, kind: str) -> ProbeBody:
    """PRP2 or a list entry with an offset is Invalid PRP Offset, more than MDTS Invalid Field; memory as it was."""
    window = Window.make(k, "data", 4 * PAGE)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 8)
    identity = k.buffer("identity", PAGE, align=PAGE)
    pages = [window.address + PAGE * n for n in range(4)]
    match kind:
        case "second":
            queue.transfer(NvmOpcode.READ, cid=2, block=0, blocks=16, prps=(pages[0], pages[1] + 8))
        case "list_entry":
            prps = nvme.prps([pages[0], pages[1], pages[2] + 8, pages[3]])
            queue.transfer(NvmOpcode.READ, cid=2, block=0, blocks=32, prps=prps)
        case _:
            nvme.admin.run(AdminOpcode.IDENTIFY, cid=1, prps=(identity.address, 0), dwords=(1,))
            # One block more than MDTS allows, which counts pages of the smallest size; the PRP list is not read.
            nvme.CAP.read("capabilities")
            queue.transfer(NvmOpcode.READ, cid=2, block=0, blocks=1, prps=(pages[0], pages[1]))
            k.asm(f"""
                mov rcx, qword ptr [capabilities]
                shr rcx, 48  # MPSMIN
                and ecx, 15
                add cl, byte ptr [{identity.address + MDTS:#x}]
                mov eax, {4096 // BLOCK}
                shl rax, cl
                mov word ptr [{queue.submission.address + NLB:#x}], ax  # from 0 on, so this is one more
            """)
    k.trigger(queue.ring)
    queue.wait(1)
    status = nvme.CSTS.read("status")

    run = yield

    most = run.memory(identity)[MDTS]
    if kind == "too_long" and not 0 < most <= MOST_MDTS:
        run.unsupported(f"MDTS = {most}: no command is longer than this controller allows")
    entry = queue.completions(run)[0]
    assert (2, GENERIC, 0x02 if kind == "too_long" else 0x13) == (entry.CID, entry.SCT, entry.SC)
    assert window.strays(run.memory(window.buffer)) == []
    assert (run[status].RDY, run[status].CFS) == (1, 0)
    assert kind == "list_entry" or set(run.memory(window.buffer)) == {GUARD}


@probe.each(kind=["list", "source", "target"])
@probe(
    spec="NVM Express 1.4, Generic Command Status Definition (Data Transfer Error)",
    needs=NVME,
    covers=["nvme.hostile"],
    deviation=Deviation(
        targets="*", cases="source", kind="bug", sees=r"\(0, 0\) in \[\(0, 4\)\]", ref="dma-nvme-transfer-error"
    ),
)
def a_prp_to_nowhere_harms_nobody(k: Kernel, kind: str) -> ProbeBody:
    """A write from outside memory, or with its list there: Data Transfer Error. The next command works in any case.

    A read into nowhere is posted writes on PCI Express: the controller need not notice that they have no target.
    """
    window = Window.make(k, "data", BLOCK)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 8)
    blocks = 24 if kind == "list" else 1
    prps = (window.address & -PAGE, NOWHERE) if kind == "list" else (NOWHERE, 0)
    k.checkpoint("disk")
    opcode = NvmOpcode.READ if kind == "target" else NvmOpcode.WRITE
    queue.transfer(opcode, cid=1, block=100, blocks=blocks, prps=prps)
    queue.ring()
    queue.wait(1)
    queue.read(window.address, 1, cid=2)
    k.trigger(queue.ring)
    queue.wait(2)

    run = yield

    content = run.fill_disk("nvme")
    entries = queue.completions(run)
    assert [entry.CID for entry in entries[:2]] == [1, 2]
    assert (entries[1].SCT, entries[1].SC) == (GENERIC, 0)
    allowed = [TRANSFER_ERROR, (GENERIC, 0)] if kind == "target" else [TRANSFER_ERROR]
    assert (entries[0].SCT, entries[0].SC) in allowed
    assert window.read(run) == content[BLOCK : 2 * BLOCK]


@probe(
    spec="NVM Express 1.4, Controller Status (Controller Fatal Status); NVM Express 1.4, Controller Level Reset",
    needs=NVME,
    covers=["nvme.hostile"],
)
def an_admin_queue_to_nowhere_is_left_by_a_reset(k: Kernel) -> ProbeBody:
    """With its admin queues outside memory the controller executes nothing; after a reset with good queues it does."""
    window = Window.make(k, "identity", PAGE)
    nvme = NvmeController(k)
    nvme.CC.write(0)
    wait_register(k, nvme.CSTS, RDY=0, ms=2000)
    nvme.ASQ.write(NOWHERE)
    nvme.ACQ.write(NOWHERE)
    nvme.CC.write(EN=1, IOSQES=6, IOCQES=4)
    k.stay_quiet(ms=5)
    nvme.admin.ring(tail=1)
    k.stay_quiet(ms=5)
    nvme.CC.write(0)
    wait_register(k, nvme.CSTS, RDY=0, ms=2000)
    nvme.ASQ.write(nvme.admin.submission.address)
    nvme.ACQ.write(nvme.admin.completion.address)
    nvme.CC.write(EN=1, IOSQES=6, IOCQES=4)
    wait_register(k, nvme.CSTS, RDY=1, ms=2000)
    k.trigger(nvme.admin.run, AdminOpcode.IDENTIFY, cid=7, prps=(window.address, 0), dwords=(1,))
    status = nvme.CSTS.read("status")

    run = yield

    assert window.read(run)[4:24] == b"trapgate".ljust(20)
    assert (run[status].RDY, run[status].CFS) == (1, 0)


@probe(
    spec="NVM Express 1.4, Full Queue; NVM Express 1.4, Completion Queue y Head Doorbell",
    needs=NVME,
    covers=["nvme.queue-full"],
)
def a_full_completion_queue_is_not_overrun(k: Kernel) -> ProbeBody:
    """A completion queue of four holds three entries; the rest waits until the head doorbell makes room."""
    nvme = NvmeController(k)
    submission, completion = NvmeQueue(nvme, 1, 16), NvmeQueue(nvme, 2, 4)
    for opcode, identifier, size, address, attributes in (
        (AdminOpcode.CREATE_IO_COMPLETION_QUEUE, 2, 4, completion.completion.address,
         int(CreateCompletionQueueDword11.of(PC=1))),
        (AdminOpcode.CREATE_IO_SUBMISSION_QUEUE, 1, 16, submission.submission.address,
         int(CreateSubmissionQueueDword11.of(PC=1, CQID=2))),
    ):  # fmt: skip
        where = int(CreateQueueDword10.of(QID=identifier, QSIZE=size - 1))
        nvme.admin.run(opcode, cid=0x100 + identifier, prps=(address, 0), dwords=(where, attributes))
    for cid in range(7):
        submission.command(NvmOpcode.FLUSH, cid=cid, nsid=1)
    k.trigger(submission.ring)
    completion.wait(3)
    k.stay_quiet(ms=20)
    k.checkpoint("full")
    completion.consume(3)
    completion.wait(6)
    k.stay_quiet(ms=20)
    k.checkpoint("full again")
    completion.consume(6)
    completion.wait(7)

    run = yield

    with run.stopped_at("full"):
        seen = completion.completions(run)
        first = [entry.CID for entry in seen[:3]]
        assert [entry.P for entry in seen] == [1, 1, 1, 0], "one slot stays free"
    with run.stopped_at("full again"):
        seen = completion.completions(run)
        second = [seen[index].CID for index in (3, 0, 1)]
        assert [entry.P for entry in seen] == [0, 0, 1, 1]
        assert first[2] == seen[2].CID, "an entry that was not taken stays"
    last = completion.completions(run)[2]
    assert (sorted([*first, *second, last.CID]), last.P) == (list(range(7)), 0)
