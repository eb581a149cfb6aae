"""NVMe: commands complete in an order of their own; the command identifier pairs each with its completion."""

from random import Random

from harness import GUARD, PAGE, Kernel, ProbeBody, Run, Window, probe
from harness.devices import AdminOpcode, AsynchronousEvent, NvmeController, NvmOpcode

BLOCK = 512
QUEUES = "NVM Express 1.4, Submission Queue & Completion Queue Definition"
DEVICE = "nvme-two"
HALF = 1 << 19  # bytes of each namespace
FREE = {"bps-read": 0}
HELD = {"bps-read": 1}  # after a first block the next one waits 512 seconds, or until the machine stops
LIMITS = f"/objects/{DEVICE}-limits"


def fill_disk(run: Run, device: str) -> bytes:
    """Random bytes into the namespaces."""
    content = Random(23).randbytes(len(run.backing(device)))
    run.backing(device)[:] = content
    return content


@probe(spec=QUEUES, needs=[DEVICE], covers=["nvme.out-of-order"])
def a_later_command_overtakes_a_slow_one(k: Kernel) -> ProbeBody:
    """While one namespace's medium is slow, later commands of the same queue complete first, each by its own CID."""
    windows = {cid: Window.make(k, f"data{cid}", BLOCK) for cid in (0x11, 0x22, 0x33, 0x44)}
    nvme = NvmeController(k, device=DEVICE)
    queue = nvme.queue(1, 16)
    k.checkpoint("disk")
    # What passes at once, and fills the bucket for those that follow.
    queue.read(windows[0x11].address, 1, cid=0x11, nsid=1)
    queue.ring()
    queue.wait(1)
    queue.read(windows[0x22].address, 2, cid=0x22, nsid=1)
    queue.ring()
    for cid in (0x44, 0x33):
        queue.read(windows[cid].address, cid, cid=cid, nsid=2)
        queue.ring()
        queue.wait(queue.submitted - 1)
    k.stay_quiet(ms=20)
    slow = k.value("slow")
    k.asm(f"mov rax, [{windows[0x22].address:#x}]\nmov [slow], rax")
    k.checkpoint("overtaken")  # a machine that stops completes what is outstanding
    queue.wait(4)
    queue.consume(4)

    run = yield

    run.reached("disk")
    content = fill_disk(run, DEVICE)
    run.trigger(run.qmp, "qom-set", path=LIMITS, property="limits", value=HELD)
    run.resume()
    with run.stopped_at("overtaken"):
        run.qmp("qom-set", path=LIMITS, property="limits", value=FREE)
    entries = queue.completions(run)
    assert [entry.CID for entry in entries[:4]] == [0x11, 0x44, 0x33, 0x22]
    assert {(entry.SQID, entry.P, entry.SC, entry.SCT) for entry in entries[:4]} == {(1, 1, 0, 0)}
    assert entries[4].P == 0, "four commands, four completions"
    assert run[slow] == int.from_bytes(bytes([GUARD]) * 8, "little"), "the slow one had not been served"
    for cid, window in windows.items():
        start = {0x11: BLOCK, 0x22: 2 * BLOCK}.get(cid, HALF + cid * BLOCK)
        assert window.read(run) == content[start : start + BLOCK], f"data of command {cid:#x}"


@probe(
    spec="NVM Express 1.4, Asynchronous Event Request command; NVM Express 1.4, Abort command",
    needs=["nvme"],
    covers=["nvme.out-of-order"],
)
def an_event_request_waits_while_others_complete(k: Kernel) -> ProbeBody:
    """An Asynchronous Event Request has no time-out: later commands complete before it, then its event completes it."""
    first, second = Window.make(k, "first", PAGE), Window.make(k, "second", PAGE)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 8)
    before = nvme.admin.submitted
    nvme.admin.command(AdminOpcode.ASYNCHRONOUS_EVENT_REQUEST, cid=0xAE)
    nvme.admin.ring()
    for cid, window in ((0x51, first), (0x52, second)):
        nvme.identify(window.address, cid=cid)
        nvme.admin.ring()
        nvme.admin.wait(nvme.admin.submitted - 1)
    k.stay_quiet(ms=5)
    k.checkpoint("waiting")
    k.trigger(queue.ring, tail=8)  # beyond the queue: Invalid Doorbell Write Value
    nvme.admin.wait(nvme.admin.submitted)
    nvme.admin.consume(nvme.admin.submitted)

    run = yield

    with run.stopped_at("waiting"):
        entries = nvme.admin.completions(run)
        assert [entry.CID for entry in entries[before : before + 2]] == [0x51, 0x52]
        assert entries[before + 2].P == 0, "the event request is outstanding"
    entries = nvme.admin.completions(run)
    assert [entry.CID for entry in entries[before : before + 3]] == [0x51, 0x52, 0xAE]
    event = AsynchronousEvent(entries[before + 2].RESULT)
    assert (event.TYPE, event.INFORMATION, event.LOG_PAGE) == (0, 1, 1), "error: invalid doorbell write value"
    assert first.read(run) == second.read(run)
    assert first.read(run)[4:24] == b"trapgate".ljust(20)


@probe(spec=QUEUES, needs=["nvme"], covers=["nvme.out-of-order"])
def every_command_completes_once_in_whatever_order(k: Kernel) -> ProbeBody:
    """Reads of 1 to 64 blocks, flushes and faulty commands behind one doorbell: one completion with each CID."""
    random = Random(5)
    reads = {0x100 + n: (random.randrange(1900), 1 << n) for n in range(7)}
    windows = {cid: Window.make(k, f"data{cid:x}", blocks * BLOCK) for cid, (_, blocks) in reads.items()}
    faulty, flushes = [0x200, 0x201, 0x202], [0x300, 0x301]
    order = [*reads, *faulty, *flushes]
    random.shuffle(order)
    nvme = NvmeController(k)
    queue = nvme.queue(1, 32)
    for cid in order:
        if cid in reads:
            block, blocks = reads[cid]
            prps = nvme.prps(range(windows[cid].address, windows[cid].address + blocks * BLOCK, PAGE))
            queue.transfer(NvmOpcode.READ, cid=cid, block=block, blocks=blocks, prps=prps)
        elif cid in faulty:
            queue.command(0x7F, cid=cid, nsid=1)
        else:
            queue.command(NvmOpcode.FLUSH, cid=cid, nsid=1)
    k.checkpoint("disk")
    k.trigger(queue.ring)
    queue.wait(len(order))
    queue.consume(len(order))

    run = yield

    run.reached("disk")
    content = fill_disk(run, "nvme")
    run.resume()
    entries = queue.completions(run)[: len(order)]
    assert sorted(entry.CID for entry in entries) == sorted(order)
    assert {entry.CID: (entry.SCT, entry.SC) for entry in entries} == {
        cid: (0, 1) if cid in faulty else (0, 0) for cid in order
    }
    heads = [entry.SQHD for entry in entries]
    assert heads == sorted(heads), "the head that completions report never goes back"
    for cid, (block, blocks) in reads.items():
        assert windows[cid].read(run) == content[block * BLOCK : (block + blocks) * BLOCK], f"data of {cid:#x}"
