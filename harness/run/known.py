"""Compares the outcome of a run with what is recorded: of QEMU, and of a KVM without hardware behind it."""

from __future__ import annotations

import platform
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from harness.evidence.failures import MonitorBroke
from harness.probes.deviation import Deviation
from harness.probes.own_records import OwnRecord
from harness.probes.probe import Case
from harness.qemu.errors import QemuDied
from harness.qemu.features import cpu_vendor, features
from harness.qemu.target import Target
from harness.run.host_faults import REFERENCE, fault_of, kvm_is_software
from harness.run.outcome import Outcome, recorded
from harness.run.record import Verdict

__all__ = ["KnownDifferences", "Seen"]


class Seen(NamedTuple):
    """One expression of a recorded deviation, matched by a failed assertion."""

    deviation: Deviation
    pattern: str


@dataclass(frozen=True)
class KnownDifferences:
    """What is recorded of one target: the deviations of its probes, those of the user, and the faults of its host."""

    target: Target
    own: Iterable[OwnRecord] = ()

    @property
    def software_kvm(self) -> bool:
        """Whether the guests of the target execute in a KVM without hardware virtualisation."""
        return self.target.accelerator == "kvm" and kvm_is_software()

    def judge(self, case: Case, verdict: Verdict, reason: str, error: BaseException | None) -> Outcome:
        """The outcome: a deviation where the failure is recorded, a `fail` where a recorded deviation is gone."""
        outcome = Outcome(verdict, reason)
        if verdict is Verdict.FAIL or isinstance(error, MonitorBroke | QemuDied):
            seen = self._seen(case, reason)
            outcome = recorded(reason, seen[0].deviation.ref) if seen else outcome
        return self._of_host(case, outcome, error)

    def _of_host(self, case: Case, outcome: Outcome, error: BaseException | None) -> Outcome:
        """A fault of this host's software KVM, where it is recorded as one."""
        excusable = outcome.verdict is Verdict.FAIL or isinstance(error, MonitorBroke)
        if self.software_kvm and excusable and fault_of(case, outcome.reason) is not None:
            return recorded(outcome.reason, REFERENCE)
        return outcome

    def excuse(self, case: Case, reason: str) -> Sequence[Seen]:
        """The recorded deviations that a failed assertion shows; if there is one, the judgement continues after it.

        A KVM without hardware behind it excuses nothing here: what it breaks, it breaks for all that follows.
        """
        return () if self.software_kvm else self._seen(case, reason)

    def gone(self, case: Case, seen: Container[Seen], now: Callable[[], str]) -> Outcome | None:
        """A `fail` where something that is recorded of this case was not `seen`. `now`: what was seen instead.

        Nothing is missed on a KVM without hardware behind it: it is not the KVM of the records.
        """
        if self.software_kvm:
            return None
        for deviation, whose in self._applicable(case):
            missing = [pattern for pattern in deviation.patterns if Seen(deviation, pattern) not in seen]
            if missing:
                part = " in part" if len(missing) < len(deviation.patterns) else ""
                text = (
                    f"the recorded deviation has disappeared{part}: {', '.join(map(repr, missing))} on "
                    f"{deviation.targets} ({deviation.ref}); remove it from the {whose}, or bound it by `versions`. "
                    f"Seen now: {now()}"
                )
                return Outcome(Verdict.FAIL, text, deviation.ref)
        return None

    def _seen(self, case: Case, reason: str) -> Sequence[Seen]:
        """What a failure, or the end of a QEMU that the guest ends, shows of the recorded deviations."""
        return [
            Seen(deviation, pattern)
            for deviation, _ in self._applicable(case)
            for pattern in deviation.matching(reason)
        ]

    def _applicable(self, case: Case) -> Iterator[tuple[Deviation, str]]:
        """The deviations that are claimed for a case on this target, with the place that holds them."""
        own = [record.deviation for record in self.own if record.covers(case.probe.id)]
        if not case.probe.deviations and not own:
            return
        version = features(str(self.target.find_binary())).version
        for whose, deviations in (("probe", case.probe.deviations), ("file of records", own)):
            for deviation in deviations:
                if not deviation.applies(self.target.kind, case.label, version):
                    continue
                if self.target.accelerator == "kvm" and not deviation.in_linux(platform.release()):
                    continue
                if deviation.vendor == "*" or deviation.of_vendor(cpu_vendor(self.target)):
                    yield deviation, whose
