"""NVMe: the features Interrupt Coalescing and Interrupt Vector Configuration; no completion's interrupt is lost."""

from harness import Kernel, ProbeBody, Window, probe
from harness.devices import (
    AdminOpcode,
    FeatureCapabilities,
    FeatureId,
    FeatureSelect,
    InterruptCoalescing,
    InterruptVectorConfiguration,
    NvmeController,
)

BLOCK = 512
ADMIN, IO = VECTORS = (0x75, 0x76)  # of the admin queue and an I/O queue
NVME = ["nvme"]
FEATURE = "NVM Express 1.4, Interrupt Coalescing"
VECTOR_CONFIGURATION = "NVM Express 1.4, Interrupt Vector Configuration"
NOT_CHANGEABLE = (1, 0x0E)  # status code type and status code
COMMANDS = 6


def _set(nvme: NvmeController, feature: FeatureId, value: int, *, cid: int) -> int:
    """Set Features; the number of its completion."""
    nvme.admin.run(AdminOpcode.SET_FEATURES, cid=cid, dwords=(feature, value))
    return nvme.admin.submitted


def _get(
    nvme: NvmeController, feature: FeatureId, select: int = FeatureSelect.CURRENT, *, cid: int, vector: int = 0
) -> int:
    """Get Features; the number of its completion. `vector`: dword 11."""
    nvme.admin.run(AdminOpcode.GET_FEATURES, cid=cid, dwords=(feature | select << 8, vector))
    return nvme.admin.submitted


@probe.each(time=[0, 100], threshold=[0, 2, 255])
@probe(spec=FEATURE, needs=NVME, covers=["nvme.coalescing"])
def the_coalescing_setting_is_kept_or_refused(k: Kernel, threshold: int, time: int) -> ProbeBody:
    """Where the feature is changeable Get Features returns what was set; else setting fails, and the value stays."""
    wanted = InterruptCoalescing.of(THR=threshold, TIME=time)
    nvme = NvmeController(k, vectors=VECTORS)
    capability = _get(nvme, FeatureId.INTERRUPT_COALESCING, FeatureSelect.SUPPORTED_CAPABILITIES, cid=1)
    before = _get(nvme, FeatureId.INTERRUPT_COALESCING, cid=2)
    done = k.trigger(_set, nvme, FeatureId.INTERRUPT_COALESCING, int(wanted), cid=3)
    after = _get(nvme, FeatureId.INTERRUPT_COALESCING, cid=4)

    run = yield

    entries = nvme.admin.completions(run)
    answer = {number: entries[number - 1] for number in (capability, before, done, after)}
    assert [answer[number].CID for number in (capability, before, done, after)] == [1, 2, 3, 4]
    assert [(answer[n].SCT, answer[n].SC) for n in (capability, before, after)] == [(0, 0)] * 3, "a mandatory feature"
    if FeatureCapabilities(answer[capability].RESULT).CHANGEABLE:
        assert (answer[done].SCT, answer[done].SC) == (0, 0)
        assert wanted == answer[after].RESULT
    else:
        assert (answer[done].SCT, answer[done].SC) == NOT_CHANGEABLE
        assert answer[after].RESULT == answer[before].RESULT


