"""Interrupt priority classes, the task priority and the processor priority."""

from harness import Deviation, Kernel, ProbeBody, probe

PPR = "SDM vol. 3A, Interrupt, Task, and Processor Priority (Processor Priority Register)"


def sub_class_lost(sees: str, cases: str = "*") -> Deviation:
    """KVM on an AMD processor keeps the class of the TPR alone."""
    return Deviation(
        targets="*-kvm", vendor="AuthenticAMD", cases=cases, kind="bug", sees=sees, ref="lapic-kvm-tpr-sub-class"
    )


@probe.each(service=[0x50, 0x5F], arrives=[0x4F, 0x50, 0x5F, 0x60, 0xFF])
@probe(spec="SDM vol. 3A, Interrupt, Task, and Processor Priority", covers=["lapic.preemption"])
def only_a_higher_class_preempts(k: Kernel, service: int, arrives: int) -> ProbeBody:
    """While a vector is in service only one of a higher class (bits 7:4) interrupts its handler; the others wait."""
    preempts = arrives >> 4 > service >> 4
    with k.handler(service, eoi=False):
        with k.first_time():
            k.trigger(k.lapic.self_ipi, arrives)
            k.sti()
            k.settle()
            k.cli()
            irr = k.lapic.requested(arrives, "irr")
        k.mark("EOI")
        k.lapic.eoi()
    k.sti()
    k.lapic.self_ipi(service)
    k.wait_for(service)
    k.wait_for(arrives, count=2 if arrives == service else 1, quiet_ms=1)

    run = yield

    waiting = [service, "EOI", arrives] + (["EOI"] if arrives == service else [])
    assert run.sequence == ([service, arrives, "EOI"] if preempts else waiting)
    assert run.interrupts[1].depth == int(preempts)
    assert (arrives in run[irr]) is not preempts


@probe(spec="SDM vol. 3A, Interrupt, Task, and Processor Priority", covers=["lapic.preemption"])
def classes_nest_fifteen_deep(k: Kernel) -> ProbeBody:
    """Each class interrupts the handler of the class below: 15 nested handlers, ended in reverse order."""
    classes = range(1, 16)
    for number in classes:
        with k.handler(number << 4):
            if number < 15:
                k.trigger(k.lapic.self_ipi, (number + 1) << 4)
                k.sti()
                k.wait_for((number + 1) << 4)
                k.cli()
            else:
                isr = [register.read() for register in k.lapic.ISR]
                ppr = k.lapic.PPR.read("ppr")
            k.mark(f"end {number}")
    k.sti()
    k.lapic.self_ipi(0x10)
    k.wait_for(0x10)

    run = yield

    arrivals = [number << 4 for number in classes]
    assert run.sequence == [*arrivals, *(f"end {number}" for number in reversed(classes))]
    assert [interrupt.depth for interrupt in run.interrupts] == list(range(15))
    assert [int(run[bits]) for bits in isr] == [0x0001_0000] + [0x0001_0001] * 7
    assert run[ppr].PRIORITY_CLASS == 0xF


@probe.each(task_class=range(16), view=["tpr", "cr8"])
@probe(
    spec="SDM vol. 3A, Task Priority Register (TPR); Interrupt Control (CR8)", covers=["lapic.tpr-hold", "lapic.cr8"]
)
def task_priority_holds_its_class_and_below(k: Kernel, task_class: int, view: str) -> ProbeBody:
    """A task priority class holds back every vector of that class and below, and lowering it lets them in."""
    held = max(task_class << 4 | 0xF, 0x1F)  # the last vector of the class: vectors below 16 do not exist
    passing = (task_class + 1) << 4  # the first one above it
    k.cli()
    if view == "tpr":
        k.lapic.TPR.write(PRIORITY_CLASS=task_class, PRIORITY_SUB_CLASS=0xF)
    else:
        k.asm(f"mov eax, {task_class}\nmov cr8, rax")
    k.sti()
    if task_class:
        k.trigger(k.lapic.self_ipi, held)
    if passing <= 0xF0:
        k.trigger(k.lapic.self_ipi, passing)
        k.wait_for(passing)
    k.settle()
    irr, ppr = k.lapic.requested(held, "irr"), k.lapic.PPR.read("ppr")
    k.mark("lowered")
    if view == "tpr":
        k.lapic.TPR.write(PRIORITY_CLASS=max(task_class - 1, 0), PRIORITY_SUB_CLASS=0xF)
    else:
        k.asm(f"mov eax, {max(task_class - 1, 0)}\nmov cr8, rax")
    if task_class:
        k.wait_for(held)
    k.stay_quiet()

    run = yield

    assert run.sequence == ([passing] if passing <= 0xF0 else []) + ["lowered"] + ([held] if task_class else [])
    assert (held in run[irr]) is (task_class > 0)
    assert task_class == run[ppr].PRIORITY_CLASS


