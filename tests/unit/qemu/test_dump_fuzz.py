"""The dump parsers take time that grows with the length of the dump, and raise nothing but what they document.

Two things hold that together. No pattern repeats something whose end may also be its beginning, which is what makes a
regular expression take exponential time; that is read off the patterns themselves. And inputs that grow a thousandfold
are parsed in a process of its own, which a generous time-out ends only where the first thing has missed something.
"""

from __future__ import annotations

import importlib
import pkgutil
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.qemu import dumps, interrupt_log
from harness.qemu.dumps import parse_ioapics, parse_lapic, parse_memory, parse_pci, parse_pics, parse_registers
from harness.qemu.errors import DumpError, QemuError

DATA = Path(__file__).parent / "data"
PARSERS: dict[str, Callable[[str], object]] = {
    "registers": parse_registers,
    "lapic": parse_lapic,
    "pic": parse_pics,
    "ioapics": parse_ioapics,
    "memory": lambda text: parse_memory(text, 0x1000, 32),
}
RECORDED = [path.read_text(encoding="ascii") for path in sorted(DATA.glob("*.txt"))]
MEMORY = "".join(f"{0x1000 + 16 * n:016x}: 0x00000001 0x00000002 0x00000003 0x00000004\n" for n in range(2))
CHARACTERS = frozenset(map(chr, range(128)))


def parse(kind: str, text: str) -> None:
    """Raises where a parser raises what it does not document."""
    raised: QemuError | None = None
    try:
        PARSERS[kind](text)
    except QemuError as error:
        raised = error
    if raised is not None:
        assert isinstance(raised, DumpError) or (kind == "memory" and "nothing answers" in str(raised))
        assert len(str(raised)) < 2000


# --- no other errors ---

LINES = st.sampled_from([line for text in [*RECORDED, MEMORY] for line in text.splitlines()])
NUMBERS = st.sampled_from(["9" * 5000, "f" * 5000, "-1", "1_0", "\u0663", "0x", "", " ", "65" * 13, "(level)" * 9])
KINDS = st.sampled_from(sorted(PARSERS))


@given(kind=KINDS, lines=st.lists(LINES, max_size=60), number=NUMBERS, which=st.integers(0, 10_000))
def test_lines_with_a_strange_number(kind: str, lines: list[str], number: str, which: int) -> None:
    text = "\n".join(lines)
    fields = list(re.finditer(r"[0-9a-f]+", text))
    if fields:
        found = fields[which % len(fields)]
        text = text[: found.start()] + number + text[found.end() :]
    parse(kind, text)


@given(kind=KINDS, text=st.sampled_from([*RECORDED, MEMORY]), number=NUMBERS, which=st.integers(0, 10_000))
def test_a_recorded_dump_with_a_strange_number(kind: str, text: str, number: str, which: int) -> None:
    fields = list(re.finditer(r"[0-9a-f]+", text))
    found = fields[which % len(fields)]
    parse(kind, text[: found.start()] + number + text[found.end() :])


@given(kind=KINDS, text=st.text(max_size=300))
def test_any_text(kind: str, text: str) -> None:
    parse(kind, text)


def test_memory() -> None:
    assert parse_memory(MEMORY, 0x1000, 32)[4:8] == b"\2\0\0\0"
    with pytest.raises(DumpError, match="at most four words"):
        parse_memory(MEMORY.replace("0x00000002", "0x100000002"), 0x1000, 32)
    with pytest.raises(QemuError, match="nothing answers at physical address 0x1000"):
        parse_memory("0000000000001000: Cannot access memory", 0x1000, 4)


def test_a_vector_above_255_is_refused() -> None:
    text = (DATA / "lapic-7.2-tcg.txt").read_text(encoding="ascii")
    with pytest.raises(DumpError, match="vectors up to 255"):
        parse_lapic(re.sub(r"ISR\t 97", "ISR\t 256", text))


# --- query-pci ---

FUNCTION = {
    "bus": 0, "slot": 1, "function": 0, "id": {"vendor": 0x8086, "device": 0x100E}, "class_info": {"class": 0x200},
    "irq_pin": 1, "qdev_id": "net", "regions": [{"bar": 0, "type": "memory", "address": -1, "size": 4096}],
}  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=10,
)


def changed(value: Any, path: list[int], new: Any) -> Any:
    """The document with one part replaced, which a list of numbers leads to."""
    if not path or not isinstance(value, dict | list) or not value:
        return new
    if isinstance(value, list):
        at = path[0] % len(value)
        return [*value[:at], changed(value[at], path[1:], new), *value[at + 1 :]]
    key = sorted(value)[path[0] % len(value)]
    return {**value, key: changed(value[key], path[1:], new)}


def test_pci() -> None:
    bridge = {**FUNCTION, "slot": 2, "pci_bridge": {"devices": [{**FUNCTION, "bus": 1}]}}
    found = parse_pci([{"devices": [FUNCTION, bridge, {**FUNCTION, "slot": 3}]}])
    assert [(each.bus, each.slot) for each in found] == [(0, 1), (0, 2), (1, 1), (0, 3)]
    assert found[0].regions[0].size == 4096


@given(st.lists(st.integers(0, 20), max_size=6), JSON)
def test_pci_with_any_part_changed(path: list[int], new: Any) -> None:
    bridge = {**FUNCTION, "pci_bridge": {"devices": [FUNCTION]}}
    try:
        parse_pci(changed([{"devices": [FUNCTION, bridge]}], path, new))
    except DumpError:
        pass


