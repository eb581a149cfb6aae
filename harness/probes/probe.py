"""What a probe is: the decorator, its declarations, its cases."""

from __future__ import annotations

import re
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from enum import Enum
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from harness.probes.deviation import Deviation
from harness.probes.probe_error import ProbeError

if TYPE_CHECKING:
    from harness.evidence.run import Run

__all__ = ["Case", "Probe", "ProbeBody", "probe"]

ProbeBody: TypeAlias = "Generator[None, Run, None]"


HEXADECIMAL = frozenset(
    ("address", "arrives", "base", "command", "index", "limit", "mask", "msr", "number", "port", "rip", "service")
) | {"task", "tpr", "value", "vector"}
"""Parameters whose numbers are in hexadecimal in a case's id, from 10 on. Any number above FFFFh is."""

BOOT_PATHS = ("rom", "multiboot", "pvh")
"""What `boots=` may name."""


@dataclass(frozen=True)
class Probe:
    """One probe function with everything its decorator declared."""

    function: Callable[..., ProbeBody]
    spec: str
    needs: tuple[str, ...] = ()
    cpus: int = 1
    deviations: tuple[Deviation, ...] = ()
    covers: tuple[str, ...] = ()
    parameters: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    interactive: bool = False  # COM1 both ways: the host may send
    watchdog_s: float = 10.0  # wall-clock seconds without any sign of the guest
    boots: tuple[str, ...] = ("rom",)  # the boot paths that the probe is run through
    cold: bool = False  # a QEMU of its own for each run
    # filled in by the loader
    path: Path = Path()
    root: Path = Path()

    @property
    def name(self) -> str:
        """The function's name."""
        return self.function.__name__

    @cached_property
    def relative(self) -> str:
        """The file as ids show it: below the probes' root, with forward slashes."""
        return self.path.relative_to(self.root).as_posix() if self.path.is_relative_to(self.root) else self.path.name

    @cached_property
    def area(self) -> str:
        """The folder that the probe's file is in, below the probes' root."""
        parent = Path(self.relative).parent.as_posix()
        return self.root.name if parent == "." else parent

    @cached_property
    def id(self) -> str:
        """`timers/hpet.py::one_shot_fires_once`."""
        return f"{self.relative}::{self.name}"

    @cached_property
    def rule(self) -> str:
        """The rule in one sentence: the docstring's first paragraph."""
        text = (self.function.__doc__ or "").strip().split("\n\n")[0]
        return " ".join(text.split())

    @property
    def line(self) -> int:
        """Line of the function in its file."""
        return self.function.__code__.co_firstlineno

    def cases(self) -> tuple[Case, ...]:
        """One case for each combination of parameters and boot paths; a single one where there are none."""
        names = list(self.parameters)
        return tuple(
            Case(self, dict(zip(names, values, strict=True)), boot)
            for boot in self.boots
            for values in product(*self.parameters.values())
        )


@dataclass(frozen=True)
class Case:
    """A probe with its parameters chosen: what one run runs."""

    probe: Probe
    params: Mapping[str, Any]
    boot: str = "rom"

    @cached_property
    def label(self) -> str:
        """The text in the id's brackets: `pin20`, `vector0x50`, `divide128-q`; empty without parameters."""
        parts = [_label(name, value) for name, value in self.params.items()]
        if len(self.probe.boots) > 1 or self.boot != "rom":
            parts.append(self.boot)
        return "-".join(parts)

    @cached_property
    def id(self) -> str:
        """`timers/hpet.py::one_shot_fires_once[pin20]`."""
        return f"{self.probe.id}[{self.label}]" if self.label else self.probe.id


def _label(name: str, value: object) -> str:
    if isinstance(value, bool):
        return name if value else f"no_{name}"
    if isinstance(value, int) and not isinstance(value, Enum):
        stem = f"{name}_" if name[-1].isdigit() else name
        return f"{stem}{value:#x}" if (value >= 10 and name in HEXADECIMAL) or value > 0xFFFF else f"{stem}{value}"
    text = getattr(value, "name", None) or getattr(value, "__name__", None) or str(value)
    return re.sub(r"[^\w.+=]+", "_", str(text))


