"""Single stepping into an instruction that faults."""

from harness import SEL_SPARE, Kernel, ProbeBody, Rflags, probe


@probe(
    spec="SDM vol. 3A, Single-Step Exception Condition; SDM vol. 2A, POPF: Far return with a bad selector",
    covers=["exceptions.tf-fault"],
)
def a_fault_behind_popf_with_tf_has_no_trap(k: Kernel) -> ProbeBody:
    """POPF sets TF and the far return behind it faults: one #GP, whose frame has TF, and no single-step trap before."""
    selector = SEL_SPARE + 32  # an empty descriptor
    k.asm("mov r12, rsp")
    with k.trigger(), k.faults(13):
        k.asm(f"""
            lea rax, [rip+culprit]
            push {selector}
            push rax
            pushfq
            or qword ptr [rsp], 0x100
            popfq
        culprit:
            retfq
        """)
    k.asm("mov rsp, r12")

    run = yield

    assert run.fields("vector", "error_code", "rip") == [(13, selector, run.address("culprit"))]
    assert Rflags(run.interrupts[0].rflags).TF == 1
