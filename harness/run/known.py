"""Compares the outcome of a run with what is recorded: of QEMU, and of a KVM without hardware behind it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from harness.evidence.failures import MonitorBroke
from harness.probes.own_records import OwnRecord
from harness.probes.probe import Case
from harness.qemu.errors import QemuDied
from harness.qemu.features import cpu_vendor, features
from harness.qemu.target import Target
from harness.run.host_faults import REFERENCE, fault_of, kvm_is_software
from harness.run.outcome import Outcome, recorded
from harness.run.record import Verdict

__all__ = ["KnownDifferences"]


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
        if verdict in (Verdict.PASS, Verdict.FAIL) or isinstance(error, MonitorBroke | QemuDied):
            outcome = self._deviation(case, verdict, reason)
        excusable = outcome.verdict is Verdict.FAIL or isinstance(error, MonitorBroke)
        if self.software_kvm and excusable and fault_of(case, outcome.reason) is not None:
            return recorded(outcome.reason, REFERENCE)
        return outcome

    def _deviation(self, case: Case, verdict: Verdict, reason: str) -> Outcome:
        """With the deviations of this target: of a failure, or of a QEMU that the guest ends."""
        own = [record.deviation for record in self.own if record.covers(case.probe.id)]
        if not case.probe.deviations and not own:
            return Outcome(verdict, reason)
        version = features(str(self.target.find_binary())).version
        for deviation in (*case.probe.deviations, *own):
            if not deviation.applies(self.target.kind, case.label, version):
                continue
            if deviation.vendor != "*" and not deviation.of_vendor(cpu_vendor(self.target)):
                continue
            if verdict is not Verdict.PASS and deviation.matches(reason):
                return recorded(reason, deviation.ref)
            if verdict is Verdict.PASS:
                return Outcome(
                    Verdict.FAIL,
                    f"the recorded deviation has disappeared: {deviation.sees!r} on {deviation.targets} "
                    f"({deviation.ref}); remove it from the {'file of records' if deviation in own else 'probe'}",
                    deviation.ref,
                )
        return Outcome(verdict, reason)
