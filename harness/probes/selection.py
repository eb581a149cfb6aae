"""Finds the probes that names select: suffixes, globs, case brackets and `-k` expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path

from harness.probes.probe import Case, Probe
from harness.probes.probe_places import name_on_disk, shipped_root, shown

__all__ = ["Keywords", "SelectionError", "name_of", "select"]


class SelectionError(Exception):
    """Names or an expression that select nothing, or not clearly: a usage error."""


class Keywords:
    """A `-k` expression: `and`, `or`, `not`, parentheses, and substrings of a case's id or of the target's name.

    Case is ignored, as in pytest. Raises SelectionError where the expression is malformed.
    """

    def __init__(self, expression: str) -> None:
        # pytest has no public parser of its -k language. Loaded here, because pytest is large.
        from _pytest.mark.expression import Expression

        self.text = expression
        try:
            self._expression = Expression.compile(expression)
        except Exception as error:  # SyntaxError or pytest's own ParseError, as its version has it
            raise SelectionError(f"-k {expression!r}: {error}; write for example -k 'hpet and not legacy'") from error

    def match(self, case: Case, target: str = "") -> bool:
        """Whether the case on that target is wanted."""
        names = f"{case.id} {target}".lower()

        def has(name: str, /, **kwargs: str | int | bool | None) -> bool:
            if kwargs:
                raise SelectionError(f"-k {self.text!r}: {name}(…) with arguments selects markers; probes have none")
            return name.lower() in names

        return self._expression.evaluate(has)


def select(probes: Sequence[Probe], names: Iterable[str] = (), keywords: Keywords | None = None) -> list[Case]:
    """The cases that the names mean, in the probes' own order, each once; without names, all.

    A name is a path on disk of a folder or a file, with `::PROBE` and `[CASE]` behind it or not. Where nothing of that
    path exists it is an id: an area (`timers`), a file (`timers/hpet.py`), a probe (`timers/hpet.py::one_shot`), one
    case of it (`…::one_shot[pin20]`), a unique end of any of these (`hpet.py`, `one_shot`), or a glob over them with
    `*` and `?`. `keywords` is applied to the cases that the names select, for every target alike.

    Raises SelectionError where a name is unknown (with near matches) or ambiguous, and where nothing is left.
    """
    cases = [case for found in probes for case in found.cases()]
    wanted = list(names)
    if wanted:
        chosen = {case.id for name in wanted for case in _named(cases, name)}
        cases = [case for case in cases if case.id in chosen]
    if keywords is not None:
        left = [case for case in cases if keywords.match(case)]
        if cases and not left:
            raise SelectionError(f"-k {keywords.text!r} matches none of {_count(len(cases), 'case')}")
        cases = left
    if not cases:
        raise SelectionError("no probes were found, so nothing would be checked")
    return cases


def _named(cases: Sequence[Case], name: str) -> list[Case]:
    if not name:
        raise SelectionError(_unknown(cases, name))
    here = _below(cases, name)
    if here is not None:
        return here
    if name.startswith((".", "/")):  # a path, not an id: it must not select from the catalogue
        raise SelectionError(f"{name}: holds no probe. Expected: a file of probes, or a folder with some below it")
    plain, bracket, label = name.partition("[")
    form = plain.rstrip("/")
    if re.search(r"[*?]", form + label):
        found = _glob(cases, form + bracket + label)
    else:
        found = _exact(cases, form) or _suffix(cases, plain, name)
        if bracket and found:
            found = _with_label(found, label.removesuffix("]"), name)
    if found:
        return found
    raise SelectionError(_unknown(cases, name))


def _below(cases: Sequence[Case], name: str) -> list[Case] | None:
    """The cases of an existing file or folder; None where the name is none, or a folder that holds no probe."""
    place = name_on_disk(name)
    if place is None:
        return None
    path, rest = place
    found = [case for case in cases if case.probe.path.is_relative_to(path)]
    if not found or not rest:
        return found or None
    plain, bracket, label = rest.partition("[")
    if re.search(r"[*?]", rest):
        chosen = _glob(found, f"*{'::' * bool(plain)}{rest}")
    else:
        chosen = [case for case in found if plain in ("", case.probe.name)]
        if bracket and chosen:
            chosen = _with_label(chosen, label.removesuffix("]"), name)
    if not chosen:
        raise SelectionError(_unknown(found, name))
    return chosen


def _exact(cases: Sequence[Case], name: str) -> list[Case]:
    return [
        case
        for case in cases
        if name in (case.probe.id, case.probe.relative, case.probe.area) or case.probe.relative.startswith(f"{name}/")
    ]


def _suffix(cases: Sequence[Case], plain: str, name: str) -> list[Case]:
    """The probes of the one file, or the one probe, whose id ends with the name."""
    if not plain or re.search(r"[*?]", name):
        return []
    found: dict[str, list[Case]] = {}
    for case in cases:
        identity = case.probe.id
        if identity.endswith((f"/{plain}", f"::{plain}")) or (case.probe.name == plain):
            found.setdefault(identity, []).append(case)
        elif case.probe.relative.endswith(f"/{plain}"):
            found.setdefault(case.probe.relative, []).append(case)
    if len(found) > 1:
        listed = "\n".join(f"  {identity}" for identity in sorted(found))
        raise SelectionError(
            f"{name!r} is ambiguous:\n{listed}\nTo fix: write a longer name, or a glob for all of them"
        )
    return next(iter(found.values()), [])


def _with_label(cases: Sequence[Case], label: str, name: str) -> list[Case]:
    found = [case for case in cases if case.label == label]
    if not found:
        labels = [case.label for case in cases if case.label]
        hint = "it has no cases" if not labels else "its cases are " + ", ".join(f"[{text}]" for text in labels)
        raise SelectionError(f"{name!r}: {cases[0].probe.id} has no case [{label}]; {hint}")
    return found


def _glob(cases: Sequence[Case], pattern: str) -> list[Case]:
    """Only `*` and `?` are special: brackets belong to case ids."""
    translated = "".join({"*": ".*", "?": "."}.get(c, re.escape(c)) for c in pattern.rstrip("/"))
    regex = re.compile(rf"(?:.*[/:])?{translated}", re.DOTALL)
    return [
        case
        for case in cases
        if any(
            regex.fullmatch(text)
            for text in (case.id, case.probe.id, case.probe.relative, case.probe.area, case.probe.name)
        )
    ]


def name_of(case: Case) -> str:
    """A name that selects this case here: its id if it is of the catalogue, else its file's path."""
    probe = case.probe
    here = name_on_disk(case.id)
    if probe.root == shipped_root() and (here is None or here[0] == probe.path):
        return case.id
    return shown(probe.path) + case.id.removeprefix(probe.relative)


def _unknown(cases: Sequence[Case], name: str) -> str:
    known: dict[str, str] = {}
    for case in cases:
        for text in (case.id, case.probe.id, case.probe.relative, case.probe.area):
            known.setdefault(text, text)
        known.setdefault(case.probe.name, case.probe.id)
        file = Path(case.probe.relative)
        known.setdefault(file.name, case.probe.relative)
        known.setdefault(file.stem, case.probe.relative)
    near = dict.fromkeys(known[text] for text in get_close_matches(name, list(known), n=6, cutoff=0.55))
    hint = "did you mean\n" + "\n".join(f"  {text}" for text in list(near)[:4]) if near else "see `trapgate list`"
    return f"no probe is named {name!r}; {hint}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