@probe.each(task=[0x00, 0x2F, 0x30, 0x3F, 0x40, 0x4F, 0x50, 0xF0], service=[None, 0x10, 0x3F, 0x40, 0x4F, 0xF8])
@probe(
    spec=PPR,
    covers=["lapic.ppr"],
    deviation=sub_class_lost(r"<Tpr 0x0{6}[234]0: |assert \(\d+ & 15\) == 0", cases="task0x?f-*"),
)
def processor_priority_is_the_higher_class(k: Kernel, task: int, service: int | None) -> ProbeBody:
    """The PPR's class is the higher of the TPR's and that of the highest vector in service.

    PPR[3:0] is TPR[3:0] where the TPR's class is higher, 0 where the ISR's is; with equal classes either may be.
    """
    if service is not None:
        k.hold(service)
        k.sti()
        k.trigger(k.lapic.self_ipi, service)
        k.wait_for(service)
        k.cli()
    k.lapic.TPR.write(task ^ 0xFF)
    k.trigger(k.lapic.TPR.write, task)
    ppr, tpr = k.lapic.PPR.read("ppr"), k.lapic.TPR.read("tpr")

    run = yield

    in_service = 0 if service is None else service
    assert run[tpr] == task
    assert max(task >> 4, in_service >> 4) == run[ppr].PRIORITY_CLASS
    if task >> 4 > in_service >> 4:
        assert task & 0xF == run[ppr].PRIORITY_SUB_CLASS
    elif task >> 4 < in_service >> 4:
        assert run[ppr].PRIORITY_SUB_CLASS == 0
    else:
        assert run[ppr].PRIORITY_SUB_CLASS in (0, task & 0xF)


@probe.each(service=[0x21, 0xF1])
@probe(spec=PPR, covers=["lapic.ppr"], deviation=sub_class_lost("At index 1 diff: <Ppr 0x00000010"))
def processor_priority_falls_with_eoi(k: Kernel, service: int) -> ProbeBody:
    """After the EOI the PPR is the TPR again."""
    with k.handler(service, eoi=False):
        during = k.lapic.PPR.read("during")
        k.trigger(k.lapic.eoi)
        after = k.lapic.PPR.read("after")
    k.lapic.TPR.write(0x15)
    k.sti()
    k.lapic.self_ipi(service)
    k.wait_for(service)

    run = yield

    assert (run[during], run[after]) == (service & 0xF0, 0x15)


@probe.each(vector=[0x20, 0x8F, 0xFF])
@probe(
    spec="SDM vol. 3A, Interrupt, Task, and Processor Priority; Task Priority Register (TPR)", covers=["lapic.tpr-hold"]
)
def eoi_under_a_raised_task_priority_releases_nothing(k: Kernel, vector: int) -> ProbeBody:
    """A request that the TPR holds stays held when an EOI comes; it is in the IRR all the time, and comes once."""
    k.lapic.TPR.write(0xFF)
    k.sti()
    k.trigger(k.lapic.self_ipi, vector)
    k.lapic.eoi()
    k.settle()
    irr = k.lapic.requested(vector, "irr")
    k.mark("lowered")
    k.lapic.TPR.write(0)
    k.wait_for(vector, quiet_ms=1)

    run = yield

    assert run[irr] == 1 << (vector % 32)
    assert run.sequence == ["lowered", vector]
