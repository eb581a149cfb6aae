"""The error status register and the error interrupt."""

from harness import Deviation, Kernel, ProbeBody, probe

TCG = "*-tcg*"
KVM_ESR = "lapic-kvm-esr"
VECTOR = 0x71


def prepare(k: Kernel) -> None:
    """ESR clear, the error interrupt armed."""
    k.lapic.LVT_ERROR.write(VECTOR=VECTOR)
    k.lapic.ESR.write(0)
    k.lapic.ESR.write(0)


def read_reserved_register(k: Kernel) -> None:
    """An access to offset 3F0h of the page, where the address map has nothing."""
    k.asm("mov edi, 0xFEE003F0\nmov eax, dword ptr [rdi]")


@probe(
    spec="SDM vol. 3A, Error Handling (Illegal Register Address)",
    covers=["lapic.esr"],
    deviation=Deviation(targets="*-kvm", kind="unimplemented", sees="ILLEGAL_REGISTER_ADDRESS=0", ref=KVM_ESR),
)
def illegal_register_address_is_reported(k: Kernel) -> ProbeBody:
    """An access to a reserved register sets Illegal Register Address in the ESR, once it is written and read."""
    prepare(k)
    k.trigger(read_reserved_register, k)
    k.lapic.ESR.write(0)
    esr = k.lapic.ESR.read("esr")

    run = yield

    assert run[esr].ILLEGAL_REGISTER_ADDRESS == 1


@probe(
    spec="SDM vol. 3A, Error Handling",
    covers=["lapic.esr-latch"],
    deviation=[
        Deviation(targets=TCG, kind="bug", sees="ILLEGAL_REGISTER_ADDRESS=1", ref="lapic-esr-latch"),
        Deviation(targets="*-kvm", kind="unimplemented", sees="ILLEGAL_REGISTER_ADDRESS=0", ref=KVM_ESR),
    ],
)
def esr_changes_only_when_written(k: Kernel) -> ProbeBody:
    """The ESR shows errors only after a write latched them, and a second write without new errors clears it."""
    prepare(k)
    k.trigger(read_reserved_register, k)
    unlatched = k.lapic.ESR.read("unlatched")
    k.lapic.ESR.write(0)
    latched = k.lapic.ESR.read("latched")
    k.lapic.ESR.write(0)
    cleared = k.lapic.ESR.read("cleared")

    run = yield

    assert run[latched].ILLEGAL_REGISTER_ADDRESS == 1
    assert run[unlatched] == 0, f"before the write: {run[unlatched]}"
    assert run[cleared] == 0, f"after another write: {run[cleared]}"


@probe(
    spec="SDM vol. 3A, Error Handling; Local Vector Table (LVT Error Register)",
    covers=["lapic.lvt-error"],
    deviation=[
        Deviation(targets=TCG, kind="unimplemented", sees=r"assert \[\] == \[0x71\]", ref="lapic-error-interrupt"),
        Deviation(targets="*-kvm", kind="unimplemented", sees=r"assert \[\] == \[0x71\]", ref=KVM_ESR),
    ],
)
def error_raises_its_interrupt(k: Kernel) -> ProbeBody:
    """A detected error raises the interrupt of the LVT error register."""
    prepare(k)
    k.sti()
    k.trigger(read_reserved_register, k)
    k.settle()

    run = yield

    assert run.vectors == [VECTOR]


@probe.each(vector=[0, 1, 15])
@probe(
    spec="SDM vol. 3A, Error Handling (Send Illegal Vector, Received Illegal Vector); Valid Interrupt Vectors",
    covers=["lapic.illegal-vector"],
    deviation=[
        Deviation(
            targets=TCG,
            kind="unimplemented",
            sees=r"SEND_ILLEGAL_VECTOR=0|unexpected #DE|\[(1|15)\] == \[\]",
            ref="lapic-illegal-vector",
        ),
        Deviation(targets="*-kvm", kind="unimplemented", sees="SEND_ILLEGAL_VECTOR=0", ref=KVM_ESR),
    ],
)
def illegal_vector_is_an_error(k: Kernel, vector: int) -> ProbeBody:
    """A fixed IPI with a vector from 0 to 15 is not delivered: the ESR has Send or Received Illegal Vector."""
    prepare(k)
    k.lapic.LVT_ERROR.write(MASK=1)
    if vector:
        k.expect(vector)
    k.lapic.ESR.write(0)
    k.trigger(k.lapic.send, destination=0, VECTOR=vector, LEVEL=1)
    k.lapic.ESR.write(0)
    esr = k.lapic.ESR.read("esr")
    k.sti()
    k.settle()

    run = yield

    assert run[esr].SEND_ILLEGAL_VECTOR or run[esr].RECEIVED_ILLEGAL_VECTOR, run[esr]
    assert run.vectors == []
