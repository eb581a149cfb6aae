"""NVMe: many queues on many processors, the deepest queue round after round, the interrupt mask registers."""

from harness import GUARD, PAGE, Kernel, ProbeBody, Window, probe, wait_register
from harness.devices import NvmeController

BLOCK = 512
BLOCKS = 2048
VECTORS = [0x81, 0x82, 0x83, 0x84]
PIN = 0x85
NVME = ["nvme"]
QUEUES = "NVM Express 1.4, Submission Queue & Completion Queue Definition"
MASK = "NVM Express 1.4, Interrupt Mask Set; NVM Express 1.4, Interrupt Mask Clear"


@probe(
    spec=f"NVM Express 1.4, MSI-X Based Behavior; {QUEUES}", needs=NVME, cpus=4, covers=["nvme.vectors", "nvme.phase"]
)
def four_queues_serve_four_processors(k: Kernel) -> ProbeBody:
    """Each processor drives its own queue of four, ten reads through it: its vector comes there alone, ten times."""
    reads = 10
    buffers = [k.buffer(f"data{cpu}", (reads + 1) * BLOCK, align=PAGE, fill=GUARD) for cpu in range(4)]
    nvme = NvmeController(k, start=False)
    nvme.msix.entry(0, PIN, masked=True)
    for cpu, vector in enumerate(VECTORS):
        nvme.msix.entry(cpu + 1, vector, destination=cpu)
    nvme.msix.enable()
    nvme.begin()
    queues = [nvme.queue(cpu + 1, 4, vector=cpu + 1) for cpu in range(4)]
    k.checkpoint("disk")
    k.smp.start()

    def serve(cpu: int) -> None:
        k.sti()
        for number in range(reads):
            block = 100 * cpu + number
            where = buffers[cpu].address + BLOCK * number
            queues[cpu].read(where, block, cid=block)
            k.trigger(queues[cpu].ring)
            k.wait_for(VECTORS[cpu], number + 1, ms=4 * k.device_ms)
            queues[cpu].consume(number + 1)

    for cpu in (1, 2, 3):
        with k.smp.on(cpu):
            serve(cpu)
    serve(0)
    for cpu in (1, 2, 3):
        k.smp.join(cpu, ms=4 * k.device_ms)

    run = yield

    content = run.fill_disk("nvme")
    for cpu, vector in enumerate(VECTORS):
        assert [run.count(vector, cpu=each) for each in range(4)] == [reads if each == cpu else 0 for each in range(4)]
        memory = run.memory(buffers[cpu])
        assert memory[: reads * BLOCK] == content[100 * cpu * BLOCK : (100 * cpu + reads) * BLOCK]
        assert set(memory[reads * BLOCK :]) == {GUARD}
        entries = queues[cpu].completions(run)
        assert [(entry.CID - 100 * cpu, entry.SQID, entry.P) for entry in entries] == [
            (8, cpu + 1, 1), (9, cpu + 1, 1), (6, cpu + 1, 0), (7, cpu + 1, 0)
        ]  # fmt: skip