def _texts(option: str, given: object) -> tuple[str, ...]:
    """A list of different texts. Raises ProbeError for anything else: a single text would be taken letter by letter."""
    entries = tuple(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
    if entries is None or not all(isinstance(entry, str) for entry in entries):
        raise ProbeError(f"{option}={given!r}: expected a list of texts, as {option}=[{str(given)!r}]")
    if len(set(entries)) < len(entries):
        raise ProbeError(f"{option}={list(entries)}: an entry comes twice")
    return entries


class _Decorator:
    """`@probe(…)` and `@probe.each(name=[…])`."""

    def __call__(
        self,
        *,
        spec: str,
        needs: Iterable[str] = (),
        cpus: int = 1,
        deviation: Deviation | Iterable[Deviation] = (),
        covers: Iterable[str] = (),
        interactive: bool = False,
        watchdog_s: float = 10.0,
        boots: Iterable[str] = ("rom",),
        cold: bool = False,
    ) -> Callable[[Callable[..., ProbeBody] | Probe], Probe]:
        """Declare a probe.

        `spec` cites document and section title. `needs` names devices (see `trapgate doctor`), `cpus` is 1 to 8.
        `covers` names the coverage ids that the probe answers. `interactive` gives the guest a COM1 that the host can
        write to. `cold` boots a QEMU of its own, where the test could be affected by state that survives a reset.
        """
        deviations = (deviation,) if isinstance(deviation, Deviation) else tuple(deviation)
        for entry in deviations:
            if not isinstance(entry, Deviation):
                raise ProbeError(f"deviation={deviation!r}: expected Deviation(…), or a list of them")
        devices, paths, ids = _texts("needs", needs), _texts("boots", boots), _texts("covers", covers)
        if not paths:
            raise ProbeError(f"boots=[]: the probe would not run. Expected: at least one of {', '.join(BOOT_PATHS)}")
        for path in paths:
            if path not in BOOT_PATHS:
                near = get_close_matches(path, BOOT_PATHS, n=1, cutoff=0.3)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ProbeError(f"boots: no boot path is named {path!r}{hint} Known: {', '.join(BOOT_PATHS)}")
        if not isinstance(watchdog_s, int | float) or not 0 < watchdog_s <= 3600:
            raise ProbeError(f"watchdog_s={watchdog_s!r}: expected seconds, more than 0 and at most 3600")

        def declare(function: Callable[..., ProbeBody] | Probe) -> Probe:
            base = function if isinstance(function, Probe) else Probe(function, "")
            if not spec.strip():
                raise ProbeError(f"{base.name}: spec= must cite a manual and section")
            if not 1 <= cpus <= 8:
                raise ProbeError(f"{base.name}: cpus={cpus}; 1 to 8 are supported")
            return replace(
                base,
                spec=spec,
                needs=devices,
                cpus=cpus,
                deviations=deviations,
                covers=ids,
                interactive=interactive,
                watchdog_s=watchdog_s,
                boots=paths,
                cold=cold,
            )

        return declare

    def each(self, **parameters: Iterable[Any]) -> Callable[[Callable[..., ProbeBody] | Probe], Probe]:
        """Make a family: one case for each value (several names: each combination)."""

        def declare(function: Callable[..., ProbeBody] | Probe) -> Probe:
            base = function if isinstance(function, Probe) else Probe(function, "")
            for name, values in parameters.items():
                if isinstance(values, str) or not isinstance(values, Iterable):
                    text = f"expected a list of values, as {name}=[{values!r}]"
                    raise ProbeError(f"{base.name}: @probe.each({name}={values!r}): {text}")
            chosen = {name: tuple(values) for name, values in parameters.items()}
            for name, values in chosen.items():
                if not values:
                    raise ProbeError(f"{base.name}: @probe.each({name}=…) has no values, so nothing would run")
            return replace(base, parameters={**chosen, **base.parameters})

        return declare


probe = _Decorator()
