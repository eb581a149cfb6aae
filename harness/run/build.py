"""A case becomes a guest: the probe writes its program, up to the `yield`."""

from __future__ import annotations

import math
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness.evidence.guest import Guest
from harness.hardware.platform import PLATFORMS
from harness.image.image import Image
from harness.kernel.builder import Kernel
from harness.kernel.program import Program, ProgramError
from harness.probes.mistakes import MISTAKES, explain_mistake
from harness.probes.probe import Case
from harness.probes.probe_code import probe_code
from harness.probes.probe_error import ProbeError

if TYPE_CHECKING:
    from harness.evidence.run import Run
    from harness.qemu.target import Target

__all__ = ["Built", "build"]


@dataclass(frozen=True)
class Built(Guest):
    """A guest ready to boot, and the judgement that waits at the `yield`."""

    case: Case
    judgement: Generator[None, Run, None]
    parts_ms: dict[str, float] = field(default_factory=dict)


def build(
    case: Case, target: Target, omit: frozenset[int] = frozenset(), *, longest_wait_ms: float = math.inf
) -> Built:
    """Let the probe write its program and assemble it; `omit` leaves steps out.

    Raises what the probe raises, `ProgramError` with the line for its mistakes, `AssemblyError`.
    """
    started = time.perf_counter()
    program = Program(case.id, omit)
    kernel = Kernel(
        program,
        PLATFORMS[target.machine],
        case.probe.cpus,
        deterministic=target.deterministic,
        accelerator=target.accelerator,
        longest_wait_ms=longest_wait_ms,
    )
    try:
        with probe_code():
            judgement = case.probe.function(kernel, **case.params)
            next(judgement)
    except StopIteration:
        raise ProbeError(f"{case.id}: the probe ended before its yield") from None
    except MISTAKES as error:
        text = explain_mistake(error, case.probe.path)
        raise ProgramError(text).with_traceback(error.__traceback__) from None
    written = time.perf_counter()
    image = Image(program.finish())
    parts = {"build": (written - started) * 1e3, "assemble": (time.perf_counter() - written) * 1e3}
    return Built(program, image, case, judgement, parts)
