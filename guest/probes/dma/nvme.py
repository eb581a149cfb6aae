"""NVMe: admin and I/O queues, phase tags, PRPs, MSI-X vectors; data held against the namespace's file on the host."""

from random import Random

from harness import GUARD, PAGE, Deviation, Kernel, ProbeBody, Window, probe, wait_register
from harness.devices import NvmeController, NvmOpcode

BLOCK = 512
BLOCKS = 2048
ADMIN, IO, OTHER = VECTORS = (0x75, 0x76, 0x77)  # of the admin queue and two I/O queues
NVME = ["nvme"]
PRP = "NVM Express 1.4, Physical Region Page Entry and List"
QUEUES = "NVM Express 1.4, Submission Queue & Completion Queue Definition"


@probe(spec="NVM Express 1.4, Identify command", needs=NVME, covers=["nvme.identify"])
def identify_tells_the_serial_number(k: Kernel) -> ProbeBody:
    """Identify Controller writes 4096 bytes, the serial number padded with spaces at offset 4, and completes with 0."""
    window = Window.make(k, "identity", PAGE)
    nvme = NvmeController(k, vectors=VECTORS)
    k.sti()
    with k.trigger():
        nvme.identify(window.address, cid=0x1234)
        nvme.admin.ring()
    k.wait_for(ADMIN, ms=k.device_ms)
    nvme.admin.consume(1)

    run = yield

    assert window.read(run)[4:24] == b"trapgate".ljust(20)
    first = nvme.admin.completions(run)[0]
    assert (first.CID, first.SQID, first.SQHD, first.P, first.SC, first.SCT) == (0x1234, 0, 1, 1, 0, 0)
    assert run.vectors == [ADMIN]


@probe.each(write=[False, True])
@probe(spec=PRP, needs=NVME, covers=["nvme.prp-list"])
def a_prp_list_scatters_over_pages(k: Kernel, write: bool) -> ProbeBody:
    """PRP1 may start anywhere in a page, the list names whole pages anywhere: data in list order, no byte more."""
    blocks = 20
    length = blocks * BLOCK
    data = Random(7).randbytes(length)
    first = Window.make(k, "first", 1024, offset=PAGE - 1024, content=data[:1024] if write else None)
    pages = [
        Window.make(k, f"page{n}", PAGE if n < 2 else length - 1024 - 2 * PAGE,
                    content=data[1024 + n * PAGE : 1024 + (n + 1) * PAGE] if write else None)
        for n in (2, 0, 1)
    ]  # fmt: skip
    pages = [pages[1], pages[2], pages[0]]
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 8, vector=1)
    prps = nvme.prps([first.address, *(page.address for page in pages)])
    queue.transfer(NvmOpcode.WRITE if write else NvmOpcode.READ, cid=9, block=100, blocks=blocks, prps=prps)
    k.checkpoint("disk")
    k.sti()
    k.trigger(queue.ring)
    k.wait_for(IO, ms=k.device_ms)
    queue.consume(1)

    run = yield

    content = bytearray(run.fill_disk("nvme"))
    windows = [first, *pages]
    if write:
        content[100 * BLOCK : 120 * BLOCK] = data
    else:
        read = b"".join(window.read(run) for window in windows)
        assert read == content[100 * BLOCK : 120 * BLOCK]
    assert bytes(run.backing("nvme")) == bytes(content)
    assert queue.completions(run)[0].SC == 0
    assert run.count(IO) == 1


@probe(spec=QUEUES, needs=NVME, covers=["nvme.phase"])
def the_phase_tag_inverts_on_each_round(k: Kernel) -> ProbeBody:
    """In queues of four, ten reads: each completion has the phase tag of its round, SQ head and CID in order."""
    window = Window.make(k, "data", BLOCK)
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 4)
    for number in range(10):
        with k.trigger():
            queue.read(window.address, number, cid=number)
            queue.ring()
        queue.wait(number + 1)
        queue.consume(number + 1)
    k.sti()

    run = yield

    entries = queue.completions(run)
    assert [entry.CID for entry in entries] == [8, 9, 6, 7]
    assert [entry.P for entry in entries] == [1, 1, 0, 0], "third round 1, second round 0"
    assert [entry.SQHD for entry in entries] == [1, 2, 3, 0]
    assert run.count(IO) == 0, "the queue was created without interrupts"


