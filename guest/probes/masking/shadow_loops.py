"""Interrupts at boundaries that come again and again: loops of STI and a jump, and an NMI by logical destination."""

from harness import DeliveryMode, DestinationMode, Kernel, ProbeBody, probe

VECTOR, NMI = 0x57, 2
ROUNDS = 500


@probe.each(behind=["ret", "jmp", "nop"])
@probe(spec="SDM vol. 2, STI—Set Interrupt Flag", covers=["masking.sti-loop"])
def sti_and_one_instruction_let_each_request_in(k: Kernel, behind: str) -> ProbeBody:
    """A pending request is taken behind the instruction that follows STI, in each of 500 rounds, before the CLI."""
    follows = {"ret": "call open\n", "jmp": "sti\njmp closed\n", "nop": "sti\nnop\n"}[behind]
    routine = "jmp over\nopen:\nsti\nret\nover:\n" if behind == "ret" else ""
    k.expect(VECTOR)
    k.cli()
    k.asm(f"{routine}mov ebx, {ROUNDS}\nround:")
    k.trigger(k.lapic.self_ipi, VECTOR)
    k.asm(f"{follows}closed:\ncli\ndec ebx\njnz round")

    run = yield

    assert run.count(VECTOR) == ROUNDS
    assert {interrupt.rip for interrupt in run.interrupts} == {run.address("closed")}


@probe.each(model=["flat", "cluster"])
@probe(
    spec="SDM vol. 3A, Interrupt Command Register (ICR): delivery mode NMI; Logical Destination Mode",
    covers=["masking.nmi-logical"],
)
def an_nmi_reaches_its_sender_by_logical_destination(k: Kernel, model: str) -> ProbeBody:
    """An IPI with delivery mode NMI whose logical destination is its sender arrives there, once, on vector 2."""
    identity = 0x04 if model == "flat" else 0x34
    k.expect(NMI)
    k.cli()
    k.lapic.DFR.write(0xFFFF_FFFF if model == "flat" else 0x0FFF_FFFF)
    k.lapic.LDR.write(identity << 24)
    logical = DestinationMode.LOGICAL
    k.trigger(k.lapic.send, destination=identity, DESTINATION_MODE=logical, DELIVERY_MODE=DeliveryMode.NMI, LEVEL=1)
    k.delay(us=20)

    run = yield

    assert run.vectors == [NMI]
    assert run.lapic.isr == set()
