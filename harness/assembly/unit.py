"""A whole unit: every line parsed, encoded, laid out, and all its problems reported at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from harness.assembly.directives import MODES, apply_directive
from harness.assembly.encode import EncodingKey, complete, encode
from harness.assembly.items import Item, SymbolTable
from harness.assembly.listing import Assembled
from harness.assembly.mnemonics import RELATIVE
from harness.assembly.operands import Immediate
from harness.assembly.repeat import expand
from harness.assembly.settled import Encoded
from harness.assembly.source import AssemblyError, AssemblyProblem, Refusal, SourceLine
from harness.assembly.statement import Assignment, Directive, Instruction, Statement
from harness.assembly.transfers import Transfer, transfer

__all__ = ["Unit"]

_PASSES: Final = 200

T = TypeVar("T")


class Unit:
    """One unit on its way from lines to bytes."""

    def __init__(self, source: Sequence[SourceLine], address: int, mode: int, table: SymbolTable) -> None:
        self.source = source
        self.address = address
        self.mode = mode
        self.table = table
        self.problems: list[tuple[int, AssemblyProblem]] = []
        self.items: list[Item] = []
        self.transfers: list[Transfer] = []
        self.pending: list[tuple[Item, EncodingKey, Instruction]] = []

    def assemble(self) -> Assembled:
        """The assembled unit; raises `AssemblyError` with all problems."""
        self._collect(expand(self.source, self.table, self.refuse))
        self._encode()
        self._lay_out()
        pieces = [item.data if isinstance(item.data, bytes) else self._ask(item, item.data, b"") for item in self.items]
        symbols = self.table.finish(self._refuse_item)
        if self.address + sum(map(len, pieces)) > 1 << 64 and not self.problems:
            self.refuse(0, "", Refusal(f"the unit at {self.address:#x} does not end before 2**64"))
        if self.problems:
            self.problems.sort(key=lambda problem: problem[0])
            raise AssemblyError(problem for _, problem in self.problems)
        rows = [
            (item.text, item.line, item.kind, item.address - self.address, len(piece), item.mode)
            for item, piece in zip(self.items, pieces, strict=True)
        ]
        return Assembled(self.address, b"".join(pieces), symbols, self.source, rows)

    def refuse(self, line: int, text: str, refusal: Refusal) -> None:
        """Note a problem of a source line."""
        origin = self.source[line].origin
        if refusal.column is not None and (origin.column is not None or origin.within is None):
            origin = replace(origin, column=(origin.column or 1) + refusal.column - 1)
        self.problems.append((line, AssemblyProblem(origin, text, refusal.reason, refusal.suggestion)))

    def _refuse_item(self, item: Item, refusal: Refusal) -> None:
        item.refused, item.size, item.data = True, 0, b""
        self.refuse(item.line, item.text, refusal)

    def _ask(self, item: Item, question: Callable[[], T], default: T) -> T:
        """The result of the call; the default where it is refused, and for an item that was refused before."""
        if not item.refused:
            try:
                return question()
            except Refusal as refusal:
                self._refuse_item(item, refusal)
        return default

    def _collect(self, statements: Sequence[tuple[int, Statement]]) -> None:
        mode = self.mode
        for line, statement in statements:
            for label in statement.labels:
                self._add(line, f"{label}:", mode, label)
            if statement.body is not None:
                if isinstance(statement.body, Directive):
                    mode = MODES.get(statement.body.name, mode)
                self._add(line, statement.text, mode, statement.body)

    def _add(self, line: int, text: str, mode: int, body: str | Assignment | Directive | Instruction) -> None:
        """Append the item of a body; a body that is a text is a label."""
        item = Item(len(self.items), line, self.source[line], text, mode, self.table)
        self.items.append(item)
        try:
            if isinstance(body, str):
                item.kind = "label"
                self.table.define(body, item)
            elif isinstance(body, Assignment):
                self.table.define(body.name, item, body.value)
            elif isinstance(body, Directive):
                apply_directive(item, body)
            else:
                self._add_instruction(item, body)
        except Refusal as refusal:
            self._refuse_item(item, refusal)

    def _add_instruction(self, item: Item, body: Instruction) -> None:
        item.kind = "instruction"
        if body.mnemonic in RELATIVE and len(body.operands) == 1 and isinstance(body.operands[0], Immediate):
            chosen = transfer(item, body)
            self.transfers.append(chosen)
            item.size, item.data = chosen.size, chosen.data
        else:
            values = tuple([self.table.early(name, item) for name in body.names])
            self.pending.append((item, EncodingKey(item.mode, item.text, values), body))

    def _encode(self) -> None:
        outcomes = encode({key: instruction for _, key, instruction in self.pending})
        for item, key, _ in self.pending:
            outcome = outcomes[key]
            if isinstance(outcome, Encoded):
                item.size = len(outcome.data)
                item.data = partial(complete, outcome, item) if outcome.fields else outcome.data
            else:
                self._refuse_item(item, outcome)

    def _lay_out(self) -> None:
        """Find every address: settle the sizes, lengthen the jumps that do not reach, settle again, until none is left.

        All jumps start short and only ever grow, so this ends with the shortest forms, as GNU as chooses them.
        """
        while self._settle():
            if not [chosen for chosen in self.transfers if self._ask(chosen.item, chosen.grow, False)]:
                return
        self.refuse(0, "", Refusal("the layout does not converge: sizes depend on each other in a circle"))

    def _settle(self) -> bool:
        """Give every item its address, repeatedly where sizes depend on addresses; False if that does not end."""
        for _ in range(_PASSES):
            moved = False
            address = self.address
            for item in self.items:
                if item.address != address:
                    item.address = address
                    moved = True
                address += item.size if isinstance(item.size, int) else self._ask(item, item.size, 0)
            if not moved:
                return True
        return False