@probe(spec="NVM Express 1.4, MSI-X Based Behavior", needs=NVME, cpus=2, covers=["nvme.vectors"])
def each_queues_vector_goes_to_its_own_processor(k: Kernel) -> ProbeBody:
    """Two I/O queues, each with its own vector on its own processor: a completion interrupts only there."""
    windows = [Window.make(k, f"data{n}", BLOCK) for n in (0, 1)]
    nvme = NvmeController(k, vectors=VECTORS)
    nvme.msix.entry(2, OTHER, destination=1)
    first, second = nvme.queue(1, 8, vector=1), nvme.queue(2, 8, vector=2)
    for queue, window in ((first, windows[0]), (second, windows[1])):
        queue.read(window.address, queue.index, cid=queue.index)
    k.smp.start()
    k.checkpoint("disk")
    with k.smp.on(1):
        k.sti()
        k.wait_for(OTHER, ms=k.device_ms, quiet_ms=1)
    k.sti()
    with k.trigger():
        second.ring()
        first.ring()
    k.wait_for(IO, ms=k.device_ms)
    k.wait_for(OTHER, ms=k.device_ms)
    k.smp.join(1, ms=2 * k.device_ms)
    first.consume(1)
    second.consume(1)

    run = yield

    content = run.fill_disk("nvme")
    assert [run.count(IO, cpu=cpu) for cpu in (0, 1)] == [1, 0]
    assert [run.count(OTHER, cpu=cpu) for cpu in (0, 1)] == [0, 1]
    for window, block in zip(windows, (1, 2), strict=True):
        assert window.read(run) == content[block * BLOCK : (block + 1) * BLOCK]


@probe(spec="NVM Express 1.4, Controller Capabilities", needs=NVME, covers=["nvme.deep"])
def the_deepest_queue_completes_every_command_once(k: Kernel) -> ProbeBody:
    """In a queue of the maximum size, full behind one doorbell write, every command completes once."""
    depth = 2048  # CAP.MQES + 1 here, asserted below
    buffer = k.buffer("data", BLOCKS * BLOCK, align=PAGE, fill=GUARD)
    nvme = NvmeController(k, vectors=VECTORS)
    capabilities = nvme.CAP.read("capabilities")
    queue = nvme.queue(1, depth)
    k.checkpoint("disk")
    k.asm(f"""
        mov edi, {queue.submission.address:#x}
        mov ecx, 0
    .Lcommand:
        mov eax, ecx                    # CDW0: CID = number, opcode READ
        shl eax, 16
        or eax, 2
        mov dword ptr [rdi], eax
        mov dword ptr [rdi+4], 1        # NSID
        mov eax, ecx
        shl eax, 9
        add eax, data
        mov [rdi+24], rax               # PRP1: 512 bytes never cross a page here
        mov dword ptr [rdi+40], ecx     # block = number
        add edi, 64
        inc ecx
        cmp ecx, {depth - 1}
        jb .Lcommand
    """)
    k.trigger(queue.ring, tail=depth - 1)
    queue.wait(depth - 1, ms=2 * k.device_ms)

    run = yield

    content = run.fill_disk("nvme")
    assert depth == run[capabilities].MQES + 1
    entries = queue.completions(run)
    assert sorted(entry.CID for entry in entries[: depth - 1]) == list(range(depth - 1))
    assert {(entry.P, entry.SC, entry.SCT) for entry in entries[: depth - 1]} == {(1, 0, 0)}
    assert entries[depth - 1].P == 0, "one slot of the queue stays free"
    memory = run.memory(buffer)
    assert memory[: (depth - 1) * BLOCK] == content[: (depth - 1) * BLOCK]
    assert set(memory[(depth - 1) * BLOCK :]) == {GUARD}


@probe(spec="NVM Express 1.4, Interrupt Mask Set; NVM Express 1.4, Interrupt Mask Clear", needs=NVME,
       covers=["nvme.interrupt-mask", "nvme.intx"], cold=True)  # fmt: skip
def interrupt_mask_holds_the_pin(k: Kernel) -> ProbeBody:
    """With INTx, INTMS bit 0 keeps the pin deasserted though a completion waits; INTMC asserts it."""
    window = Window.make(k, "identity", PAGE)
    nvme = NvmeController(k)
    k.handler(IO).do(nvme.admin.consume, 1)
    k.ioapic.redirect_pci(nvme.function.pin, IO)
    nvme.INTMS.write(VECTORS=1)
    k.sti()
    with k.trigger():
        nvme.identify(window.address, cid=1)
        nvme.admin.ring()
    nvme.admin.wait(1)
    k.stay_quiet(ms=5)
    k.mark("unmask")
    nvme.INTMC.write(VECTORS=1)
    k.wait_for(IO, ms=k.device_ms, quiet_ms=1)

    run = yield

    assert run.sequence == ["unmask", IO]
    assert run.ioapic[nvme.function.pin].remote_irr == 0


