"""Interrupt vectors as text: exceptions by their number, all others in hexadecimal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import SupportsIndex, TypeVar, overload

from harness.evidence.failures import ProbeBroken

__all__ = ["Records", "Vectors", "explain_vectors", "missing_vector"]

_MANY = 5  # runs of at least this many equal entries are collapsed
_MOST = 24  # entries that are shown of one list
_EXCEPTIONS = 32  # vectors below are exceptions and the NMI (SDM vol. 3A, "Exception and Interrupt Vectors")
_LAST = 255

T = TypeVar("T", bound=int | str)
E = TypeVar("E")


class Records(tuple[E, ...]):
    """Records of events. They never equal a list of vectors: a comparison with one raises ProbeBroken."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        if isinstance(other, list | tuple):
            plain = next((item for item in other if isinstance(item, int | str)), None)
            if plain is not None:
                vectors = "run.sequence" if any(isinstance(item, str) for item in other) else "run.vectors"
                raise ProbeBroken(
                    f"a list of records is compared with {_shown(plain)}, which is no record. To fix: compare "
                    f"{vectors} (run.sequence has vectors and names of marks)"
                )
            return list(self) == list(other)
        return NotImplemented

    __hash__ = tuple.__hash__


class Vectors(list[T]):
    """A list of vectors, and of the names of marks among them, that shows `[14, 'unmasked', 0x50 × 101]`."""

    def __repr__(self) -> str:
        return _bracketed(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Vectors[T]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> T | Vectors[T]:
        return Vectors(super().__getitem__(index)) if isinstance(index, slice) else super().__getitem__(index)


def _shown(item: object) -> str:
    return f"{item:#x}" if type(item) is int and item >= _EXCEPTIONS else repr(item)


def explain_vectors(op: str, left: object, right: object) -> list[str] | None:
    """The explanation of a failed `==` of two lists where one of them is `Vectors`; else `None`.

    The form is that of pytest's hook `pytest_assertrepr_compare`: the comparison, then its differences.
    """
    if op != "==" or not (isinstance(left, Vectors) or isinstance(right, Vectors)):
        return None
    if not (isinstance(left, list) and isinstance(right, list)):
        return None
    lines = [f"{_bracketed(left)} == {_bracketed(right)}", ""]
    for index, (came, wanted) in enumerate(zip(left, right, strict=False)):
        if came != wanted:
            return [*lines, f"First difference at {index}: {_shown(came)} came, {_shown(wanted)} was expected"]
    came, wanted = len(left), len(right)
    if came > wanted:
        return [*lines, f"{_items(left[wanted:])} came after all that was expected"]
    return [*lines, f"{_items(right[came:])} did not come"]


def missing_vector(op: str, left: object, right: object) -> int | None:
    """The first interrupt vector that a failed `==` of two lists expected more often than it came.

    `None` where neither is `Vectors`, and where no interrupt is missing: exceptions have no path of delivery.
    """
    if op != "==" or not (isinstance(left, list) and isinstance(right, list)):
        return None
    came, wanted = (left, right) if isinstance(left, Vectors) else (right, left)
    if not isinstance(came, Vectors):
        return None
    numbers = [item for item in wanted if type(item) is int and _EXCEPTIONS <= item <= _LAST]
    lacking = Counter(numbers) - Counter(came)
    return next((vector for vector in numbers if vector in lacking), None)


def _bracketed(items: Sequence[object]) -> str:
    return f"[{_items(items)}]"


def _items(items: Sequence[object]) -> str:
    shown: list[str] = []
    for text, run in groupby(map(_shown, items)):
        times = len(list(run))
        shown += [text] * times if times < _MANY else [f"{text} × {times}"]
    if len(shown) > _MOST:
        shown[_MOST // 2 : -_MOST // 2] = ["…"]
    return ", ".join(shown)
