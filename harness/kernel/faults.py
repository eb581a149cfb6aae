"""Expected faults and ring 3: the parts of `k` that leave the program's straight line."""

from __future__ import annotations

from collections.abc import Iterator

from harness import abi
from harness.kernel.blocks import block
from harness.kernel.checks import check_number
from harness.kernel.program import FaultBlock, Program

__all__ = ["Faults"]


class Faults:
    """Arms one expected exception at a time; runs blocks at privilege level 3."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def recover_at(self, label: str, vector: int | None = None) -> None:
        """Arm one expected exception (any, or `vector`): it is recorded, then the program goes on at `label`.

        At the label RSP and RFLAGS are those of now, CS and SS the kernel's. Interrupts need none: they return.
        """
        if vector is not None:
            check_number(self.program, "k.recover_at: the exception's vector", vector, 0, 31)
        self.program.step(f"recover at {label}", *self._arm(label, vector))

    @block
    def faults(self, vector: int | None = None, *, optional: bool = False) -> Iterator[None]:
        """A block in which an exception is expected: it is recorded, then the program goes on after the block.

        A run in which the end of the block is reached without an exception fails, unless `optional`.
        """
        if vector is not None:
            check_number(self.program, "k.faults: the exception's vector", vector, 0, 31)
        label = self.program.unique("after_fault")
        self.program.plain(*self._arm(label, vector))
        origin = self.program.origin()
        yield
        if not optional:
            flag = self.program.add_data(bytes(1))
            self.program.fault_blocks.append(FaultBlock(vector, origin, flag))
            self.program.plain(f"mov byte ptr [rip+{flag}], 1")
        self.program.plain(
            f"{label}:", *self._per_cpu("rax"), f"mov qword ptr [rax+{abi.PERCPU.offset('ARMED_LABEL')}], 0"
        )

    def _arm(self, label: str, vector: int | None) -> list[str]:
        offset = abi.PERCPU.offset
        return [
            *self._per_cpu("rax"),
            f"mov qword ptr [rax+{offset('ARMED_VECTOR')}], {0 if vector is None else vector + 1}",
            f"mov qword ptr [rax+{offset('ARMED_RSP')}], rsp",
            "pushfq",
            f"pop qword ptr [rax+{offset('ARMED_RFLAGS')}]",
            f"lea rcx, [rip+{label}]",
            f"mov qword ptr [rax+{offset('ARMED_LABEL')}], rcx",
        ]

    @staticmethod
    def _per_cpu(register: str) -> list[str]:
        """This processor's block, found by its task register."""
        assert register == "rax"
        return [
            "str eax",
            f"sub eax, {abi.SEL_TSS:#x}",
            "shl eax, 4",
            f"and eax, {(abi.CPUS - 1) << 8:#x}",
            f"add rax, {abi.PER_CPU:#x}",
        ]

    @block
    def ring3(self, *, interrupts: bool = False) -> Iterator[None]:
        """A block that runs at CPL 3, in 64-bit code at the user alias of the program's own addresses.

        It has a stack of its own; IF is clear unless `interrupts`. Leave it by reaching its end. Supervisor addresses
        (the program's values too) fault there: the same memory is at `USER_ALIAS` + address.
        """
        enter, leave = self.program.unique("ring3"), self.program.unique("ring0")
        offset = abi.PERCPU.offset
        flags = 0x202 if interrupts else 0x002
        self.program.plain(
            *self._per_cpu("rax"),
            "pushfq",
            f"mov qword ptr [rax+{offset('USER_RSP')}], rsp",
            f"lea rcx, [rip+{leave}]",
            f"mov qword ptr [rax+{offset('USER_RETURN')}], rcx",
            # The gate that ring 3 comes back through: DPL 3, not recorded.
            "lea rcx, [rip+user_exit]",
            f"mov word ptr [{abi.IDT + 16 * abi.USER_EXIT_VECTOR:#x}], cx",
            "shr rcx, 16",
            f"mov word ptr [{abi.IDT + 16 * abi.USER_EXIT_VECTOR + 6:#x}], cx",
            f"mov byte ptr [{abi.IDT + 16 * abi.USER_EXIT_VECTOR + 5:#x}], 0xEE",
            f"push {abi.SEL_USER_DATA + 3:#x}",
            # The stack below the exception stacks' page of this processor, by its user alias.
            f"movabs rcx, {abi.USER_ALIAS:#x}",
            "lea rdx, [rsp-0x808]",
            "and rdx, -16",
            "add rdx, rcx",
            "push rdx",
            f"push {flags:#x}",
            f"push {abi.SEL_USER_CODE + 3:#x}",
            f"lea rdx, [rip+{enter}]",
            "add rdx, rcx",
            "push rdx",
            "iretq",
            f"{enter}:",
        )
        yield
        self.program.plain(f"int {abi.USER_EXIT_VECTOR:#x}", f"{leave}:", "popfq")

    @block
    def compatibility_mode(self) -> Iterator[None]:
        """A block of 32-bit code at CPL 0: raw assembly only, leave it by reaching its end."""
        enter, leave = self.program.unique("compatibility"), self.program.unique("long")
        self.program.plain(
            f"push {abi.SEL_CODE32:#x}",
            f"lea rax, [rip+{enter}]",
            "push rax",
            ".byte 0x48, 0xCB",  # RETF with a 64-bit frame
            ".code32",
            f"{enter}:",
        )
        yield
        self.program.plain(f"jmp {abi.SEL_CODE:#x}:{leave}", ".code64", f"{leave}:")
