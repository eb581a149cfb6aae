"""The items of a unit between parsing and bytes, and the names that they define."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from harness.assembly.expression import ExpressionValue, Name, Node, early_value, evaluate
from harness.assembly.source import Refusal, SourceLine

__all__ = ["HERE", "Item", "SymbolTable"]

HERE: Final = Name(".")
"""The value of a label: the address of its item."""

_CHAIN: Final = 50
_EVERYWHERE: Final = -1


@dataclass(slots=True)
class Item:
    """A label, directive or instruction: its place in the unit and, after layout, its address.

    A size or bytes that depend on the layout are functions.
    """

    index: int
    line: int
    """Index of the source line."""
    source: SourceLine
    text: str
    mode: int
    table: SymbolTable
    kind: str = "directive"
    address: int = 0
    size: int | Callable[[], int] = 0
    data: bytes | Callable[[], bytes] = b""
    refused: bool = False

    def early(self, node: Node) -> int | None:
        """The value, at this place, of an expression that is known before layout, or None."""
        return early_value(node, lambda name: self.table.early(name, self))

    def value(self, node: Node) -> ExpressionValue:
        """The value, at this place, of an expression that must be a number or an address."""
        value = self.table.value(node, self)
        if value.weight not in (0, 1):
            raise Refusal("neither a number nor an address", "the difference of two labels is a number")
        return value

    def number(self, node: Node) -> int:
        """The number of that value."""
        return self.value(node).number


class Definition(NamedTuple):
    """What an item defines a name as: `HERE`, or an expression, with its value if that is known before layout."""

    item: Item
    node: Node
    early: int | None


Scoped: TypeAlias = tuple[int, str]
"""A name with the block that it belongs to, or `_EVERYWHERE`."""


def _scoped(name: str, item: Item) -> Scoped:
    return (item.source.block if name[0] == "." or name[0].isdigit() else _EVERYWHERE, name)


class SymbolTable:
    """The names of a unit: constants and symbols from outside, and its own labels and assignments."""

    def __init__(self, constants: Mapping[str, int], symbols: Mapping[str, int]) -> None:
        self.constants = constants
        self.symbols = symbols
        self._definitions: dict[Scoped, list[Definition]] = {}
        self._evaluating: set[int] = set()

    def define(self, name: str, item: Item, node: Node = HERE) -> None:
        """Define a label, or give a name a value; raises `Refusal` if it is taken.

        A number is defined as often as the author likes, and so is a name with values that are known before layout.
        """
        definitions = self._definitions.get(_scoped(name, item), [])
        label, first = node is HERE, definitions[0] if definitions else None
        if name in self.constants or name in self.symbols:
            what = "a constant" if name in self.constants else "a symbol from outside"
            raise Refusal(f"{name!r} is {what if label else 'given from outside'} already", "choose another name")
        if first is not None and label != (first.node is HERE):
            raise Refusal(f"{name!r} {'has a value by .set' if label else 'is a label'} already", "choose another name")
        if first is not None and label and not name.isdigit():
            raise Refusal(f"the label {name!r} is defined twice", f"first at {first.item.source.origin}")
        definition = Definition(item, node, None if label else item.early(node))
        self._definitions.setdefault(_scoped(name, item), []).append(definition)

    def finish(self, refuse: Callable[[Item, Refusal], None]) -> dict[str, int]:
        """The addresses by name; every definition is evaluated, so that a wrong one that nothing uses is refused."""
        addresses: dict[str, int] = {}
        for (block, name), definitions in self._definitions.items():
            for definition in definitions:
                try:
                    if len(definitions) > 1 and definition.early is None and definition.node is not HERE:
                        raise Refusal(f"{name!r} is set more than once, so each value must be known before layout")
                    value = self._defined(name, definition)
                except Refusal as refusal:
                    refuse(definition.item, refusal)
                    continue
                if block == _EVERYWHERE and value.weight == 1:
                    addresses[name] = value.number
        return addresses

    def early(self, name: str, item: Item) -> int | None:
        """The value of a name if it is known before layout, at the newest item."""
        if name in self.constants:
            return self.constants[name]
        definitions = self._definitions.get(_scoped(name, item))
        return definitions[-1].early if definitions else None

    def value(self, node: Node, item: Item) -> ExpressionValue:
        """The value of an expression at an item; raises `Refusal` for undefined names."""
        return evaluate(node, lambda name: self._named(name, item))

    def _named(self, name: str, item: Item) -> ExpressionValue:
        if name == HERE.name:
            return ExpressionValue(item.address, 1)
        if name in self.constants:
            return ExpressionValue(self.constants[name])
        if name in self.symbols:
            return ExpressionValue(self.symbols[name], 1)
        return self._defined(name, self._visible(name, item))

    def _visible(self, name: str, item: Item) -> Definition:
        """The only definition of a name, or of several the nearest before the item (`1f`: after it)."""
        local, forward = name[0].isdigit(), name[0].isdigit() and name[-1] == "f"
        wanted = (name[:-1].lstrip("0") or "0") if local else name
        definitions = self._definitions.get(_scoped(wanted, item), [])
        if len(definitions) == 1 and not local:
            return definitions[0]
        position = bisect_left(definitions, item.index, key=lambda definition: definition.item.index) - (not forward)
        if 0 <= position < len(definitions):
            return definitions[position]
        if local:
            direction = "after" if forward else "before"
            raise Refusal(f"there is no local label {wanted}: {direction} this statement in its block")
        if definitions:
            raise Refusal(f"{name!r} is used before its first value, and it has several")
        raise self._undefined(name, item)

    def _defined(self, name: str, definition: Definition) -> ExpressionValue:
        item, node, early = definition
        if early is not None:
            return ExpressionValue(early)
        if node is HERE:
            return ExpressionValue(item.address, 1)
        if item.index in self._evaluating:
            raise Refusal(f"{name!r} is defined in terms of itself")
        if len(self._evaluating) > _CHAIN:
            raise Refusal(f"more than {_CHAIN} names depend on each other", "define them in the other order")
        self._evaluating.add(item.index)
        try:
            return self.value(node, item)
        finally:
            self._evaluating.discard(item.index)

    def _undefined(self, name: str, item: Item) -> Refusal:
        own = [name for block, name in self._definitions if block in (_EVERYWHERE, item.source.block)]
        visible = {name for name in (*own, *self.constants, *self.symbols) if not name.isdigit()}
        near = difflib.get_close_matches(name, sorted(visible), 3)
        hint = f"near: {', '.join(near)}" if near else None
        if name.startswith(".L") and any(known == name for _, known in self._definitions):
            hint = "a label of that name is local to another block"
        return Refusal(f"undefined symbol {name!r}", hint)
