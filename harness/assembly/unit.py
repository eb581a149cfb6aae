"""A whole unit: every line parsed, encoded, laid out, and all its problems reported at once."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final, TypeAlias

from harness.assembly.directives import MODES, directive_item
from harness.assembly.encode import EncodingKey, encode
from harness.assembly.expression import ExpressionValue, Node, Number, early_value, evaluate
from harness.assembly.items import (
    DIRECTIVE,
    INSTRUCTION,
    LABEL,
    Item,
    ItemPosition,
    Transfer,
    code,
    jump,
    transfer,
)
from harness.assembly.listing import Assembled
from harness.assembly.mnemonics import RELATIVE
from harness.assembly.operands import Immediate
from harness.assembly.repeat import expand
from harness.assembly.source import AssemblyError, AssemblyProblem, Refusal, SourceLine
from harness.assembly.statement import Assignment, Directive, Instruction, Statement

__all__ = ["Unit"]

_PASSES: Final = 200
_CHAIN: Final = 50
_EVERYWHERE: Final = -1

Scoped: TypeAlias = tuple[int, str]
"""A name with the block that it belongs to, or `_EVERYWHERE`."""


def _scoped(name: str, block: int) -> Scoped:
    return (block if name[0] == "." else _EVERYWHERE, name)


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
        self.problems: list[tuple[int, AssemblyProblem]] = []
        self.items: list[Item] = []
        self.jumps: list[tuple[int, Transfer]] = []
        self.labels: dict[Scoped, tuple[int, int]] = {}  # item index, line
        self.numeric_labels: dict[tuple[int, int], list[int]] = {}
        self.assignments: dict[Scoped, tuple[Node, ItemPosition]] = {}
        self.known: dict[Scoped, int] = {}  # values of assignments that are known before layout
        self.several: set[Scoped] = set()
        self.changing: dict[Scoped, int] = {}
        self.evaluating: set[Scoped] = set()
        self.pending: list[tuple[int, EncodingKey, Instruction]] = []
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
        rows = [
            (place.text, place.line, item.kind, place.address - self.address, len(piece), place.mode)
            for item, place, piece in zip(self.items, [item.place for item in self.items], pieces, strict=True)
        ]
        return Assembled(self.address, b"".join(pieces), self._own_symbols(), self.source, rows)

    def refuse(self, line: int, text: str, refusal: Refusal) -> None:
        """Note a problem of a source line."""
        source = self.source[line]
        origin = source.origin
        if refusal.column is not None and origin.column is not None:
            origin = type(origin)(origin.file, origin.line, origin.column + refusal.column - 1, origin.within)
        elif refusal.column is not None and origin.within is None:
            origin = type(origin)(origin.file, origin.line, refusal.column, None)
        self.problems.append((line, AssemblyProblem(origin, text, refusal.reason, refusal.suggestion)))

    # -- the statements -------------------------------------------------------------------------------------------

    def _find_reassigned(self, statements: Sequence[tuple[int, Statement]]) -> None:
        seen: set[Scoped] = set()
        for line, statement in statements:
            if isinstance(statement.body, Assignment):
                key = _scoped(statement.body.name, self.source[line].block)
                (self.several if key in seen else seen).add(key)

    def _collect(self, statements: Sequence[tuple[int, Statement]]) -> None:
        mode = self.mode
        for line, statement in statements:
            block = self.source[line].block
            for label in statement.labels:
                place = ItemPosition(line, f"{label}:", block, mode, len(self.items), self.value, self.changing)
                self._define_label(label, place)
                self.items.append(Item(place, LABEL))
            body = statement.body
            if body is None:
                continue
            if isinstance(body, Directive):
                mode = MODES.get(body.name, mode)
            place = ItemPosition(line, statement.text, block, mode, len(self.items), self.value, self.changing)
            try:
                self._add(body, place)
            except Refusal as refusal:
                self.refuse(line, statement.text, refusal)

    def _add(self, body: Assignment | Directive | Instruction, place: ItemPosition) -> None:
        if isinstance(body, Assignment):
            self._assign(body, place)
            self.items.append(Item(place, DIRECTIVE))
        elif isinstance(body, Directive):
            self.items.append(directive_item(body, place, lambda node: self._early(node, place.block)))
        elif body.mnemonic in RELATIVE and len(body.operands) == 1 and isinstance(body.operands[0], Immediate):
            chosen = transfer(body, place.mode)
            self.jumps.append((place.index, chosen))
            self.items.append(jump(place, chosen))
        else:
            values = tuple([self._early_name(name, place.block) for name in body.names]) if body.names else ()
            self.pending.append((place.index, EncodingKey(place.mode, place.text, values), body))
            self.items.append(Item(place, INSTRUCTION))

    def _early_name(self, name: str, block: int) -> int | None:
        value = self.constants.get(name)
        return self.known.get(_scoped(name, block)) if value is None else value

    def _early(self, node: Node, block: int) -> int | None:
        """The value of an expression that is known before layout, or None."""
        return early_value(node, lambda name: self._early_name(name, block))

    def _define_label(self, label: str, place: ItemPosition) -> None:
        if label.isdigit():
            self.numeric_labels.setdefault((place.block, int(label)), []).append(place.index)
            return
        key = _scoped(label, place.block)
        if key in self.labels:
            first = self.source[self.labels[key][1]].origin
            problem = Refusal(f"the label {label!r} is defined twice", f"first at {first}")
        elif key in self.assignments:
            problem = Refusal(f"{label!r} has a value by .set already", "choose another name")
        elif label in self.constants or label in self.symbols:
            what = "a constant" if label in self.constants else "a symbol from outside"
            problem = Refusal(f"{label!r} is {what} already", "choose another name")
        else:
            self.labels[key] = (place.index, place.line)
            return
        self.refuse(place.line, place.text, problem)

    def _assign(self, body: Assignment, place: ItemPosition) -> None:
        name, key = body.name, _scoped(body.name, place.block)
        if name in self.constants or name in self.symbols:
            raise Refusal(f"{name!r} is given from outside already", "choose another name")
        if key in self.labels:
            raise Refusal(f"{name!r} is a label already", "choose another name")
        value = self._early(body.value, place.block)
        if key in self.several:
            if value is None:
                raise Refusal(f"{name!r} is set more than once, so each value must be known before layout")
            self.changing = {**self.changing, key: value}
        self.assignments[key] = (body.value, place)
        if value is not None:
            self.known[key] = value

    # -- encoding and layout --------------------------------------------------------------------------------------

    def _encode(self) -> None:
        outcomes = encode({key: instruction for _, key, instruction in self.pending})
        for index, key, _ in self.pending:
            outcome = outcomes[key]
            place = self.items[index].place
            if isinstance(outcome, Refusal):
                self.refuse(place.line, place.text, outcome)
            else:
                self.items[index] = code(place, outcome)

    def _lay_out(self) -> None:
        """Find every address: settle the sizes, lengthen the jumps that do not reach, settle again, until none is left.

        All jumps start short and only ever grow, so this ends with the shortest forms, as GNU as chooses them.
        """
        while self._settle():
            grown = False
            for index, chosen in self.jumps:
                if index not in self.dead and self._try(index, partial(self._grow, index, chosen)):
                    self.items[index].size = chosen.size
                    grown = True
            if not grown:
                return
        self.refuse(0, "", Refusal("the layout does not converge: sizes depend on each other in a circle"))

    def _grow(self, index: int, chosen: Transfer) -> bool:
        place = self.items[index].place
        return chosen.grow(place.address, place.number(chosen.target))

    def _settle(self) -> bool:
        """Give every item its address, repeatedly where sizes depend on addresses; False if that does not end."""
        sizes = [item.size if isinstance(item.size, int) else 0 for item in self.items]
        moving = {index: item.size for index, item in enumerate(self.items) if not isinstance(item.size, int)}
        for _ in range(_PASSES):
            moved = False
            address = self.address
            for index, item in enumerate(self.items):
                place = item.place
                if place.address != address:
                    place.address = address
                    moved = True
                if index in moving and index not in self.dead:
                    sizes[index] = self._try(index, moving[index])
                address += sizes[index]
            if not moved or not moving:
                return True
        return False

    def _try(self, index: int, question: Callable[[], int]) -> int:
        """The result of the call; a refusal is noted, and the item is skipped from then on."""
        try:
            return question()
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
                    piece = item.data if isinstance(item.data, bytes) else item.data()
                except Refusal as refusal:
                    self.refuse(item.place.line, item.place.text, refusal)
            pieces.append(piece)
        return pieces

    # -- names ----------------------------------------------------------------------------------------------------

    def value(self, node: Node, place: ItemPosition) -> ExpressionValue:
        """The value of an expression at a place; raises `Refusal` for undefined names."""
        if isinstance(node, Number):
            return ExpressionValue(node.value)
        return evaluate(node, lambda name: self._named(name, place))

    def _named(self, name: str, place: ItemPosition) -> ExpressionValue:
        if name == ".":
            return ExpressionValue(place.address, 1)
        if name[0].isdigit():
            return self._numeric(name, place)
        key = _scoped(name, place.block)
        if name in self.constants:
            return ExpressionValue(self.constants[name])
        if name in self.symbols:
            return ExpressionValue(self.symbols[name], 1)
        if key in self.labels:
            return ExpressionValue(self.items[self.labels[key][0]].place.address, 1)
        if key in self.several:
            if key not in place.known:
                raise Refusal(f"{name!r} is used before its first value, and it has several")
            return ExpressionValue(place.known[key])
        if key in self.assignments:
            return ExpressionValue(self.known[key]) if key in self.known else self._assigned(key)
        raise self._undefined(name, place)

    def _assigned(self, key: Scoped) -> ExpressionValue:
        if key in self.evaluating:
            raise Refusal(f"{key[1]!r} is defined in terms of itself")
        if len(self.evaluating) > _CHAIN:
            raise Refusal(f"more than {_CHAIN} names depend on each other", "define them in the other order")
        node, place = self.assignments[key]
        self.evaluating.add(key)
        try:
            return self.value(node, place)
        finally:
            self.evaluating.discard(key)

    def _numeric(self, name: str, place: ItemPosition) -> ExpressionValue:
        """The address of the nearest local label: `1f` after the statement, `1b` before it."""
        number, forward = name[:-1], name[-1] == "f"
        indexes = self.numeric_labels.get((place.block, int(number) if len(number) < 10 else -1), [])
        position = bisect_left(indexes, place.index) - (not forward)
        if 0 <= position < len(indexes):
            return ExpressionValue(self.items[indexes[position]].place.address, 1)
        direction = "after" if forward else "before"
        raise Refusal(f"there is no local label {number}: {direction} this statement in its block")

    def _undefined(self, name: str, place: ItemPosition) -> Refusal:
        visible = [label for block, label in (*self.labels, *self.assignments) if block in (_EVERYWHERE, place.block)]
        near = difflib.get_close_matches(name, [*visible, *self.constants, *self.symbols], 3)
        hint = f"near: {', '.join(near)}" if near else None
        if name.startswith(".L") and any(label == name for _, label in self.labels):
            hint = "a label of that name is local to another block"
        return Refusal(f"undefined symbol {name!r}", hint)

    def _check_names(self) -> None:
        """Evaluate the assignments that nothing uses, so that a wrong one is reported too."""
        for key, (_, place) in self.assignments.items():
            if key in self.several:
                continue
            try:
                self._assigned(key)
            except Refusal as refusal:
                self.refuse(place.line, place.text, refusal)

    def _own_symbols(self) -> dict[str, int]:
        symbols = {
            name: self.items[index].place.address
            for (block, name), (index, _) in self.labels.items()
            if block == _EVERYWHERE
        }
        for key in self.assignments:
            if key[0] == _EVERYWHERE and key not in self.several:
                value = self._assigned(key)
                if value.weight == 1:
                    symbols[key[1]] = value.number
        return symbols
