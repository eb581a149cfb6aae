"""One line or one register for several causes of NVMe, the RTC and ACPI: it stays until the last has gone."""

from harness import Kernel, ProbeBody, probe, wait_register
from harness.devices import NvmeController, NvmOpcode

PIN = 0x5D


@probe.each(last=[1, 2, 3])
@probe(
    spec="NVM Express 1.4, Pin Based, Single MSI, and Multiple MSI Behavior",
    needs=["nvme"],
    covers=["nvme.acknowledge"],
    cold=True,  # an asserted INTx# outlives a reset: docs/deviations/dma-nvme-reset-intx.md
)
def the_pin_waits_for_the_last_queue(k: Kernel, last: int) -> ProbeBody:
    """Three completion queues have entries: INTx# is asserted until the last of them was taken."""
    nvme = NvmeController(k)
    queues = {index: nvme.queue(index, 4, vector=0) for index in (1, 2, 3)}
    wait_register(k, nvme.function.STATUS, INTERRUPT_STATUS=0, ms=k.device_ms)
    for index, queue in queues.items():
        queue.command(NvmOpcode.FLUSH, cid=0x40 + index, nsid=1)
        queue.ring()
        queue.wait(1)
    wait_register(k, nvme.function.STATUS, INTERRUPT_STATUS=1, ms=k.device_ms)
    lines = []
    for index in [index for index in queues if index != last]:
        k.trigger(queues[index].consume, 1)
        lines.append(nvme.function.STATUS.read())
    queues[last].consume(1)
    k.stay_quiet(ms=5)
    done = nvme.function.STATUS.read("done")

    run = yield

    assert [run[line].INTERRUPT_STATUS for line in lines] == [1, 1]
    assert run[done].INTERRUPT_STATUS == 0


@probe.each(first=[1, 2, 3])
@probe(
    spec="PCI Local Bus Specification 3.0, Pending Bits for MSI-X; NVM Express 1.4, MSI-X Based Behavior",
    needs=["nvme"],
    covers=["msix.pending-each"],
)
def pending_messages_are_sent_one_by_one(k: Kernel, first: int) -> ProbeBody:
    """Three masked entries pend: unmasking one sends its message alone and leaves the pending bits of the others."""
    vectors = {1: 0x62, 2: 0x73, 3: 0x84}
    nvme = NvmeController(k)
    for entry, vector in vectors.items():
        nvme.msix.entry(entry, vector, masked=True)
    nvme.msix.enable()
    k.sti()
    queues = [nvme.queue(index, 4, vector=entry) for index, entry in ((1, 3), (2, 1), (3, 2))]
    for number, queue in enumerate(queues):
        queue.command(NvmOpcode.FLUSH, cid=number, nsid=1)
        queue.ring()
        queue.wait(1)
    wait_register(k, nvme.msix.pba.PENDING[0], bits=0b1110, ms=k.device_ms)
    k.trigger(nvme.msix.table.ENTRY[first].CONTROL.write, MASK=0)
    k.wait_for(vectors[first], quiet_ms=1)
    left = nvme.msix.pba.PENDING[0].read("left")

    run = yield

    assert run.vectors == [vectors[first]]
    assert int(run[left]) & 0b1110 == 0b1110 & ~(1 << first)


@probe(spec="MC146818, Register C: IRQF; Interrupts", covers=["timers.rtc-several"], watchdog_s=30)
def one_read_of_register_c_acknowledges_every_flag(k: Kernel) -> ProbeBody:
    """PF, UF and AF are set with all three enabled: one interrupt shows them together, and the read leaves none."""
    k.rtc.A.write(DV=2, RS=6)
    for register in (k.rtc.SECONDS_ALARM, k.rtc.MINUTES_ALARM, k.rtc.HOURS_ALARM):
        register.write(0xFF)
    k.cli()
    k.trigger(k.rtc.B.write, HOURS_24=1, PIE=1, UIE=1, AIE=1)
    k.rtc.C.read("old")
    k.delay(us=1_050_000)
    k.rtc.A.write(DV=2, RS=0)
    flags = k.rtc.C.read("flags")
    after = k.rtc.C.read("after")
    k.rtc.B.write(HOURS_24=1)

    run = yield

    assert (run[flags].IRQF, run[flags].PF, run[flags].AF, run[flags].UF) == (1, 1, 1, 1)
    assert int(run[after]) == 0