@pytest.mark.parametrize("buses", [None, {}, [None], [{}], [{"devices": 1}], [{"devices": [[]]}], "x"])
def test_pci_that_is_none(buses: object) -> None:
    with pytest.raises(DumpError, match="query-pci"):
        parse_pci(buses)


def test_bridges_behind_bridges_need_no_stack() -> None:
    entry: dict[str, Any] = FUNCTION
    for _ in range(5000):
        entry = {**FUNCTION, "pci_bridge": {"devices": [entry]}}
    assert len(parse_pci([{"devices": [entry]}])) == 5001


# --- work ---


def patterns() -> dict[str, re.Pattern[Any]]:
    names = [f"{dumps.__name__}.{module.name}" for module in pkgutil.iter_modules(dumps.__path__)]
    modules = [importlib.import_module(name) for name in names] + [interrupt_log]
    return {
        f"{module.__name__.rpartition('.')[2]}.{name}": value
        for module in modules
        for name, value in vars(module).items()
        if isinstance(value, re.Pattern)
    }


def characters(items: Any) -> frozenset[str]:
    """What a set in a pattern matches, of ASCII."""
    found: set[str] = set()
    for name, value in items:
        match str(name):
            case "LITERAL":
                found.add(chr(value))
            case "RANGE":
                found |= set(map(chr, range(value[0], value[1] + 1)))
            case _:  # a class, or a set that is negated
                return CHARACTERS
    return frozenset(found)


def edge(sequence: Any, *, last: bool) -> tuple[frozenset[str], bool]:
    """The characters that a match of the sequence may begin (end) with; and whether it may be empty."""
    found: frozenset[str] = frozenset()
    for name, value in reversed(list(sequence)) if last else sequence:
        match str(name):
            case "LITERAL":
                inner, empty = frozenset(chr(value)), False
            case "IN":
                inner, empty = characters(value), False
            case "SUBPATTERN":
                inner, empty = edge(value[3], last=last)
            case "BRANCH":
                edges = [edge(branch, last=last) for branch in value[1]]
                inner, empty = frozenset().union(*(e[0] for e in edges)), any(e[1] for e in edges)
            case "MAX_REPEAT" | "MIN_REPEAT":
                inner, empty = edge(value[2], last=last)
                empty = empty or value[0] == 0
            case "AT" | "ASSERT_NOT":
                inner, empty = frozenset(), True
            case _:
                inner, empty = CHARACTERS, False
        found |= inner
        if not empty:
            return found, False
    return found, True


def repeats(sequence: Any) -> list[tuple[int, Any]]:
    """Every repetition in it: (how often at most, of what)."""
    found: list[tuple[int, Any]] = []
    for name, value in sequence:
        match str(name):
            case "MAX_REPEAT" | "MIN_REPEAT":
                found += [(int(value[1]), value[2]), *repeats(value[2])]
            case "SUBPATTERN":
                found += repeats(value[3])
            case "BRANCH":
                found += [each for branch in value[1] for each in repeats(branch)]
            case "ASSERT_NOT":
                found += repeats(value[1])
    return found


def is_ambiguous(pattern: str | bytes) -> bool:
    """Whether it repeats something, other than one character, whose end may also be its beginning."""
    for most, inner in repeats(re._parser.parse(pattern)):  # type: ignore[attr-defined]
        single = len(inner) == 1 and str(inner[0][0]) in ("LITERAL", "IN", "ANY", "NOT_LITERAL")
        if most <= 1 or single:
            continue
        first, empty = edge(inner, last=False)
        if empty or first & edge(inner, last=True)[0]:
            return True
    return False


@pytest.mark.parametrize("pattern", [r"(?:\d+ ?)+", r"(?:[0-9]{1,3} ?){4}", r"(?: *\d*)+", r"(a|a)*", r"(?:x+)+"])
def test_what_an_ambiguous_pattern_is(pattern: str) -> None:
    assert is_ambiguous(pattern)


@pytest.mark.parametrize("name", patterns())
def test_no_pattern_is_ambiguous(name: str) -> None:
    assert not is_ambiguous(patterns()[name].pattern)


GROWS = """
import sys
sys.path[:0] = [{root!r}, {here!r}]
from test_dump_fuzz import PARSERS, RECORDED, MEMORY, parse
UNITS = ["1", "12 ", "a", " ", "65(level) ", "(level)", "RAX=1 ", "0x1 ", "RAX=", "=", "\\t", "DPL=0 ", "Opmask00="]
lines = sorted({{line for text in [*RECORDED, MEMORY] for line in text.splitlines()}})
for kind in sorted(PARSERS):
    for line in lines:
        for unit in UNITS:
            for length in (30, 3000):
                for place in (len(line), line.rfind(" ") + 1, len(line) // 2):
                    parse(kind, line[:place] + unit * length + "!" + line[place:])
                    parse(kind, line[:place] + unit * length)
"""


def test_long_lines_of_every_kind_are_refused_at_once() -> None:
    root = str(Path(__file__).parents[3])
    script = GROWS.format(root=root, here=str(Path(__file__).parent))
    subprocess.run([sys.executable, "-c", script], check=True, timeout=500)
