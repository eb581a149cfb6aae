"""Recorded deviations: which target, case and version of QEMU each is claimed for."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from fnmatch import fnmatch
from functools import cached_property
from typing import Literal, TypeAlias, get_args

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from harness.probes.probe_error import ProbeError

__all__ = ["KINDS", "Deviation", "Kind"]

Kind: TypeAlias = Literal["bug", "unimplemented", "by design", "manual silent or contradictory"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_DOCUMENT = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+\Z")  # its file name, without folder and suffix


@dataclass(frozen=True, kw_only=True)
class Deviation:
    """A known difference between a target and the manual: strict, so its disappearance is a failure.

    `targets` is a glob over kinds of target, machine-accelerator[-rt] as `q35-tcg` or `pc-tcg-rt` (several separated
    by spaces); the name of the target does not count. `sees` is a regular expression that the
    failure message must match: any other failure on the same target stays a `fail`. The judgement continues after an
    assertion that it excuses, so where the same cause makes later assertions fail, `sees` is a list with an expression
    for each of them, and each must be seen. `ref` is the upstream issue, the
    commit, or the document: a name in lower case with hyphens, as `lapic-relocation`, is
    `docs/deviations/lapic-relocation.md`, and is stored as that path. `kind` is one of `KINDS`: "bug" and
    "unimplemented" are faults of the target, of which "unimplemented" leaves the whole function out; "by design" is a
    choice that its authors state. `versions` are those of QEMU that have it: "*" for all, else specifier sets as
    packages have them, with "or" between the sets of different stable branches: `">=8,<10.0.7 or >=10.1,<10.1.3"`.
    `cases` is a glob over the bracketed part of the case id, `vendor` one over the vendor of the CPU model (CPUID leaf
    0: `GenuineIntel`). `linux` are the releases of the host's Linux whose KVM has it, written as `versions` are; a
    release of a distribution counts with its leading numbers, `6.1.0-57-amd64` as 6.1.0.
    """

    targets: str
    sees: str | Sequence[str]
    ref: str
    kind: Kind
    versions: str = "*"
    cases: str = "*"
    vendor: str = "*"
    linux: str = "*"

    def __post_init__(self) -> None:
        """Raise `ProbeError` for a field of a wrong type or content."""
        for name in (field.name for field in fields(self)):
            value = getattr(self, name)
            if name == "sees" and isinstance(value, list | tuple) and value:
                texts: Sequence[object] = value
            else:
                texts = [value]
            if not all(isinstance(text, str) and text.strip() for text in texts):
                raise ProbeError(f"Deviation({name}={value!r}): expected a text that is not empty")
        if self.kind not in KINDS:
            near = get_close_matches(self.kind, KINDS, n=1, cutoff=0.3)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ProbeError(f"Deviation(kind={self.kind!r}): no such kind{hint} Expected one of {', '.join(KINDS)}")
        object.__setattr__(self, "sees", self.sees if isinstance(self.sees, str) else tuple(self.sees))
        for pattern in self.patterns:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ProbeError(f"Deviation(sees={pattern!r}): is not a regular expression: {error}") from error
        _ = self._branches, self._kernels
        if _DOCUMENT.match(self.ref):
            object.__setattr__(self, "ref", f"docs/deviations/{self.ref}.md")

    @property
    def patterns(self) -> tuple[str, ...]:
        """The regular expressions of `sees`."""
        return (self.sees,) if isinstance(self.sees, str) else tuple(self.sees)

    @cached_property
    def _branches(self) -> tuple[SpecifierSet, ...]:
        """The specifier set of each branch of QEMU; none for all versions."""
        return _specifiers("versions", self.versions)

    @cached_property
    def _kernels(self) -> tuple[SpecifierSet, ...]:
        """The specifier set of each branch of Linux; none for all releases."""
        return _specifiers("linux", self.linux)

    def applies(self, target: str, case: str, version: str) -> bool:
        """Whether the deviation is claimed for this case on this target with this version of QEMU (`"7.2.22"`)."""
        return (
            any(fnmatch(target, glob) for glob in self.targets.split())
            and fnmatch(case, self.cases)
            and self.in_version(version)
        )

    def of_vendor(self, vendor: str) -> bool:
        """Whether the deviation is claimed for CPU models of this vendor."""
        return fnmatch(vendor, self.vendor)

    def in_version(self, version: str) -> bool:
        """Whether the deviation is claimed for this version of QEMU."""
        return _contains(self._branches, version)

    def in_linux(self, release: str) -> bool:
        """Whether the deviation is claimed for KVM of this release of Linux, as `uname -r` prints it."""
        if not self._kernels:
            return True
        numbers = re.match(r"\d+(\.\d+)*", release)
        return numbers is not None and _contains(self._kernels, numbers[0])

    def matching(self, reason: str) -> tuple[str, ...]:
        """Which of `patterns` this failure matches; none where it is not what was recorded."""
        return tuple(pattern for pattern in self.patterns if re.search(pattern, reason))


def _specifiers(field: str, text: str) -> tuple[SpecifierSet, ...]:
    """The specifier set of each branch; none for "*". Raises ProbeError for a text that cannot be compared."""
    if text == "*":
        return ()
    try:
        branches = tuple(SpecifierSet(branch) for branch in re.split(r"\s+or\s+", text.strip()))
    except InvalidSpecifier as error:
        raise _bad_specifiers(field, text, str(error)) from error
    for branch in branches:
        if not len(branch) or any(not re.fullmatch(r"\d+(\.\d+)*", part.version) for part in branch):
            raise _bad_specifiers(field, text, "a branch compares with numbers only")
    return branches


def _bad_specifiers(field: str, text: str, reason: str) -> ProbeError:
    return ProbeError(
        f"Deviation({field}={text!r}): cannot be compared: {reason}. "
        "Expected: '*', or specifiers such as '<10' or '>=8,<10.0.7 or >=10.1,<10.1.3'"
    )


def _contains(branches: tuple[SpecifierSet, ...], version: str) -> bool:
    return not branches or any(branch.contains(version, prereleases=True) for branch in branches)
