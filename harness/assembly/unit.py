"""A whole unit: every line parsed, encoded, laid out, and all its problems told at once."""

from __future__ import annotations

import difflib
from array import array
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from harness.assembly.directives import MODES, directive_item
from harness.assembly.encode import Key, encode
from harness.assembly.errors import AssemblyError, Problem, Refusal
from harness.assembly.expression import (
    Here,
    LocalReference,
    Name,
    Node,
    Number,
    Value,
    evaluate,
    has_position,
    names_of,
)
from harness.assembly.items import Align, Code, Item, Jump, Marker, Org, Place, Space
from harness.assembly.listing import Assembled, Table
from harness.assembly.operands import Immediate
from harness.assembly.repeat import expand
from harness.assembly.source import SourceLine
from harness.assembly.statement import Assignment, Directive, Instruction, Statement
from harness.assembly.transfers import TRANSFERS, transfer

__all__ = ["Unit"]

_PASSES: Final = 200
_CHAIN: Final = 50


class Unit:
    """One unit on its way from lines to bytes."""

    def __init__(
        self,
        source: Sequence[SourceLine],
        address: int,
        mode: int,
        constants: Mapping[str, int],
        symbols: Mapping[str, int],
    ) -> None:
        self.source = source
        self.address = address
        self.mode = mode
        self.constants = constants
        self.symbols = symbols
        self.problems: list[tuple[int, Problem]] = []
        self.items: list[Item] = []
        self.labels: dict[str, tuple[int, int]] = {}  # name: item index, line
        self.local_labels: dict[tuple[int, str], tuple[int, int]] = {}
        self.numeric_labels: dict[tuple[int, int], list[int]] = {}
        self.assignments: dict[tuple[int, str], tuple[Node, Place]] = {}
        self.known: dict[str, int] = dict(constants)
        self.several: set[tuple[int, str]] = set()
        self.changing: dict[str, int] = {}
        self.evaluating: set[tuple[int, str]] = set()
        self.pending: list[tuple[int, Key, Instruction]] = []
        self.dead: set[int] = set()

    def assemble(self) -> Assembled:
        """The assembled unit; raises `AssemblyError` with all problems."""
        statements = expand(self.source, self.constants, self.symbols, self.refuse)
        self._find_reassigned(statements)
        self._collect(statements)
        self._encode()
        self._lay_out()
        pieces = self._bytes()
        self._check_names()
        if self.address + sum(map(len, pieces)) > 1 << 64 and not self.problems:
            self.refuse(0, "", Refusal(f"the unit at {self.address:#x} does not end before 2**64"))
        if self.problems:
            self.problems.sort(key=lambda problem: problem[0])
            raise AssemblyError(problem for _, problem in self.problems)
        code = b"".join(pieces)
        return Assembled(self.address, code, self._own_symbols(), self.source, self._table(pieces))

    def _table(self, pieces: Sequence[bytes]) -> Table:
        places = [item.place for item in self.items]
        return Table(
            "\n".join([place.text for place in places]),
            array("q", [place.line for place in places]),
            array("q", [item.kind for item in self.items]),
            array("q", [place.address - self.address for place in places]),
            array("q", [len(piece) for piece in pieces]),
            array("q", [place.mode for place in places]),
        )

    def refuse(self, line: int, text: str, refusal: Refusal) -> None:
        """Note a problem of a source line."""
        source = self.source[line]
        origin = source.origin
        if refusal.column is not None and origin.column is not None:
            origin = type(origin)(origin.file, origin.line, origin.column + refusal.column - 1, origin.within)
        elif refusal.column is not None and origin.within is None:
            origin = type(origin)(origin.file, origin.line, refusal.column, None)
        self.problems.append((line, Problem(origin, text, refusal.reason, refusal.suggestion)))

    # -- the statements -------------------------------------------------------------------------------------------

    def _scope(self, block: int, name: str) -> tuple[int, str]:
        return (block, name) if name.startswith(".L") else (-1, name)

    def _find_reassigned(self, statements: Sequence[tuple[int, Statement]]) -> None:
        seen: set[tuple[int, str]] = set()
        for line, statement in statements:
            if isinstance(statement.body, Assignment):
                key = self._scope(self.source[line].block, statement.body.name)
                (self.several if key in seen else seen).add(key)

    def _collect(self, statements: Sequence[tuple[int, Statement]]) -> None:
        mode = self.mode
        for line, statement in statements:
            block = self.source[line].block
            for label in statement.labels:
                place = Place(line, f"{label}:", block, mode, len(self.items), 0, self.changing)
                self._define_label(label, place)
                self.items.append(Marker(place, 2))
            body = statement.body
            if body is None:
                continue
            if isinstance(body, Directive):
                mode = MODES.get(body.name, mode)
            place = Place(line, statement.text, block, mode, len(self.items), 0, self.changing)
            try:
                self._add(body, place)
            except Refusal as refusal:
                self.refuse(line, statement.text, refusal)

    def _add(self, body: Assignment | Directive | Instruction, place: Place) -> None:
        if isinstance(body, Assignment):
            self._assign(body, place)
            self.items.append(Marker(place, 3))
        elif isinstance(body, Directive):
            self.items.append(directive_item(body, place, lambda node: self._early(node, place.block)))
        elif body.mnemonic in TRANSFERS and len(body.operands) == 1 and isinstance(body.operands[0], Immediate):
            self.items.append(Jump(place, transfer(body, place.mode)))
        else:
            known, block = self.known, place.block
            values = tuple(
                [known.get(name if name[0] != "." else f"{block}{name}") for name in body.names] if body.names else ()
            )
            self.pending.append((len(self.items), Key(place.mode, place.text, values), body))
            self.items.append(Marker(place, 0))

    def _early(self, node: Node, block: int) -> int | None:
        """The value of an expression that is known before layout, or None."""
        if isinstance(node, Number):
            return node.value
        if has_position(node):
            return None
        names = {name: self.known.get(name if name[0] != "." else f"{block}{name}") for name in names_of(node)}
        if any(value is None for value in names.values()):
            return None
        return evaluate(node, lambda leaf: Value(names[leaf.name] or 0 if isinstance(leaf, Name) else 0)).number

    def _define_label(self, label: str, place: Place) -> None:
        if label.isdigit():
            self.numeric_labels.setdefault((place.block, int(label)), []).append(place.index)
            return
        table = self.local_labels if label.startswith(".L") else None
        other = self.local_labels.get((place.block, label)) if table is not None else self.labels.get(label)
        if other is not None:
            where = self.source[other[1]].origin
            self.refuse(place.line, place.text, Refusal(f"the label {label!r} is defined twice", f"first at {where}"))
        elif self._scope(place.block, label) in self.assignments:
            self.refuse(
                place.line, place.text, Refusal(f"{label!r} has a value by .set already", "choose another name")
            )
        elif label in self.constants or label in self.symbols:
            what = "a constant" if label in self.constants else "a symbol from outside"
            self.refuse(place.line, place.text, Refusal(f"{label!r} is {what} already", "choose another name"))
        elif table is not None:
            table[place.block, label] = (place.index, place.line)
        else:
            self.labels[label] = (place.index, place.line)

    def _assign(self, body: Assignment, place: Place) -> None:
        name, key = body.name, self._scope(place.block, body.name)
        if name in self.constants or name in self.symbols:
            raise Refusal(f"{name!r} is given from outside already", "choose another name")
        if name in self.labels or (place.block, name) in self.local_labels:
            raise Refusal(f"{name!r} is a label already", "choose another name")
        value = self._early(body.value, place.block)
        spelled = name if name[0] != "." else f"{place.block}{name}"
        if key in self.several:
            if value is None:
                raise Refusal(f"{name!r} is set more than once, so each value must be known before layout")
            self.changing = {**self.changing, spelled: value}
        self.assignments[key] = (body.value, place)
        if value is not None:
            self.known[spelled] = value

    # -- encoding and layout --------------------------------------------------------------------------------------

    def _encode(self) -> None:
        wanted: dict[Key, Instruction] = {key: instruction for _, key, instruction in self.pending}
        outcomes = encode(wanted)
        for index, key, instruction in self.pending:
            outcome = outcomes[key]
            place = self.items[index].place
            if isinstance(outcome, Refusal):
                self.refuse(place.line, place.text, outcome)
            else:
                self.items[index] = Code(place, instruction, outcome)

    def _lay_out(self) -> None:
        """Find every address: settle the sizes, lengthen the jumps that do not reach, settle again, until none is left.

        All jumps start short and only ever grow, so this ends with the shortest forms, as GNU as chooses them.
        """
        sizes = [0 if isinstance(item, (Align, Org, Space)) else item.size(self.value) for item in self.items]
        moving = [index for index, item in enumerate(self.items) if isinstance(item, (Align, Org, Space))]
        jumps = [(index, item) for index, item in enumerate(self.items) if isinstance(item, Jump)]
        while self._settle(sizes, moving):
            grown = False
            for index, jump in jumps:
                if index not in self.dead and self._try(index, jump.grow):
                    sizes[index] = jump.size(self.value)
                    grown = True
            if not grown:
                return
        self.refuse(0, "", Refusal("the layout does not come to rest: sizes depend on each other in a circle"))

    def _settle(self, sizes: list[int], moving: Sequence[int]) -> bool:
        """Give every item its address for these sizes and update the sizes of `moving`; False if that does not end."""
        dynamic = frozenset(moving)
        for _ in range(_PASSES):
            moved = False
            address = self.address
            for index, item in enumerate(self.items):
                place = item.place
                if place.address != address:
                    place.address = address
                    moved = True
                if index in dynamic and index not in self.dead:
                    sizes[index] = self._try(index, item.size) or 0
                address += sizes[index]
            if not moved or not dynamic:
                return True
        return False

    def _try(self, index: int, ask: Callable[[Callable[[Node, Place], Value]], int]) -> int:
        """What an item answers; a refusal is noted, and the item is left alone from then on."""
        try:
            return ask(self.value)
        except Refusal as refusal:
            place = self.items[index].place
            self.dead.add(index)
            self.refuse(place.line, place.text, refusal)
            return 0

    def _bytes(self) -> list[bytes]:
        pieces: list[bytes] = []
        for index, item in enumerate(self.items):
            piece = b""
            if index not in self.dead:
                try:
                    piece = item.data(self.value)
                except Refusal as refusal:
                    self.refuse(item.place.line, item.place.text, refusal)
            pieces.append(piece)
        return pieces

    # -- names ----------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: Place) -> Value:
        """The value of an expression at a place; raises `Refusal` for undefined names."""
        if isinstance(node, Number):
            return Value(node.value)
        return evaluate(node, lambda leaf: self._leaf(leaf, place))

    def _leaf(self, leaf: Name | LocalReference | Here, place: Place) -> Value:
        if isinstance(leaf, Here):
            return Value(place.address, 1, True)
        if isinstance(leaf, LocalReference):
            return self._numeric(leaf, place)
        name = leaf.name
        if name in self.constants:
            return Value(self.constants[name])
        if name in self.symbols:
            return Value(self.symbols[name], 1, True)
        found = self.local_labels.get((place.block, name)) if name[0] == "." else self.labels.get(name)
        if found is not None:
            return Value(self.items[found[0]].place.address, 1, True)
        key = self._scope(place.block, name)
        if key in self.several:
            spelled = name if name[0] != "." else f"{place.block}{name}"
            if spelled not in place.known:
                raise Refusal(f"{name!r} is used before its first value, and it has several")
            return Value(place.known[spelled])
        if key in self.assignments:
            early = self.known.get(name if name[0] != "." else f"{place.block}{name}")
            return self._assigned(key) if early is None else Value(early)
        raise self._undefined(name, place)

    def _assigned(self, key: tuple[int, str]) -> Value:
        if key in self.evaluating:
            raise Refusal(f"{key[1]!r} is defined by itself")
        if len(self.evaluating) > _CHAIN:
            raise Refusal(f"more than {_CHAIN} names are defined by each other", "define them in the other order")
        node, place = self.assignments[key]
        self.evaluating.add(key)
        try:
            return self.value(node, place)
        finally:
            self.evaluating.discard(key)

    def _numeric(self, leaf: LocalReference, place: Place) -> Value:
        indexes = self.numeric_labels.get((place.block, leaf.number), [])
        position = bisect_left(indexes, place.index)
        if leaf.forward and position < len(indexes):
            return Value(self.items[indexes[position]].place.address, 1, True)
        if not leaf.forward and position > 0:
            return Value(self.items[indexes[position - 1]].place.address, 1, True)
        direction = "after" if leaf.forward else "before"
        raise Refusal(f"there is no local label {leaf.number}: {direction} this statement in its block")

    def _undefined(self, name: str, place: Place) -> Refusal:
        local = [label for block, label in self.local_labels if block == place.block]
        assigned = [label for _, label in self.assignments]
        candidates = [*self.labels, *local, *assigned, *self.constants, *self.symbols]
        near = difflib.get_close_matches(name, candidates, 3)
        hint = f"near: {', '.join(near)}" if near else None
        if name.startswith(".L") and any(label == name for _, label in self.local_labels):
            hint = "a label of that name is local to another block"
        return Refusal(f"undefined symbol {name!r}", hint)

    def _check_names(self) -> None:
        """Evaluate what nobody used, so that a bad `.set` is told all the same."""
        for key, (_, place) in self.assignments.items():
            if key in self.several:
                continue
            try:
                self._assigned(key)
            except Refusal as refusal:
                self.refuse(place.line, place.text, refusal)

    def _own_symbols(self) -> dict[str, int]:
        symbols = {name: self.items[index].place.address for name, (index, _) in self.labels.items()}
        for (block, name), _ in self.assignments.items():
            if block == -1 and (block, name) not in self.several:
                value = self._assigned((block, name))
                if value.weight == 1:
                    symbols[name] = value.number
        return symbols