@probe(spec=QUEUES, needs=NVME, covers=["nvme.msix-mask"])
def a_masked_vector_holds_a_completions_interrupt(k: Kernel) -> ProbeBody:
    """MSI-X masks work as on any function: the completion is posted, the message pends, unmasking sends it once."""
    window = Window.make(k, "data", BLOCK)
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 8, vector=1)
    nvme.msix.entry(1, IO, masked=True)
    queue.read(window.address, 0, cid=5)
    k.sti()
    k.trigger(queue.ring)
    queue.wait(1)
    k.stay_quiet(ms=5)
    held = nvme.msix.pba.PENDING[0].read("held")
    k.mark("unmask")
    nvme.msix.table.ENTRY[1].CONTROL.write(MASK=0)
    k.wait_for(IO, ms=k.device_ms, quiet_ms=1)
    queue.consume(1)

    run = yield

    assert run[held] >> 1 & 1 == 1
    assert run.count(IO) == 1
    assert [event for event in run.sequence if event != ADMIN] == ["unmask", IO]


@probe.each(kind=["opcode", "range", "inactive", "invalid"])
@probe(spec="NVM Express 1.4, Generic Command Status Definition", needs=NVME, covers=["nvme.errors"])
def a_bad_command_completes_with_its_status(k: Kernel, kind: str) -> ProbeBody:
    """Invalid opcode 01h, LBA out of range 80h, inactive namespace 02h, invalid one 0Bh; memory stays as it was."""
    window = Window.make(k, "data", BLOCK)
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 8)
    opcode = 0x7F if kind == "opcode" else NvmOpcode.READ
    block = BLOCKS if kind == "range" else 0
    nsid = {"inactive": 2, "invalid": 0xFFFF_FFFE}.get(kind, 1)
    queue.command(opcode, cid=3, nsid=nsid, prps=(window.address, 0), dwords=(block, 0, 0))
    k.trigger(queue.ring)
    queue.wait(1)

    run = yield

    entry = queue.completions(run)[0]
    assert (0, {"opcode": 1, "range": 0x80, "inactive": 2, "invalid": 0x0B}[kind]) == (entry.SCT, entry.SC)
    assert window.untouched(run)


@probe.each(kind=["tail", "queue"])
@probe(spec="NVM Express 1.4, Asynchronous Event Request command", needs=NVME, covers=["nvme.hostile"])
def a_bad_doorbell_is_ignored(k: Kernel, kind: str) -> ProbeBody:
    """A tail beyond the queue, or a doorbell without a queue: nothing is fetched, and the next command completes."""
    window = Window.make(k, "data", BLOCK)
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 8)
    queue.read(window.address, 1, cid=1)
    k.checkpoint("disk")
    if kind == "tail":
        queue.ring(tail=8)
    else:
        doorbell = nvme.doorbell(2 * 40)
        k.asm(f"mov rdi, [{doorbell.name}]\nmov dword ptr [rdi], 1")
    k.stay_quiet(ms=5)
    k.checkpoint("ignored")
    k.trigger(queue.ring)
    queue.wait(1)
    status = nvme.CSTS.read("status")

    run = yield

    content = run.fill_disk("nvme")
    with run.stopped_at("ignored"):
        assert window.untouched(run)
    assert window.read(run) == content[BLOCK : 2 * BLOCK]
    assert (run[status].RDY, run[status].CFS) == (1, 0)


@probe(
    spec="NVM Express 1.4, Controller Level Reset",
    needs=NVME,
    covers=["nvme.reset"],
    deviation=Deviation(targets="*", kind="bug", sees="INTx# outlives the reset", ref="dma-nvme-reset-intx"),
    cold=True,
)
def a_controller_reset_takes_the_interrupt_away(k: Kernel) -> ProbeBody:
    """Clearing CC.EN deletes the queues: a completion that was not taken asserts INTx# no more."""
    window = Window.make(k, "identity", PAGE)
    nvme = NvmeController(k)
    with k.trigger():
        nvme.identify(window.address, cid=1)
        nvme.admin.ring()
    nvme.admin.wait(1)
    wait_register(k, nvme.function.STATUS, INTERRUPT_STATUS=1)
    nvme.CC.write(0)
    wait_register(k, nvme.CSTS, RDY=0, ms=2000)
    status = nvme.function.STATUS.read("status")
    k.checkpoint("reset")  # judged here: a machine that keeps the interrupt must not serve another probe

    run = yield

    with run.stopped_at("reset"):
        assert run[status].INTERRUPT_STATUS == 0, "INTx# outlives the reset"