@probe(spec=f"NVM Express 1.4, Controller Capabilities; {QUEUES}", needs=NVME, covers=["nvme.deep", "nvme.phase"])
def the_deepest_queue_goes_round(k: Kernel) -> ProbeBody:
    """A full queue of the maximum size, twice: the second round starts in the last slot and has both phases."""
    depth = 2048  # CAP.MQES + 1 here, asserted below
    most = depth - 1
    buffer = k.buffer("data", BLOCKS * BLOCK, align=PAGE, fill=GUARD)
    nvme = NvmeController(k)
    capabilities = nvme.CAP.read("capabilities")
    queue = nvme.queue(1, depth)
    k.checkpoint("disk")
    for turn, start in enumerate((0, most)):
        # Commands `start` on, into the slots that follow each other round the queue; CID and block are the number.
        k.asm(f"""
            mov ecx, 0
        .Lcommand:
            mov eax, ecx
            add eax, {start}
            and eax, {depth - 1}
            shl eax, 6
            lea edi, [rax+{queue.submission.address:#x}]
            mov eax, ecx
            shl eax, 16
            or eax, 2
            mov dword ptr [rdi], eax        # CDW0: CID = number, opcode READ
            mov dword ptr [rdi+4], 1        # NSID
            mov eax, ecx
            shl eax, 9
            add eax, data
            mov [rdi+24], rax               # PRP1
            lea eax, [rcx+{turn}]           # the second round reads one block further
            mov dword ptr [rdi+40], eax
            inc ecx
            cmp ecx, {most}
            jb .Lcommand
        """)
        k.trigger(queue.ring, tail=(start + most) % depth)
        queue.wait(start + most, ms=2 * k.device_ms)
        queue.consume(start + most)

    run = yield

    content = run.fill_disk("nvme")
    assert depth == run[capabilities].MQES + 1
    entries = queue.completions(run)
    second = [entries[most], *entries[: most - 1]]
    assert sorted(entry.CID for entry in second) == list(range(most))
    assert {(entry.SC, entry.SCT) for entry in second} == {(0, 0)}
    assert [entry.P for entry in second] == [1] + [0] * (most - 1)
    assert entries[most - 1].P == 1, "the slot that stays free holds the first round's last completion"
    memory = run.memory(buffer)
    assert memory[: most * BLOCK] == content[BLOCK : (most + 1) * BLOCK]
    assert set(memory[most * BLOCK :]) == {GUARD}


@probe(spec=MASK, needs=NVME, covers=["nvme.interrupt-mask", "nvme.intx"], cold=True)  # dma-nvme-reset-intx.md
def the_mask_takes_an_asserted_pin_back(k: Kernel) -> ProbeBody:
    """INTMS deasserts INTx# while a completion waits, INTMC asserts it again, the head doorbell ends it."""
    window = Window.make(k, "identity", PAGE)
    nvme = NvmeController(k)
    with k.trigger():
        nvme.identify(window.address, cid=1)
        nvme.admin.ring()
    nvme.admin.wait(1)
    wait_register(k, nvme.function.STATUS, INTERRUPT_STATUS=1)
    nvme.INTMS.write(VECTORS=1)
    masked = nvme.function.STATUS.read("masked")
    nvme.INTMC.write(VECTORS=1)
    unmasked = nvme.function.STATUS.read("unmasked")
    nvme.admin.consume(1)
    wait_register(k, nvme.function.STATUS, INTERRUPT_STATUS=0)
    taken = nvme.function.STATUS.read("taken")

    run = yield

    assert [run[value].INTERRUPT_STATUS for value in (masked, unmasked, taken)] == [0, 1, 0]


@probe(spec=MASK, needs=NVME, covers=["nvme.interrupt-mask"])
def both_mask_registers_read_the_mask(k: Kernel) -> ProbeBody:
    """A one in INTMS sets a mask bit, one in INTMC clears it, zeros change nothing; either register reads the mask."""
    nvme = NvmeController(k)
    seen = []
    k.trigger(nvme.INTMS.write, VECTORS=0x8001_0005)
    seen += [nvme.INTMS.read("set"), nvme.INTMC.read("set_too")]
    nvme.INTMS.write(VECTORS=0)
    nvme.INTMC.write(VECTORS=0)
    seen.append(nvme.INTMS.read("same"))
    nvme.INTMC.write(VECTORS=0x8000_0004)
    seen += [nvme.INTMS.read("cleared"), nvme.INTMC.read("cleared_too")]
    nvme.INTMC.write(VECTORS=0xFFFF_FFFF)
    seen.append(nvme.INTMC.read("none"))

    run = yield

    assert [run[value].VECTORS for value in seen] == [0x8001_0005] * 3 + [0x0001_0001] * 2 + [0]