@probe.each(vector=[0, 1])
@probe(spec=VECTOR_CONFIGURATION, needs=NVME, covers=["nvme.coalescing"])
def a_vectors_configuration_names_the_vector(k: Kernel, vector: int) -> ProbeBody:
    """Get Features returns the vector that dword 11 names; the admin queue's is never coalesced, set or not."""
    wanted = InterruptVectorConfiguration.of(IV=vector, CD=1)
    nvme = NvmeController(k, vectors=VECTORS)
    nvme.queue(1, 8, vector=1)
    capability = _get(nvme, FeatureId.INTERRUPT_VECTOR_CONFIGURATION, FeatureSelect.SUPPORTED_CAPABILITIES, cid=1)
    before = _get(nvme, FeatureId.INTERRUPT_VECTOR_CONFIGURATION, cid=2, vector=vector)
    done = _set(nvme, FeatureId.INTERRUPT_VECTOR_CONFIGURATION, int(wanted), cid=3)
    after = k.trigger(_get, nvme, FeatureId.INTERRUPT_VECTOR_CONFIGURATION, cid=4, vector=vector)

    run = yield

    entries = nvme.admin.completions(run)
    answer = {number: entries[number - 1] for number in (capability, before, done, after)}
    assert [answer[number].CID for number in (capability, before, done, after)] == [1, 2, 3, 4]
    assert [(answer[n].SCT, answer[n].SC) for n in (capability, before, after)] == [(0, 0)] * 3, "a mandatory feature"
    assert vector == InterruptVectorConfiguration(answer[after].RESULT).IV
    if FeatureCapabilities(answer[capability].RESULT).CHANGEABLE:
        assert (answer[done].SCT, answer[done].SC) == (0, 0)
        assert wanted == answer[after].RESULT
    else:
        assert (answer[done].SCT, answer[done].SC) == NOT_CHANGEABLE
        assert answer[after].RESULT == answer[before].RESULT


@probe(spec=VECTOR_CONFIGURATION, needs=NVME, covers=["nvme.coalescing"])
def a_vector_that_does_not_exist_is_refused(k: Kernel) -> ProbeBody:
    """A vector beyond the MSI-X table is no vector of the controller: Invalid Field in Command."""
    nvme = NvmeController(k, vectors=VECTORS)
    number = k.trigger(_get, nvme, FeatureId.INTERRUPT_VECTOR_CONFIGURATION, cid=7, vector=2048)
    size = nvme.msix.capability.CONTROL.read("size")

    run = yield

    assert run[size].TABLE_SIZE < 2047
    entry = nvme.admin.completions(run)[number - 1]
    assert (entry.CID, entry.SCT, entry.SC) == (7, 0, 2)


@probe.each(threshold=[0, 3])
@probe(spec=FEATURE, needs=NVME, covers=["nvme.coalescing"])
def every_completion_is_interrupted_for_at_last(k: Kernel, threshold: int) -> ProbeBody:
    """A completion that no other follows interrupts all the same: after the aggregation time at the latest.

    The threshold is a recommendation, so the interrupt may come at once. The admin queue is not coalesced.
    """
    windows = [Window.make(k, f"data{n}", BLOCK) for n in range(COMMANDS)]
    nvme = NvmeController(k, vectors=VECTORS)
    queue = nvme.queue(1, 16, vector=1)
    _set(nvme, FeatureId.INTERRUPT_COALESCING, int(InterruptCoalescing.of(THR=threshold, TIME=10)), cid=1)
    # How many completions the handler finds, by their phase tags, whenever it is called.
    seen = k.value("seen", 0)
    with k.handler(IO):
        k.asm(f"""
            mov eax, 0
        .Lnext:
            mov ecx, eax
            shl ecx, 4
            test byte ptr [rcx+{queue.completion.address + 14:#x}], 1
            jz .Lend
            inc eax
            jmp .Lnext
        .Lend:
            mov [seen], rax
        """)
    k.sti()
    for number, window in enumerate(windows):
        queue.read(window.address, number, cid=number)
        k.trigger(queue.ring)
        k.wait_until(seen, number + 1, ms=k.device_ms)
    k.stay_quiet(ms=2)
    queue.consume(COMMANDS)
    k.mark("admin")
    nvme.admin.command(AdminOpcode.GET_FEATURES, cid=2, dwords=(FeatureId.INTERRUPT_COALESCING,))
    nvme.admin.ring()
    k.wait_for(ADMIN, 2, ms=k.device_ms, quiet_ms=2)  # those of the set-up became one while interrupts were off

    run = yield

    assert run[seen] == run.count(IO) == COMMANDS
    entries = queue.completions(run)
    assert sorted((entry.CID, entry.SC) for entry in entries[:COMMANDS]) == [(n, 0) for n in range(COMMANDS)]
    assert run.sequence[-2:] == ["admin", ADMIN]
