"""`LifeCycle`: a DMA transfer that is outstanding while the processor counts, as a story of marks."""

from __future__ import annotations

from collections.abc import Callable

from harness.kernel.builder import Kernel
from harness.kernel.patience import DEVICE_MS
from harness.kernel.window import Window

__all__ = ["LIFE_CYCLE_WORK", "LifeCycle"]

LIFE_CYCLE_WORK = 100_000  # what the processor counts while the transfer is outstanding


class LifeCycle:
    """The target of the transfer, and a handler that keeps how far the processor had counted.

    The guest's part of the story: the probe marks "set-up" and "start"; `work` marks "worked" and "data", the handler
    "handler". Values: `work`, the count at the end; `at_interrupt`, the count when the interrupt came; `held`, the
    first 8 bytes of the target while the transfer was outstanding.
    """

    def __init__(
        self, k: Kernel, vector: int, size: int, *, offset: int = 0, acknowledge: Callable[[], object] | None = None
    ) -> None:
        """`size`: bytes of the target, `offset`: bytes from a page boundary at which it begins.

        `acknowledge`: what the handler does besides; it takes the interrupt's cause away where that is not edge-like.
        """
        self.k = k
        self.vector = vector
        self.story = ["set-up", "start", "worked", vector, "handler", "data"]
        k.store(k.value("work"), 0)
        k.value("at_interrupt")
        k.value("held")
        with k.handler(vector):
            k.asm("mov rax, [work]\nmov [at_interrupt], rax")
            k.mark("handler")
            if acknowledge is not None:
                acknowledge()
        self.target = Window.make(k, "target", size, offset=offset)

    def work(self, interrupts: int, release: Callable[[], None] | None = None) -> None:
        """Count while the transfer is outstanding, read its target, let it go on, and count on until it is done.

        `interrupts`: how often the vector has come by then. `release` lets the transfer go on; without it the guest
        stops at the checkpoint "worked", where the host does.
        """
        k = self.k
        k.asm(f"""
        .Lwork:
            inc qword ptr [work]
            cmp qword ptr [work], {LIFE_CYCLE_WORK}
            jb .Lwork
            mov rax, [{self.target.address:#x}]
            mov [held], rax
        """)
        k.mark("worked")
        if release is None:
            k.checkpoint("worked")
        else:
            release()
        k.asm(f"""
            mov ecx, 4000000
        .Lwork:
            inc qword ptr [work]
            cmp dword ptr [COUNTS+{4 * self.vector}], {interrupts}
            loopne .Lwork
        """)
        k.wait_for(self.vector, interrupts, ms=DEVICE_MS)
        k.mark("data")
